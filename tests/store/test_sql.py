"""Queries read the published tables, and can do nothing else."""

import shutil
from pathlib import Path

import pytest

from harness.schema.errors import UserError
from harness.store import Store
from harness.store.collect import collect
from harness.store.sql import TABLES, ask
from harness.store.tables import SCHEMAS, write_table

WRITTEN = Path(__file__).with_name("written") / "aac7597"


@pytest.fixture
def old(tmp_path):
    return Store(shutil.copytree(WRITTEN, tmp_path / 'a folder\'s "results"'))


def value(store, query):
    (row,) = ask(store, query).rows
    return row[0] if len(row) == 1 else row


@pytest.mark.parametrize("collected", [False, True])
def test_every_table_is_there_with_all_its_columns(old, collected):
    if collected:
        collect(old)
    counts = {name: value(old, f"select count(*) from {name}") for name in TABLES}
    assert counts == {
        "runs": 8, "cases": 3, "predictions": 3, "curves": 6, "features": 0
    }  # fmt: skip
    for name in TABLES:
        found = ask(old, f"select * from {name} limit 1")
        assert set(found.columns) == set(SCHEMAS[name].names)


def test_tables_are_joined_by_their_keys(old):
    found = ask(
        old,
        "select task, seed, avg(value) as dice from runs join cases using (key) "
        "where state = 'done' group by all",
    )
    assert found.columns == ("task", "seed", "dice")
    assert found.rows == [("organs", 0, 0.625)]
    assert value(old, "select sum(wall_s) > 0 from runs where state = 'failed'")


def test_nodes_that_count_no_longer_are_not_there(old, make_rows):
    collect(old)
    done = old.done()
    (key,) = [k for k in done if done[k].labels.get("task") == "organs"
              and done[k].kind == "evaluate"]  # fmt: skip
    old.file(key, "cases.parquet").unlink()
    assert value(old, "select count(*) from cases") == 0
    with old.begin(key, made_by={}) as attempt:
        write_table(attempt.path("cases.parquet"), make_rows(key, (0.25,)))
        attempt.publish()
    assert value(old, "select count(*), avg(value) from cases") == (1, 0.25)


def test_an_empty_store_has_empty_tables(tmp_path):
    store = Store(tmp_path / "none")
    assert value(store, "select count(*) from cases") == 0
    assert ask(store, "select key, value from cases").columns == ("key", "value")


FORBIDDEN = [
    "create table x (a int)",
    "insert into runs select * from runs",
    "drop view cases",
    "drop table runs",
    "delete from runs",
    "update runs set state = 'done'",
    "copy (select 1) to '{out}'",
    "copy runs to '{out}'",
    "explain analyze copy (select 1) to '{out}'",
    "attach '{out}'",
    "export database '{out}'",
    "install httpfs",
    "load httpfs",
    "set enable_external_access = true",
    "pragma version",
    "call pragma_version()",
    "select 1; select 2",
    "select 1; drop view cases",
    "begin transaction",
    "prepare a as select 1",
    "",
]
UNREADABLE = [
    "select * from read_text('{secret}')",
    "select * from read_blob('{secret}')",
    "select * from read_csv('{secret}')",
    "select * from '{secret}'",
    "select * from read_parquet('{secret}')",
    "select * from glob('{folder}/*')",
    "select * from read_json_auto('https://example.org/x.json')",
    "select * from query('copy (select 1) to ''{out}''')",
    "select * from store",
    "select * from secret",
]


@pytest.fixture
def places(tmp_path):
    secret = tmp_path / "secret.csv"
    secret.write_text("a,b\n1,2\n")
    return {"secret": secret, "out": tmp_path / "out", "folder": tmp_path}


def tree(folder):
    return {
        path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


@pytest.mark.parametrize("query", FORBIDDEN)
def test_anything_but_one_select_is_refused(old, places, query):
    value(old, "select count(*) from cases")  # writes the index
    before = tree(places["folder"])
    with pytest.raises(UserError, match="the query must be one SELECT, and this is"):
        ask(old, query.format(**places))
    assert tree(places["folder"]) == before


@pytest.mark.parametrize("query", UNREADABLE)
def test_no_other_file_and_no_variable_is_read(old, places, query):
    secret = [{"a": 1}]
    assert secret
    value(old, "select count(*) from cases")
    before = tree(places["folder"])
    with pytest.raises(UserError, match="the query failed: "):
        ask(old, query.format(**places))
    assert tree(places["folder"]) == before


def test_published_files_cannot_be_written_through_a_query(old):
    done = old.done()
    paths = [
        old.file(key, name) for key in done for name in done[key].files
    ]  # these are the files that DuckDB may open
    before = {path: path.read_bytes() for path in paths}
    for path in paths:
        target = str(path).replace("'", "''")
        for query in (
            f"copy (select 1) to '{target}'",
            f"explain analyze copy (select 1) to '{target}' (format parquet)",
            f"select * from query('copy (select 1) to ''{target}''')",
        ):
            with pytest.raises(UserError):
                ask(old, query)
    assert {path: path.read_bytes() for path in paths} == before


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("selec 1", 'syntax error at or near "selec"'),
        ("select nope from cases", '"nope" not found'),
        ("select * from casess", "casess does not exist"),
        ("select 'a'::int", "Could not convert string 'a' to INT32"),
    ],
)
def test_mistakes_are_one_sentence(old, query, message):
    with pytest.raises(UserError, match=message) as caught:
        ask(old, query)
    assert "\n" not in str(caught.value)


def test_nothing_is_left_behind(old, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    before = set(tmp_path.iterdir())
    ask(old, "select count(*) from cases, curves, runs")
    assert set(tmp_path.iterdir()) == before
