"""`harness run` killed at many moments, of planning and preparing data too.

tests/store/test_kill.py kills one node between its system calls. Here the whole command
dies, and what counts is what the next command makes of the results folder.
"""

import importlib.util
import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from harness.store import Store
from harness.store.query import case_scores

CHILD = Path(__file__).with_name("killed_run.py")
ROOT = Path(__file__).resolve().parents[2]
MATRIX = {
    "methods": "{random: , simmim: , smit: }", "corpus": "[blobs]", "seeds": "[0, 1]",
    "label_budgets": "[n=2, 100%]",
}  # fmt: skip
NODES = 2 + 2 * 12
EARLY = ["in plan", "in data cache", "in specs", "in data cache"]


def _scores_of_the_child():
    spec = importlib.util.spec_from_file_location("killed_run", CHILD)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.scores


@pytest.fixture
def ask(described):
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "MEDSSL_CACHE": str(described),
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, str(CHILD)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env=environment, text=True,
    )  # fmt: skip

    def ask(**request):
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        assert answer, "the process that forks the others died"
        return json.loads(answer)

    yield ask
    process.stdin.close()
    process.stdout.close()
    process.wait(timeout=30)


class Trial:
    """One results folder under repeated runs, looked at from outside after each."""

    def __init__(self, ask, user, number):
        self.ask, self.user = ask, user
        self.results = user.root / f"results-{number}"
        self.work = user.root / f"work-{number}"
        self.work.touch()
        self.published = set()
        self.scores = _scores_of_the_child()

    def run(self, kill=None):
        """Run the matrix; return its marks, and whether it was killed."""
        before = len(self.work.read_text().split())
        words = ["-b", str(self.user.benchmark), "--results", str(self.results)]
        words += ["run", "--cluster", "inline"]
        answer = self.ask(words=words, work=str(self.work), kill=kill)
        marks, killed = answer["marks"], answer["status"] == -9
        assert killed or marks[-1:] == ["end 0"], marks[-3:]
        computed = self.work.read_text().split()[before:]
        assert len(computed) == len(set(computed))
        assert not self.published & set(computed), "published, and computed again"
        self.look()
        return marks, killed

    def look(self):
        """Read every row that the tables would be drawn from."""
        store = Store(self.results)
        done = store.done()
        assert self.published <= set(done), "a published node has gone"
        self.published = set(done)
        assert not done.problems()
        keys = [key for key, found in done.items() if found.kind == "evaluate"]
        if not keys:
            return
        files = {key: store.file(key, "cases.parquet") for key in keys}
        rows = case_scores(files, metric="dice", charge={}).to_pylist()
        found = Counter((keys[r["cell"]], r["case_id"], r["score"]) for r in rows)
        expected = Counter(
            (key, case, value)
            for key in keys
            for case, value in self.scores(
                key, store.spec(key)["where"]["cases"]["test"]
            )
        )
        assert found == expected

    def finish(self):
        """Run to the end without a kill and look at the whole."""
        _, killed = self.run()
        assert not killed
        assert len(self.published) == NODES
        store = Store(self.results)
        assert not store.verify()
        for key in self.published:
            states = Counter(one["state"] for one in store.attempts(key))
            assert states["done"] == 1
            assert set(states) <= {"done", "lost"}, states
        cache = self.results / "cache" / "data"
        (whole,) = [path for path in cache.iterdir() if not path.name.startswith(".")]
        assert (whole / "index.json").exists()


def test_a_killed_run_goes_on_with_what_is_left(
    user, ask, described_here, record_property
):
    user.write(**MATRIX)
    assert user.harness("plan")[0] == 0  # describes the methods, which the child reads
    clean = Trial(ask, user, "clean")
    marks, _ = clean.run()
    clean.finish()
    rng = random.Random(0)
    kills = []
    for number in range(len(EARLY)):
        trial = Trial(ask, user, number)
        for attempt in range(5):
            # Before any node at first, then anywhere in what is left of a whole run.
            after = rng.randrange(
                len(marks) * (NODES - len(trial.published)) // NODES + 1
            )
            if attempt == 0:
                after = marks.index(EARLY[number]) + 1
            done, killed = trial.run(kill=[after, rng.uniform(0, 0.006)])
            if not killed:
                break
            kills.append(done[-1] if done else "start")
        trial.finish()
    places = Counter(kills)
    lines = [f"  {place:24} {count}" for place, count in sorted(places.items())]
    summary = "\n".join([f"\n{len(kills)} runs were killed:", *lines])
    sys.stdout.write(f"{summary}\n")  # pytest -s, or when the test fails
    record_property("kills", dict(places))
    assert len(kills) >= 10
    assert len(places) >= 5, summary
