"""Questions in SQL about a results folder, which nothing in them can change.

The tables are views over what is published: collected files and newer nodes' own. Only a
single SELECT is run. DuckDB is told to open no other file, and that this may not be
undone, so a query can neither read nor write anything else, load extensions or see
Python's variables.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from ..schema.errors import UserError
from ..schema.identity import KEY_DIGITS
from .index import Done
from .runs import runs_table
from .store import Store
from .tables import PUBLISHED, SCHEMAS

TABLES = ("runs", *PUBLISHED)


@dataclass(frozen=True)
class Answer:
    """Rows of a query, under the names of their columns."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


def ask(store: Store, query: str) -> Answer:
    """Return what a SELECT finds in the tables `runs`, `cases`, `predictions`, ...

    Raises UserError, in one sentence, for anything but one SELECT, for what DuckDB
    refuses, and for files that cannot be read.
    """
    with _connected(store) as connection:
        try:
            statements = connection.extract_statements(query)
        except duckdb.Error as error:
            raise UserError(_sentence(error)) from None
        kinds = [statement.type for statement in statements]
        # EXPLAIN is refused as well: EXPLAIN ANALYZE runs whatever it explains.
        if kinds != [duckdb.StatementType.SELECT]:
            found = (
                ", ".join(str(kind).rpartition(".")[2] for kind in kinds) or "nothing"
            )
            msg = (
                f"the query must be one SELECT, and this is {found}: results are read "
                "only"
            )
            raise UserError(msg)
        try:
            # Through Arrow: DuckDB's own conversion of times asks for pytz.
            table = connection.sql(query).to_arrow_table()
        except duckdb.Error as error:
            raise UserError(_sentence(error)) from None
        values = [_values(column) for column in table.columns]
        return Answer(tuple(table.column_names), list(zip(*values, strict=True)))


def _values(column: pa.ChunkedArray) -> list[Any]:
    values: list[Any] = column.to_pylist()
    if pa.types.is_map(column.type):  # Arrow gives pairs
        return [None if value is None else dict(value) for value in values]
    return values


def _sentence(error: duckdb.Error) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    kept = [line for line in lines[:2] if not line.startswith(("LINE", "^"))]
    return f"the query failed: {'; '.join(kept)}"


@contextlib.contextmanager
def _connected(store: Store) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection that has the tables and can do nothing but read them."""
    done = store.done()
    with (
        tempfile.TemporaryDirectory(prefix="medssl-query-") as scratch,
        duckdb.connect() as connection,
    ):
        connection.execute("set enable_progress_bar = false")
        connection.execute(f"set temp_directory = {_quoted(scratch)}")
        connection.execute("set python_enable_replacements = false")
        connection.register("runs_now", runs_table(store))
        connection.execute("create table runs as from runs_now")
        connection.unregister("runs_now")
        paths: list[str] = []
        for name in PUBLISHED:
            paths += _add_view(connection, done, name)
        listed = ", ".join(_quoted(path) for path in dict.fromkeys(paths))
        connection.execute(f"set allowed_paths = [{listed}]")
        connection.execute("set enable_external_access = false")
        connection.execute("set lock_configuration = true")
        yield connection


def _add_view(
    connection: duckdb.DuckDBPyConnection, done: Done, name: str
) -> list[str]:
    """Add the view of a published table; return the files that it reads."""
    connection.register("no_rows", SCHEMAS[name].empty_table())
    connection.execute(f"create table no_{name} as from no_rows")
    connection.unregister("no_rows")
    parts = [f"from no_{name}"]
    own: list[str] = []
    collected: list[str] = []
    shared = ""
    for key in done:
        try:
            path = str(done.table(key, name))
        except KeyError:
            continue
        if done.snapshot is not None and path.startswith(str(done.snapshot.folder)):
            collected.append(key)
            shared = path
        else:
            own.append(path)
    if collected:
        parts.append(_collected(connection, done, name, collected, shared))
    if own:
        files = ", ".join(_quoted(path) for path in own)
        parts.append(
            f"from read_parquet([{files}], union_by_name = true, "
            "hive_partitioning = false)"
        )
    body = " union all by name ".join(f"({part})" for part in parts)
    try:
        connection.execute(f"create view {name} as {body}")
    except (duckdb.Error, OSError) as error:
        reason = str(error).splitlines()[0]
        msg = f"published results cannot be read: {reason}; run: harness verify"
        raise UserError(msg) from None
    return [*own, *([shared] if shared else [])]


def _collected(
    connection: duckdb.DuckDBPyConnection,
    done: Done,
    name: str,
    keys: Sequence[str],
    path: str,
) -> str:
    """Return the rows of a collected file, without nodes that count no longer."""
    rows = f"from read_parquet({_quoted(path)}, hive_partitioning = false)"
    assert done.snapshot is not None
    held = sum(name in tables for _, tables in done.snapshot.nodes.values())
    if len(keys) == held:
        return rows
    live = pa.table({"live": pa.array([key[:KEY_DIGITS] for key in keys])})
    connection.register("live_now", live)
    connection.execute(f"create table live_{name} as from live_now")
    connection.unregister("live_now")
    return f"{rows} where key[:{KEY_DIGITS}] in (from live_{name})"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
