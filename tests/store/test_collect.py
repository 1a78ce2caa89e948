"""Collected tables: the same rows as the nodes' own files, whatever happens meanwhile."""

import json
import shutil

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.schema.errors import UserError
from harness.store import Store, query, snapshot
from harness.store import collect as module
from harness.store.collect import collect
from harness.store.lock import Lock
from harness.store.runs import runs_table
from harness.store.tables import build, read_tables, write_table


@pytest.fixture
def add(store, planned):
    """Publish a node with cases and curves, or with `files`; return its key."""

    def publish(number, values=(0.5, 0.25), files=None, **more):
        key = planned(number, **more)
        with store.begin(key, made_by={}) as attempt:
            for name, table in (files or tables)(key, values).items():
                write_table(attempt.path(f"{name}.parquet"), table)
            attempt.publish()
        return key

    return publish


def tables(key, values):
    count = len(values)
    cases = {
        "key": [key] * count, "case_id": [f"c{i}" for i in range(count)],
        "group_id": ["p"] * count, "structure": ["liver"] * count,
        "metric": ["dice"] * count, "value": list(values),
    }  # fmt: skip
    curve = {
        "key": [key], "split": ["train"], "quantity": ["loss"], "step": [0],
        "value": [1.0],
    }  # fmt: skip
    return {"cases": build("cases", cases), "curves": build("curves", curve)}


def scores(store):
    """What a report reads: {key: sorted scores}."""
    done = store.done()
    files = {key: done.table(key, "cases") for key in done}
    rows = query.case_scores(files, metric="dice", charge={}).to_pylist()
    keys = list(files)
    return {
        key: sorted(row["score"] for row in rows if row["cell"] == place)
        for place, key in enumerate(keys)
    }


def in_order(table):
    return sorted(table.to_pylist(), key=repr)


def rewrite_file(store, key, table):
    """Replace a published file and its manifest, as another version might have made."""
    path = store.file(key, "cases.parquet")
    pq.write_table(table, path)
    from harness.store.durable import hash_file

    place = store.root / "done" / key[:2] / f"{key[:16]}.json"
    manifest = json.loads(place.read_text())
    size, digest = hash_file(path)
    manifest["files"]["cases.parquet"] = {"size": size, "sha256": digest}
    place.write_text(json.dumps(manifest))


def test_collected_rows_are_the_published_rows(store, add):
    keys = [add(number, (number / 10, 0.5)) for number in range(5)]
    before, runs = scores(store), runs_table(store)
    found = collect(store)
    assert (found.nodes, found.added, found.left_out) == (5, 5, ())
    assert found.rows == {
        "cases": 10, "curves": 5, "predictions": 0, "features": 0, "runs": 5
    }  # fmt: skip
    done = store.done()
    shared = {done.table(key, "cases") for key in keys}
    assert shared == {store.root / "snapshots" / found.name / "cases.parquet"}
    assert scores(store) == before
    held = read_tables("cases", shared)
    own = read_tables("cases", [store.file(key, "cases.parquet") for key in keys])
    assert in_order(held) == in_order(own)
    assert held.schema.equals(own.schema)
    again = runs_table(store)
    assert in_order(again) == in_order(runs)
    assert store.verify() == []


def test_newer_nodes_are_read_beside_what_is_collected(store, add):
    first = add(0)
    collect(store)
    second = add(1, (0.75, 1.0))
    assert scores(store) == {first: [0.25, 0.5], second: [0.75, 1.0]}
    assert {row["key"] for row in runs_table(store).to_pylist()} == {first, second}
    found = collect(store)
    assert (found.nodes, found.added) == (2, 1)
    assert scores(store) == {first: [0.25, 0.5], second: [0.75, 1.0]}


def test_nothing_new_writes_nothing(store, add):
    add(0)
    name = collect(store).name
    stamps = [
        p.stat().st_mtime_ns for p in sorted((store.root / "snapshots").rglob("*"))
    ]
    found = collect(store)
    assert (found.name, found.added, found.nodes) == (name, 0, 1)
    after = [
        p.stat().st_mtime_ns for p in sorted((store.root / "snapshots").rglob("*"))
    ]
    assert after[:-1] or after == stamps
    assert collect(store, afresh=True).name != name


