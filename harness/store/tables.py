"""The tables of results (DESIGN 7): explicit schemas, columns only ever added.

Every file carries the name of its table and SCHEMA_VERSION in its metadata. Columns may
be added; a column's meaning or type never changes. Readers fill what older files lack
with nulls, keep columns that they do not know and refuse newer versions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..schema.errors import UserError
from .durable import draft_name, put_in_place, sync_and_hash

SCHEMA_VERSION = 1
_TABLE, _VERSION = b"medssl.table", b"medssl.schema_version"
_WORD = pa.dictionary(pa.int32(), pa.string())  # few distinct values


def _schema(name: str, *fields: pa.Field) -> pa.Schema:
    marks = {_TABLE: name.encode(), _VERSION: str(SCHEMA_VERSION).encode()}
    return pa.schema(fields, metadata=marks)


def _must(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


# One row for each attempt at a node. label_budget is text such as '5-shot'; times are
# UTC; wall_s in seconds, gpu_h in GPU-hours, peak_mem, peak_gpu_mem and disk in bytes.
RUNS = _schema(
    "runs",
    _must("key", pa.string()),
    _must("attempt", pa.string()),
    _must("kind", _WORD),
    _must("inputs", pa.map_(pa.string(), pa.string())),
    pa.field("method", _WORD),
    pa.field("encoder", _WORD),
    pa.field("task", _WORD),
    pa.field("protocol", _WORD),
    pa.field("label_budget", _WORD),
    pa.field("fold", pa.int32()),
    pa.field("folds", pa.int32()),
    pa.field("seed", pa.int64()),
    pa.field("subset_seed", pa.int64()),
    pa.field("pretraining_seed", pa.int64()),
    pa.field("pretraining_key", pa.string()),
    pa.field("tier", _WORD),
    pa.field("corpus", _WORD),
    _must("state", _WORD),
    pa.field("error_class", _WORD),
    pa.field("message", pa.string()),
    pa.field("traceback_hash", pa.string()),
    pa.field("host", _WORD),
    pa.field("device", _WORD),
    pa.field("pid", pa.int64()),
    pa.field("slurm_job", pa.string()),
    pa.field("started", pa.timestamp("us", tz="UTC")),
    pa.field("finished", pa.timestamp("us", tz="UTC")),
    pa.field("wall_s", pa.float64()),
    pa.field("gpu_h", pa.float64()),
    pa.field("peak_mem", pa.int64()),
    pa.field("peak_gpu_mem", pa.int64()),
    pa.field("trainable_params", pa.int64()),
    pa.field("n_train", pa.int64()),
    pa.field("disk", pa.int64()),
    pa.field("git_commit", pa.string()),
    pa.field("git_dirty", pa.bool_()),
    pa.field("provenance", pa.string()),  # JSON
    pa.field(
        "overlap", _WORD
    ),  # with patients seen in pretraining: what it makes of it
    pa.field("analysis", _WORD),
    pa.field("against", _WORD),
)
# One row for each cell, case, structure and metric. value is null where undefined.
CASES = _schema(
    "cases",
    _must("key", _WORD),
    _must("case_id", pa.string()),
    _must("group_id", pa.string()),
    _must("structure", _WORD),
    _must("metric", _WORD),
    pa.field("value", pa.float64()),
    pa.field("reason", _WORD),
    pa.field("diagonal_mm", pa.float64()),
)
# One row for each cell, split and case of a classification task.
PREDICTIONS = _schema(
    "predictions",
    _must("key", _WORD),
    _must("split", _WORD),
    _must("case_id", pa.string()),
    _must("group_id", pa.string()),
    _must("y_true", pa.int32()),
    _must("scores", pa.list_(pa.float64())),
)
# One row for each node, step and quantity.
CURVES = _schema(
    "curves",
    _must("key", _WORD),
    _must("split", _WORD),
    _must("quantity", _WORD),
    _must("step", pa.int64()),
    pa.field("epoch", pa.float64()),
    pa.field("wall_s", pa.float64()),
    pa.field("value", pa.float64()),
)
# One row for each node, layer and quantity measured on the layer's activations.
FEATURES = _schema(
    "features",
    _must("key", _WORD),
    _must("layer", _WORD),
    _must("quantity", _WORD),
    pa.field("value", pa.float64()),
    pa.field("n", pa.int64()),
)
SCHEMAS = {
    "runs": RUNS,
    "cases": CASES,
    "predictions": PREDICTIONS,
    "curves": CURVES,
    "features": FEATURES,
}
# Tables that nodes publish, each in a file <name>.parquet.
PUBLISHED = ("cases", "predictions", "curves", "features")


def build(name: str, columns: Mapping[str, Sequence[Any]]) -> pa.Table:
    """Return a table with the schema `name` from {column: values}, all of one length.

    A nullable column may be left out. ValueError for unknown columns, for nulls where
    there must be none, and for nan, which has no place in a table: use None.
    """
    schema = SCHEMAS[name]
    unknown = set(columns) - set(schema.names)
    if unknown:
        msg = f"table {name!r} has no column {', '.join(sorted(unknown))}"
        raise ValueError(msg)
    length = len(next(iter(columns.values()), ()))
    arrays = []
    for field in schema:
        if field.name not in columns and not field.nullable:
            msg = f"table {name!r} needs the column {field.name!r}"
            raise ValueError(msg)
        values = columns.get(field.name, [None] * length)
        arrays.append(pa.array(values, type=field.type, from_pandas=False))
    table = pa.Table.from_arrays(arrays, schema=schema)
    _check_values(table, name)
    return table


def _check_values(table: pa.Table, name: str) -> None:
    for field in table.schema:
        column = table[field.name]
        if column.null_count and not field.nullable:
            msg = f"column {field.name!r} of table {name!r} must not hold nulls"
            raise ValueError(msg)
        if pa.types.is_list(field.type):
            column = pc.list_flatten(column)
            if column.null_count:
                msg = f"column {field.name!r} of table {name!r} must not hold nulls"
                raise ValueError(msg)
        if pa.types.is_floating(column.type) and pc.any(pc.is_nan(column)).as_py():
            msg = f"column {field.name!r} of table {name!r} must not hold nan: use None"
            raise ValueError(msg)


def write_table(path: Path, table: pa.Table) -> None:
    """Write a table of `build` as Parquet: the whole file appears at once, on disk."""
    marks = table.schema.metadata or {}
    name = marks.get(_TABLE, b"").decode()
    if name not in SCHEMAS or not table.schema.equals(SCHEMAS[name]):
        msg = f"{path.name} needs a table with one of the schemas, made by build()"
        raise ValueError(msg)
    _check_values(table, name)
    draft = draft_name(path)
    try:
        with draft.open("xb") as file:
            pq.write_table(table, file, compression="zstd")
        sync_and_hash(draft)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    put_in_place(draft, path)


def read_tables(name: str, paths: Iterable[Path]) -> pa.Table:
    """Return the rows of several files of one table, with the columns of all of them.

    Raises UserError for a file that is damaged, of another table or of a newer version.
    """
    tables = [SCHEMAS[name].empty_table(), *(_read(name, path) for path in paths)]
    plain = [table.replace_schema_metadata(None) for table in tables]
    joined = pa.concat_tables(plain, promote_options="permissive").unify_dictionaries()
    return joined.replace_schema_metadata(SCHEMAS[name].metadata)


def _read(name: str, path: Path) -> pa.Table:
    try:
        # Read here, so that folders named a=b are not taken for columns.
        data = path.read_bytes()
    except OSError as error:
        msg = f"{path} cannot be read ({error.strerror}): run `harness verify`"
        raise UserError(msg) from error
    return parse_table(name, data, str(path))


def parse_table(name: str, data: bytes, where: str) -> pa.Table:
    """Return the rows of a file of table `name`, whose bytes are `data`.

    Raises UserError, which begins with `where`, for a file that is damaged, of another
    table or of a newer version.
    """
    try:
        table = pq.read_table(pa.BufferReader(data), use_threads=False)
    except (OSError, pa.ArrowException) as error:
        msg = f"{where} cannot be read as Parquet: run `harness verify`"
        raise UserError(msg) from error
    marks = table.schema.metadata or {}
    if marks.get(_TABLE) != name.encode():
        msg = f"{where} is not a table of {name}"
        raise UserError(msg)
    version = int(marks.get(_VERSION, b"0"))
    if version > SCHEMA_VERSION:
        msg = (
            f"{where} was written with table version {version}, and this harness knows "
            f"versions up to {SCHEMA_VERSION}: update the harness"
        )
        raise UserError(msg)
    return table
