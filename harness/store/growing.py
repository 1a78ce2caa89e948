"""One Parquet file that is written piece by piece, in a memory that does not grow."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from ..schema.errors import UserError

ROWS = 1 << 20  # of a row group: bounds the memory of writing and of reading
_BYTES = 1 << 28  # of a row group in memory, where rows are long


class GrowingTable:
    """A table file under way. The file appears with the first rows.

    Columns that a piece lacks become null; a piece with columns that the file lacks
    (a newer harness wrote it) has the file written again with them, which is rare.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.path = path
        self.rows = 0
        self._schema = schema
        self._held: list[pa.Table] = []
        self._held_rows = self._held_bytes = 0
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> GrowingTable:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._flush()
        self._close()

    def fitting(self, table: pa.Table) -> pa.Table:
        """Return rows as `add` takes them. UserError if a column has another type."""
        known = [field for field in self._schema if field.name in table.schema.names]
        try:
            for field in known:
                place = table.schema.get_field_index(field.name)
                if table.schema.field(place).type != field.type:
                    values = table[field.name].cast(field.type)
                    table = table.set_column(place, field, values)
        except pa.ArrowException as error:
            reason = str(error).splitlines()[0]
            msg = f"its {self.path.stem} do not fit those of other nodes: {reason}"
            raise UserError(msg) from error
        return table

    def add(self, table: pa.Table) -> None:
        """Add rows that come from `fitting`, or from a file of this class."""
        self._widen(table.schema)
        self._held.append(_fitted(table, self._schema))
        self._held_rows += table.num_rows
        self._held_bytes += table.nbytes
        if self._held_rows >= ROWS or self._held_bytes >= _BYTES:
            self._flush()

    def _widen(self, found: pa.Schema) -> None:
        more = [field for field in found if field.name not in self._schema.names]
        if not more:
            return
        for field in more:
            self._schema = self._schema.append(field.with_nullable(nullable=True))
        self._held = [_fitted(table, self._schema) for table in self._held]
        if self._writer is None:
            return
        self._close()
        narrow = self.path.with_name(f".narrow-{self.path.name}")
        self.path.rename(narrow)
        with pq.ParquetFile(narrow) as file:
            for group in range(file.num_row_groups):
                self._write(_fitted(file.read_row_group(group), self._schema))
        narrow.unlink()

    def _flush(self) -> None:
        if not self._held_rows:
            return
        self._write(pa.concat_tables(self._held).unify_dictionaries())
        self.rows += self._held_rows
        self._held, self._held_rows, self._held_bytes = [], 0, 0

    def _write(self, table: pa.Table) -> None:
        if self._writer is None:
            # By name, so that the writer owns the file and closes it.
            self._writer = pq.ParquetWriter(
                str(self.path), self._schema, compression="zstd"
            )
        self._writer.write_table(table, row_group_size=ROWS)

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _fitted(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return `table` with exactly the columns of `schema`."""
    columns = [
        table[field.name].cast(field.type)
        if field.name in table.schema.names
        else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)
