from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.schema.errors import UserError
from harness.store import tables
from harness.store.runs import runs_table
from harness.store.tables import SCHEMAS, build, read_tables, write_table

# The columns of version 1, written out: a column may be added behind them, and none may
# go, change its type or its place in the meaning.
PINNED = {
    "cases": {
        "key": "string!", "case_id": "string!", "group_id": "string!",
        "structure": "string!", "metric": "string!", "value": "double",
        "reason": "string", "diagonal_mm": "double",
    },
    "predictions": {
        "key": "string!", "split": "string!", "case_id": "string!",
        "group_id": "string!", "y_true": "int32!", "scores": "list<item: double>!",
    },
    "curves": {
        "key": "string!", "split": "string!", "quantity": "string!", "step": "int64!",
        "epoch": "double", "wall_s": "double", "value": "double",
    },
    "features": {
        "key": "string!", "layer": "string!", "quantity": "string!", "value": "double",
        "n": "int64",
    },
    "runs": {
        "key": "string!", "attempt": "string!", "kind": "string!",
        "inputs": "map<string, string>!", "method": "string", "encoder": "string",
        "task": "string", "protocol": "string", "label_budget": "string",
        "fold": "int32", "folds": "int32", "seed": "int64", "subset_seed": "int64",
        "pretraining_seed": "int64", "pretraining_key": "string", "tier": "string",
        "corpus": "string", "state": "string!", "error_class": "string",
        "message": "string", "traceback_hash": "string", "host": "string",
        "device": "string", "pid": "int64", "slurm_job": "string",
        "started": "timestamp[us, tz=UTC]", "finished": "timestamp[us, tz=UTC]",
        "wall_s": "double", "gpu_h": "double", "peak_mem": "int64",
        "peak_gpu_mem": "int64", "trainable_params": "int64", "n_train": "int64",
        "disk": "int64", "git_commit": "string", "git_dirty": "bool",
        "provenance": "string",
    },
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(PINNED))
def test_columns_are_only_ever_added(name):
    found = {}
    for field in SCHEMAS[name]:
        kind = field.type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        found[field.name] = f"{kind}{'' if field.nullable else '!'}"
    first = dict(list(found.items())[: len(PINNED[name])])
    assert first == PINNED[name]
    added = [field for field in SCHEMAS[name] if field.name not in PINNED[name]]
    assert all(field.nullable for field in added)
    assert set(SCHEMAS) == set(PINNED)


def curve(**changed):
    return {
        "key": ["k", "k"],
        "split": ["train", "val"],
        "quantity": ["loss", "dice"],
        "step": [1, 2],
        "value": [0.5, None],
        **changed,
    }


def test_a_file_says_which_table_and_version_it_is(tmp_path):
    path = tmp_path / "curves.parquet"
    table = build("curves", curve())
    write_table(path, table)
    marks = pq.read_schema(path).metadata
    assert marks[b"medssl.table"] == b"curves"
    assert marks[b"medssl.schema_version"] == b"1"
    assert read_tables("curves", [path]).to_pylist() == table.to_pylist()
    assert table.to_pylist()[1] == {
        "key": "k", "split": "val", "quantity": "dice", "step": 2,
        "epoch": None, "wall_s": None, "value": None,
    }  # fmt: skip


def test_predictions_hold_lists(tmp_path):
    rows = {
        "key": ["k"],
        "split": ["test"],
        "case_id": ["c"],
        "group_id": ["g"],
        "y_true": [1],
        "scores": [[0.25, 0.75]],
    }
    write_table(tmp_path / "p.parquet", build("predictions", rows))
    (row,) = read_tables("predictions", [tmp_path / "p.parquet"]).to_pylist()
    assert row["scores"] == [0.25, 0.75]
    for scores in ([float("nan"), 1.0], [None, 1.0]):
        with pytest.raises(ValueError, match=r"column 'scores' .* must not hold"):
            build("predictions", {**rows, "scores": [scores]})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"value": [float("nan"), 1.0]}, "'value' of table 'curves' must not hold nan"),
        ({"step": [1, None]}, "'step' of table 'curves' must not hold nulls"),
        ({"colour": ["red", "blue"]}, "'curves' has no column colour"),
    ],
)
def test_values_that_mean_nothing_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        build("curves", curve(**changed))


def test_a_needed_column_cannot_be_left_out():
    columns = curve()
    del columns["split"]
    with pytest.raises(ValueError, match="'curves' needs the column 'split'"):
        build("curves", columns)


def test_an_empty_table_is_a_table(tmp_path):
    path = tmp_path / "cases.parquet"
    write_table(path, SCHEMAS["cases"].empty_table())
    assert read_tables("cases", [path]).num_rows == 0
    assert read_tables("cases", []).schema.equals(SCHEMAS["cases"])


