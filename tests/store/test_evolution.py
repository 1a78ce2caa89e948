"""Stores that earlier versions wrote are read, added to, collected and verified.

Each folder in tests/store/written/ was written by the version in its name, by
make_store.py beside it, and is never written again.
"""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

from harness.schema.errors import UserError
from harness.store import Store, query
from harness.store.collect import collect
from harness.store.runs import runs_table
from harness.store.tables import SCHEMAS, read_tables, write_table

WRITTEN = Path(__file__).with_name("written")
VERSIONS = sorted(path.name for path in WRITTEN.iterdir() if path.is_dir())


def _load_script():
    path = WRITTEN / "make_store.py"
    spec = importlib.util.spec_from_file_location("make_store", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


script = _load_script()


@pytest.fixture(params=[version for version in VERSIONS if version != "__pycache__"])
def old(request, tmp_path):
    return Store(shutil.copytree(WRITTEN / request.param, tmp_path / "results"))


def test_there_is_a_store_of_an_earlier_version():
    assert "aac7597" in VERSIONS


def test_its_nodes_are_done_and_sound(old):
    done = old.done()
    kinds = sorted(done[key].kind for key in done)
    assert kinds == ["adapt", "adapt", "evaluate", "evaluate", "pretrain"]
    assert old.verify() == []
    for key in done:
        assert old.spec(key)["identity"]["version"] == 1


@pytest.mark.parametrize("collected", [False, True])
def test_its_rows_are_read(old, collected):
    if collected:
        assert collect(old).left_out == ()
    done = old.done()
    by_task = {
        done[key].labels["task"]: key for key in done if done[key].kind == "evaluate"
    }
    organs = {by_task["organs"]: done.table(by_task["organs"], "cases")}
    rows = query.case_scores(organs, metric="dice", charge={}).to_pylist()
    assert sorted((row["case_id"], row["score"]) for row in rows) == [
        ("a", 0.5), ("b", 0.75), ("c", None),
    ]  # fmt: skip
    nodules = {by_task["nodules"]: done.table(by_task["nodules"], "predictions")}
    rows = query.predictions(nodules).to_pylist()
    assert sorted((row["case_id"], row["scores"]) for row in rows) == [
        ("b", [0.5, 0.5]), ("c", [0.125, 0.875]),
    ]  # fmt: skip
    runs = runs_table(old).to_pylist()
    states = sorted((row["kind"], row["state"]) for row in runs)
    assert states == [
        ("adapt", "done"), ("adapt", "done"), ("adapt", "failed"), ("adapt", "failed"),
        ("adapt", "failed"), ("evaluate", "done"), ("evaluate", "done"),
        ("pretrain", "done"),
    ]  # fmt: skip
    assert {row["slurm_job"] for row in runs} == {"17"}


def test_columns_that_it_lacks_are_null(old, monkeypatch):
    import pyarrow as pa

    wider = SCHEMAS["curves"].append(pa.field("lr", pa.float64()))
    monkeypatch.setitem(SCHEMAS, "curves", wider)
    done = old.done()
    (start,) = [key for key in done if done[key].kind == "pretrain"]
    rows = read_tables("curves", [done.table(start, "curves")])
    assert rows["lr"].to_pylist() == [None, None]
    name = collect(old).name
    held = read_tables("curves", [old.root / "snapshots" / name / "curves.parquet"])
    assert held.column_names == wider.names


def test_new_results_stand_beside_it(old):
    node = script.spec("evaluate", 5, {"adapt": "0" * 64}, **script.cell(5, "organs"))
    script.publish(old, node, {"cases.parquet": script.scores(node["key"])})
    assert len(old.done()) == 6
    assert old.verify() == []
    assert collect(old).rows["cases"] == 6


def test_the_script_writes_what_the_fixture_holds(old, tmp_path):
    script.make(tmp_path / "now")
    now = Store(tmp_path / "now")
    assert set(now.done()) == set(old.done())
    assert sorted(now.nodes()) == sorted(old.nodes())


def test_a_newer_store_manifest_and_table_are_refused(old, tmp_path):
    done = old.done()
    key = next(key for key in done if done[key].kind == "pretrain")
    path = old.file(key, "curves.parquet")
    manifest = old.root / "done" / key[:2] / f"{key[:16]}.json"
    text = manifest.read_text()
    manifest.write_text(text.replace('"format":1', '"format":2'))
    with pytest.raises(UserError, match=r"format 2, and this harness.*update"):
        old.manifest(key)
    manifest.write_text(text)
    table = read_tables("curves", [path])
    write_table(tmp_path / "curves.parquet", table)
    (old.root / "format.json").write_text(json.dumps({"format": 2}))
    with pytest.raises(UserError, match=r"format 2, and this harness.*update"):
        Store(old.root)