def test_an_empty_store_has_nothing_to_collect(tmp_path):
    assert collect(Store(tmp_path / "none")).name is None
    assert not (tmp_path / "none").exists()


def test_a_node_that_was_published_anew_is_read_from_its_own_file(store, add):
    kept, redone = add(0), add(1, (0.75, 1.0, 1.0))
    collect(store)
    store.file(redone, "cases.parquet").unlink()
    assert scores(store) == {kept: [0.25, 0.5]}
    with store.begin(redone, made_by={}) as attempt:
        write_table(attempt.path("cases.parquet"), tables(redone, (0.0,))["cases"])
        attempt.publish()
    assert scores(store) == {kept: [0.25, 0.5], redone: [0.0]}  # not its older rows
    found = collect(store)
    assert (found.nodes, found.added, found.rows["cases"]) == (2, 1, 3)
    assert scores(store) == {kept: [0.25, 0.5], redone: [0.0]}
    states = sorted(row["state"] for row in runs_table(store).to_pylist())
    assert states == ["done", "done", "duplicate"]


def test_failed_attempts_are_rows_of_runs_before_and_after(store, add, planned):
    add(0)
    bad = planned(7)
    store.begin(bad, made_by={}).fail("oom", "too big")
    collect(store)
    running = store.begin(planned(8), made_by={})
    rows = {row["key"]: row for row in runs_table(store).to_pylist()}
    assert rows[bad]["state"] == "failed"
    assert rows[bad]["error_class"] == "oom"
    assert rows[running.key]["state"] == "running"
    running.fail("code", "broke")
    collect(store, afresh=True)
    states = sorted(row["state"] for row in runs_table(store).to_pylist())
    assert states == ["done", "failed", "failed"]


def test_damaged_files_are_left_out_and_named(store, add):
    sound, torn, foreign, other = (add(number) for number in range(4))
    path = store.file(torn, "cases.parquet")
    path.write_bytes(b"x" * path.stat().st_size)
    rewrite_file(store, foreign, tables(sound, (1.0,))["cases"])
    rewrite_file(store, other, tables(other, (1.0,))["curves"])
    found = collect(store)
    assert found.nodes == 1
    assert {(one.key, one.message) for one in found.left_out} == {
        (torn, "its published file cases.parquet has other content than was published"),
        (foreign, "its published file cases.parquet has rows of other nodes"),
        (other, "its published file cases.parquet is not a table of cases"),
    }
    held = read_tables(
        "curves", [store.root / "snapshots" / found.name / "curves.parquet"]
    )
    assert held["key"].to_pylist() == [sound]  # no half of a node that is left out


def test_columns_that_a_newer_harness_added_are_kept(store, add, monkeypatch):
    monkeypatch.setattr("harness.store.growing.ROWS", 2)  # written before it is known
    old = [add(number) for number in range(3)]
    new = add(9)
    table = read_tables("cases", [store.file(new, "cases.parquet")])
    wide = table.append_column("volume_ml", pa.array([1.5, None]))
    rewrite_file(store, new, wide)
    found = collect(store)
    assert found.left_out == ()
    held = pq.read_table(store.root / "snapshots" / found.name / "cases.parquet")
    volumes = {key: [None, None] for key in old} | {new: [1.5, None]}
    for key, expected in volumes.items():
        rows = held.filter(pa.compute.equal(held["key"].cast("string"), key))
        assert rows["volume_ml"].to_pylist() == expected
    add(10)
    again = collect(store)
    assert (
        "volume_ml"
        in pq.read_schema(store.root / "snapshots" / again.name / "cases.parquet").names
    )


