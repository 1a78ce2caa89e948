"""A run killed at any moment repeats only what was not published; no row is torn."""

import importlib.util
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from harness.store import Store, snapshot
from harness.store.collect import collect as gather
from harness.store.tables import read_tables

CHILD = Path(__file__).with_name("killed_child.py")
ROOT = Path(__file__).resolve().parents[2]
FILES = {"cases.parquet": "cases", "curves.parquet": "curves"}


def _load_child():
    spec = importlib.util.spec_from_file_location("killed_child", CHILD)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


child = _load_child()


@pytest.fixture(scope="module")
def ask():
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, str(CHILD)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    )

    def request(**fields):
        process.stdin.write(json.dumps(fields) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        assert answer, "the child that forks the others died"
        return json.loads(answer)

    yield request
    process.stdin.close()
    process.stdout.close()
    process.wait(timeout=30)


class Trial:
    """One results folder under repeated runs, looked at from outside after each."""

    def __init__(self, ask, folder, cells):
        self.ask, self.cells = ask, cells
        self.root, self.work = folder / "results", folder / "work.txt"
        self.work.parent.mkdir()
        self.work.touch()
        self.keys = [spec["key"] for spec in child.nodes(cells)]
        self.published = set()

    def run(self, *, step=None, kill=None):
        """Run the matrix; return where it was killed (step and call), or None."""
        computed_before = len(self.work.read_text().split())
        answer = self.ask(
            do="matrix", root=str(self.root), work=str(self.work), cells=self.cells,
            step=step, kill=kill,
        )  # fmt: skip
        lines, status = answer["lines"], answer["status"]
        assert status in {0, -9}, lines[-1:]
        computed = self.work.read_text().split()[computed_before:]
        repeated = self.published & set(computed)
        assert not repeated, f"published, and computed again: {repeated}"
        assert len(computed) == len(set(computed))
        self.look()
        self.steps = lines
        return (lines[-1] if lines else "0 before the first") if status else None

    def look(self):
        """Check every row that a reader can see, and keep which nodes are published."""
        names = {path.stem for path in (self.root / "done").glob("*/*.json")}
        now = {key for key in self.keys if key[:16] in names}
        assert self.published <= now, "a published node has gone"
        assert len(names) == len(now)
        self.published = now
        store = Store(self.root)
        done = store.done()
        assert set(done) == now, done.problems()
        assert store.verify() == []
        for file, name in FILES.items():
            paths = [store.file(key, file) for key in now]
            found = read_tables(name, paths).to_pylist()
            expected = [row for key in now for row in child.rows(key)[file].to_pylist()]
            order = json.dumps
            assert sorted(found, key=order) == sorted(expected, key=order)

    def finish(self):
        """Run to the end without a kill and check the records of all attempts."""
        assert self.run() is None
        assert self.published == set(self.keys)
        store = Store(self.root)
        for key in self.keys:
            states = Counter(run["state"] for run in store.attempts(key))
            assert states["done"] == 1
            assert set(states) <= {"done", "lost"}, states


def summary(kills):
    """Say where the kills fell: how many before each kind of call on each file."""
    places = Counter()
    for kill in kills:
        _, _, place = kill.partition(" ")
        call, _, name = place.partition(" ")
        for kind in (*FILES, "spec.json", "run.json", "reserve", "heartbeat", "format"):
            if kind in name:
                name = kind
                break
        else:
            name = "manifest" if name.count(".json") else "folder or other"
        places[call, name] += 1
    lines = [f"\n{len(kills)} kills at {len(set(kills))} distinct steps, before:"]
    lines += [f"  {c:9} {name:16} {n}" for (c, name), n in sorted(places.items())]
    sys.stdout.write("\n".join(lines) + "\n")  # pytest -s, or when the test fails
    return places


def test_killed_before_each_single_step(ask, tmp_path):
    """A node is killed before each of its steps, within writes; then it runs again.

    Of the many writes of a Parquet file every fifth is taken.
    """
    clean = Trial(ask, tmp_path / "clean", cells=0)
    assert clean.run() is None
    total = len(clean.steps)
    assert total > 40
    kills = []
    writes = [n for n, line in enumerate(clean.steps, 1) if " io.write " in line]
    steps = sorted(set(range(1, total + 1)) - set(writes) | set(writes[::5]))
    for step in steps:
        trial = Trial(ask, tmp_path / f"step{step}", cells=0)
        kills.append(trial.run(step=step))
        assert kills[-1].startswith(f"{step} ")
        trial.finish()
    assert len(set(kills)) == len(steps) > 60
    places = summary(kills)
    calls = {call for call, _ in places}
    assert calls >= {"open", "write", "fsync", "replace", "link", "unlink", "mkdir"}
    assert {"io.open", "io.write"} <= calls
    for what in (("link", "manifest"), ("replace", "run.json"), ("write", "manifest")):
        assert places[what], f"no kill fell before {what}"


def test_killed_at_random_moments(ask, tmp_path, record_property):
    """A matrix of five nodes is killed four times, from outside, before it finishes."""
    rng = random.Random(0)
    clean = Trial(ask, tmp_path / "clean", cells=2)
    clean.run()
    kills = []
    for number in range(10):
        trial = Trial(ask, tmp_path / f"trial{number}", cells=2)
        for _ in range(4):
            moment = [rng.randrange(len(clean.steps) // 3), rng.uniform(0, 0.003)]
            killed = trial.run(kill=moment)
            if killed is None:
                break
            kills.append(killed)
        trial.finish()
    summary(kills)
    record_property("kills", kills)
    assert len(kills) >= 20
    assert len(set(kills)) >= 15


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("damaged", [False, True])
def test_two_publish_at_the_same_moment(ask, tmp_path, links, damaged):
    store = Store(tmp_path / "results")
    specs = child.nodes(1)
    for spec in specs:
        store.write_spec(spec)
        key = spec["key"]
        manifest = store.root / "done" / key[:2] / f"{key[:16]}.json"
        if damaged:
            manifest.parent.mkdir(parents=True, exist_ok=True)
            manifest.write_text("{")
            os.utime(manifest, (1, 1))
        answer = ask(do="race", root=str(store.root), key=key, links=links)
        assert answer["ready"] == ["ready\n"] * 2
        assert [status for status, _ in answer["ends"]] == [0, 0], answer
        told = dict(lines[-1].split() for _, lines in answer["ends"])
        assert sorted(told.values()) == ["duplicate", "published"]
        (winner,) = (name for name, said in told.items() if said == "published")
        assert store.manifest(key).attempt == winner
        states = {run["attempt"]: run["state"] for run in store.attempts(key)}
        assert states == {
            name: "done" if name == winner else "duplicate" for name in told
        }
        bad = manifest.with_name(f"{manifest.name}.bad-1")
        assert bad.exists() == damaged
        rows = read_tables("cases", [store.file(key, "cases.parquet")])
        assert rows.num_rows == 50
    assert len(store.done()) == len(specs)


def test_a_collect_killed_before_any_step_leaves_the_snapshot_before(ask, tmp_path):
    root = tmp_path / "results"
    child.run_matrix(str(root), tmp_path / "work", 1)
    store = Store(root)
    before = gather(store).name
    child.run_matrix(str(root), tmp_path / "work", 2)
    places = set()
    for step in itertools.count(1):
        copy = shutil.copytree(root, tmp_path / "copy")
        answer = ask(do="collect", root=str(copy), step=step)
        now, store = snapshot.load(copy), Store(copy)
        if answer["status"] == 0:
            break
        assert answer["status"] == -9, answer["lines"][-1:]
        places.add(" ".join(answer["lines"][-1].split()[1:])[:14])
        assert len(now.nodes) == (3 if now.name == before else 5)
        assert store.verify() == []
        if step % 3 == 0:  # goes on from what was left; each time would take long
            assert ask(do="collect", root=str(copy), step=None)["status"] == 0
            assert len(snapshot.load(copy).nodes) == 5
            assert not [p for p in (copy / "snapshots").glob(".*") if p.is_dir()]
        shutil.rmtree(copy)
    assert now.name != before
    # Threads read the index, so that one step or the other is met twice or not at all.
    assert len(places) > 10