def test_a_table_without_a_schema_is_not_written(tmp_path):
    plain = pa.table({"key": ["k"]})
    disguised = plain.replace_schema_metadata(SCHEMAS["cases"].metadata)
    for table in (plain, disguised):
        with pytest.raises(ValueError, match="needs a table with one of the schemas"):
            write_table(tmp_path / "a.parquet", table)
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "curves.parquet"
    write_table(path, build("curves", curve()))
    before = path.read_bytes()

    def fail(table, file, **_):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tables.pq, "write_table", fail)
    with pytest.raises(OSError, match="No space"):
        write_table(path, build("curves", curve(step=[7, 8])))
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def write_other(path, table, *, version=b"1", name=b"curves"):
    marks = {b"medssl.table": name, b"medssl.schema_version": version}
    pq.write_table(table.replace_schema_metadata(marks), path)


def test_older_and_younger_files_are_read_together(tmp_path):
    now = build("curves", curve())
    old = now.drop_columns(["wall_s", "epoch"])
    more = now.append_column("lr", pa.array([0.1, 0.2]))
    for name, table in (("old", old), ("now", now), ("more", more)):
        write_other(tmp_path / name, table)
    joined = read_tables("curves", [tmp_path / name for name in ("old", "now", "more")])
    assert joined.num_rows == 6
    assert joined.column_names == [*SCHEMAS["curves"].names, "lr"]
    assert joined["lr"].to_pylist() == [None] * 4 + [0.1, 0.2]
    assert joined["epoch"].null_count == 6
    assert joined["quantity"].to_pylist() == ["loss", "dice"] * 3
    assert joined.schema.metadata[b"medssl.table"] == b"curves"


def test_what_cannot_be_read_is_named(tmp_path):
    newer, wrong, torn = (tmp_path / name for name in ("newer", "wrong", "torn"))
    write_other(newer, build("curves", curve()), version=b"2")
    write_table(wrong, SCHEMAS["cases"].empty_table())
    torn.write_bytes(newer.read_bytes()[:100])
    for path, message in (
        (newer, r"newer was written with table version 2.*update the harness"),
        (wrong, r"wrong is not a table of curves"),
        (torn, r"torn cannot be read as Parquet: run `harness verify`"),
        (tmp_path / "none", r"none cannot be read \(No such file"),
    ):
        with pytest.raises(UserError, match=message):
            read_tables("curves", [path])


def test_duckdb_reads_the_files(tmp_path, make_rows):
    for name in ("a", "b"):
        write_table(tmp_path / f"{name}.parquet", make_rows(name, (0.5, None)))
    with duckdb.connect() as base:
        paths = [str(tmp_path / f"{name}.parquet") for name in ("a", "b")]
        rows = base.execute(
            "select key, count(*), count(value) from read_parquet($paths) "
            "group by key order by key",
            {"paths": paths},
        ).fetchall()
    assert rows == [("a", 2, 1), ("b", 2, 1)]


def test_the_runs_table_has_a_row_for_each_attempt(store, published, planned):
    done = published(0, labels={"label_budget": "5-shot", "fold": 0})
    failed = planned(1, inputs={"adapt": done})
    made_by = {"git": {"commit": "c" * 40, "dirty": True}, "slurm": {"job": "17"}}
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        attempt = store.begin(failed, made_by=made_by)
        attempt.note(device="cpu", gpu_h=0.5, trainable_params=9, ignored=1)
        attempt.fail("code", "it broke")
    bare = planned(2)
    (store.node_dir(bare) / "attempts" / "20200101T0-h-1-0").mkdir(parents=True)

    table = runs_table(store)
    assert table.schema.equals(SCHEMAS["runs"])
    rows = {row["key"]: row for row in table.to_pylist()}
    assert set(rows) == {done, failed, bare}
    good, bad = rows[done], rows[failed]
    assert (good["state"], good["method"], good["seed"]) == ("done", "fake", 0)
    assert (good["label_budget"], good["fold"]) == ("5-shot", 0)
    (attempt_dir,) = (store.node_dir(done) / "attempts").iterdir()
    assert good["disk"] == sum(path.stat().st_size for path in attempt_dir.iterdir())
    assert datetime(2026, 1, 1, tzinfo=UTC) < good["started"] <= good["finished"]
    assert (bad["state"], bad["error_class"], bad["message"]) == (
        "failed", "code", "it broke",
    )  # fmt: skip
    assert bad["inputs"] == [("adapt", done)]
    assert (bad["gpu_h"], bad["trainable_params"], bad["device"]) == (0.5, 9, "cpu")
    assert (bad["git_commit"], bad["git_dirty"]) == ("c" * 40, True)
    assert bad["slurm_job"] == "17"
    assert len(bad["traceback_hash"]) == 16
    assert (rows[bare]["kind"], rows[bare]["started"]) == ("evaluate", None)
    assert runs_table(store, [done]).num_rows == 1
    write_table(store.root / "runs.parquet", table)
    again = read_tables("runs", [store.root / "runs.parquet"])
    assert again.to_pylist() == table.to_pylist()


def test_the_written_format_names_every_column():
    text = (Path(__file__).parents[2] / "results" / "README.md").read_text()
    for name, schema in SCHEMAS.items():
        section = text.split(f"**{name}**")[1].split("\n**")[0]
        named = {
            word.strip()
            for row in section.splitlines()
            if row.startswith("| ")
            for word in row.split("|")[1].split(",")
        } - {"column"}
        wanted = {
            field.name if field.nullable else f"{field.name}*" for field in schema
        }
        assert named == wanted, name