def test_a_column_of_another_type_leaves_its_node_out(store, add):
    sound, odd = add(0), add(1)
    table = read_tables("cases", [store.file(odd, "cases.parquet")])
    place = table.schema.get_field_index("value")
    words = table.set_column(place, "value", pa.array(["high", "low"]))
    rewrite_file(store, odd, words)
    (fault,) = collect(store).left_out
    assert fault.key == odd
    assert fault.message.startswith("its cases do not fit those of other nodes: ")
    assert set(snapshot.load(store.root).nodes) == {sound[:16]}


HARM = {
    "a table is gone": lambda now: (now / "cases.parquet").unlink(),
    "torn": lambda now: (now / "snapshot.json").write_text("{"),
    "no object": lambda now: (now / "snapshot.json").write_text("[]"),
    "newer": lambda now: newer(now),
    "outside": lambda now: (now.parent / "CURRENT").write_text("../../../etc"),
    "unknown": lambda now: (now.parent / "CURRENT").write_text(
        "20260101T000000000-x-1"
    ),
    "no text": lambda now: (now.parent / "CURRENT").write_bytes(b"\xff"),
    "the snapshot is gone": lambda now: shutil.rmtree(now),
    "all is gone": lambda now: shutil.rmtree(now.parent),
}


@pytest.mark.parametrize("harm", HARM)
def test_a_snapshot_that_cannot_be_relied_on_is_passed_over(store, add, harm):
    key = add(0)
    folder = store.root / "snapshots"
    HARM[harm](folder / collect(store).name)
    assert scores(store) == {key: [0.25, 0.5]}
    assert len(runs_table(store)) == 1
    problems = [] if harm == "all is gone" else ["snapshots/CURRENT"]
    assert [problem.key for problem in store.verify()] == problems
    assert collect(store).added == 1
    assert scores(store) == {key: [0.25, 0.5]}
    assert store.verify() == []


def newer(folder):
    document = json.loads((folder / "snapshot.json").read_text())
    (folder / "snapshot.json").write_text(json.dumps({**document, "snapshot": 99}))


def test_changed_bytes_of_a_snapshot_are_found_and_not_taken_over(store, add):
    key = add(0)
    name = collect(store).name
    path = store.root / "snapshots" / name / "cases.parquet"
    data = bytearray(path.read_bytes())
    data[10] ^= 1
    path.write_bytes(data)
    (problem,) = store.verify()
    assert problem.key == f"snapshots/{name}/cases.parquet"
    assert problem.message == (
        "it has other content than was collected: `harness collect --afresh` writes it "
        "anew"
    )
    add(1)
    assert collect(store).added == 2  # both from their own files
    assert scores(store)[key] == [0.25, 0.5]


def test_a_second_collector_is_told_to_wait(store, add):
    add(0)
    collect(store)
    add(1)
    held = Lock(store.root / "snapshots" / ".lock").held()
    busy = r"another `harness collect` is at work \(process"
    with held, pytest.raises(UserError, match=busy):
        collect(store)
    assert collect(store).added == 1


def test_two_that_collect_at_once_leave_a_whole_snapshot(store, add, monkeypatch):
    # One took the other for dead: the lock stops neither.
    key = add(0)
    real, inner = module.runs_table, []

    def slow(held):
        if not inner:
            inner.append(True)
            (store.root / "snapshots" / ".lock").unlink()
            monkeypatch.setattr(module, "_remove_drafts", lambda _: None)
            add(1)
            collect(store)
        return real(held)

    monkeypatch.setattr(module, "runs_table", slow)
    collect(store)
    assert scores(store)[key] == [0.25, 0.5]
    assert len(scores(store)) == 2
    assert store.verify() == []


def test_only_the_last_two_snapshots_stay(store, add):
    names = []
    for number in range(4):
        add(number)
        names.append(collect(store).name)
    folders = {
        path.name for path in (store.root / "snapshots").iterdir() if path.is_dir()
    }
    assert folders == set(names[-2:])


def test_the_collected_tables_are_plain_parquet(store, add):
    add(0)
    name = collect(store).name
    file = store.root / "snapshots" / name / "cases.parquet"
    rows = duckdb.sql(f"select count(*), avg(value) from '{file}'").fetchall()
    assert rows == [(2, 0.375)]
