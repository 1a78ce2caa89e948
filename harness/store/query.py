"""DuckDB reads of published files. Paths are given by manifests, never globbed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import duckdb
import pyarrow as pa

from ..schema.errors import DataError
from ..schema.scores import Reason

# What a row with a reason counts as: a number, the image's diagonal, or nothing (None).
Charge = float | Literal["diagonal"] | None

_CASES = """
with scored as (
    select cell, case_id, group_id,
        case when coalesce(isfinite(value), reason is not null) then reason
            else 'failed' end as reason,
        case when coalesce(isfinite(value), true) then {charged} end as charged
    from read_parquet($files, hive_partitioning = false) as rows
        join wanted on wanted.file = rows.file_index and wanted.key = rows.key
    where metric = $metric and ($structure is null or structure = $structure)
)
select cell, case_id, any_value(group_id) as group_id, avg(charged) as score,
    count(charged) as structures,
    count(*) filter (reason = 'pred_empty') as misses,
    count(*) filter (reason = 'gt_empty') as false_alarms,
    count(*) filter (reason = 'failed') as failed
from scored group by cell, case_id
"""

_PREDICTIONS = """
select cell, case_id, group_id, y_true, scores
from read_parquet($files, hive_partitioning = false) as rows
    join wanted on wanted.file = rows.file_index and wanted.key = rows.key
where split = $split
"""


_CURVES = """
select cell, quantity, step, wall_s, value
from read_parquet($files, hive_partitioning = false) as rows
    join wanted on wanted.file = rows.file_index and wanted.key = rows.key
where split = $split and value is not null
"""

_ROWS = """
select cell, {names}
from read_parquet($files, hive_partitioning = false, union_by_name = true) as rows
    join wanted on wanted.file = rows.file_index and wanted.key = rows.key
where {kept}
"""


def case_scores(
    files: Mapping[str, Path],
    *,
    metric: str,
    charge: Mapping[Reason, Charge],
    structure: str | None = None,
) -> pa.Table:
    """Average the structures of each case: one row per (cell, case).

    files: key of a node -> its published cases file (several keys may share a file);
    charge: what each reason counts as, by default nothing; structure: this one instead
    of all. Columns: cell (int32, the
    place of the key in `files`), case_id, group_id, score (null where no structure
    counts), structures (how many count), misses (pred_empty), false_alarms (gt_empty),
    failed (values that are not finite or null without a reason are among them). Raises
    DataError where a file cannot be read.
    """
    whens = [
        f"when reason = '{reason}' then {_as_sql(amount)}"
        for reason, amount in charge.items()
    ]
    charged = " ".join(["case when reason is null then value", *whens, "end"])
    return _read(
        _CASES, files, {"metric": metric, "structure": structure}, charged=charged
    )


def predictions(files: Mapping[str, Path], *, split: str = "test") -> pa.Table:
    """Read class predictions: cell, case_id, group_id, y_true, scores (list).

    files: key of a node -> its published predictions file; cell: the place of the key
    in `files`. Raises DataError where a file cannot be read.
    """
    return _read(_PREDICTIONS, files, {"split": split})


def curves(files: Mapping[str, Path], *, split: str) -> pa.Table:
    """Read training curves: cell, quantity, step, wall_s (seconds), value.

    files: key of a node -> its published curves file; cell: the place of the key in
    `files`; split: 'train' or 'val'. Raises DataError where a file cannot be read.
    """
    return _read(_CURVES, files, {"split": split})


def rows(
    files: Mapping[str, Path], columns: Sequence[str], only: Mapping[str, Sequence[Any]]
) -> pa.Table:
    """Read columns of any table: cell (the place of the key in `files`) and these.

    files: key of a node -> its published file of one table; columns: of its schema (an
    older file that lacks one has nulls); only: values to keep, by column. Raises
    DataError where a file cannot be read.
    """
    if not files:
        empty = pa.table({name: pa.array([], pa.null()) for name in columns})
        return empty.add_column(0, "cell", pa.array([], pa.int32()))
    names = ", ".join(f'"{name}"' for name in columns)
    kept = " and ".join(f'"{name}" in $only_{name}' for name in only) or "true"
    values = {f"only_{name}": list(some) for name, some in only.items()}
    return _read(_ROWS, files, values, names=names, kept=kept)


def _as_sql(amount: Charge) -> str:
    if amount is None:
        return "null"
    return "diagonal_mm" if amount == "diagonal" else repr(float(amount))


def _read(
    query: str, files: Mapping[str, Path], values: Mapping[str, Any], **parts: str
) -> pa.Table:
    """Run a query over files; `wanted` says which rows of which file are of which cell.

    The file and the key tell together: a collected file has rows of many nodes, and may
    hold those of an older attempt at a node that is now read from another file.
    """
    paths = [str(path) for path in files.values()]
    place = {path: index for index, path in enumerate(dict.fromkeys(paths))}
    wanted = pa.table(
        {
            "file": pa.array([place[path] for path in paths], pa.int64()),
            "key": pa.array(files.keys(), pa.string()),
            "cell": pa.array(range(len(files)), pa.int32()),
        }
    )
    with duckdb.connect() as connection:
        # It would write to stdout, where --json promises one document and nothing else.
        connection.execute("set enable_progress_bar = false")
        connection.register("wanted", wanted)
        try:
            found = connection.sql(
                query.format(**parts),
                params={"files": list(place), **values},
            )
            return found.to_arrow_table()
        except (duckdb.Error, OSError) as error:
            reason = str(error).splitlines()[0]
            msg = f"published results cannot be read: {reason}; run: harness verify"
            raise DataError(msg) from error
