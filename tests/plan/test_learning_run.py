"""The learning run (examples/learn*.yaml) took hours: its pretrainings keep their keys."""

import hashlib
from pathlib import Path

from harness.matrix import load
from harness.plan import make_plan

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
# If this fails, encoders of hours are orphaned, and so are those of every user: see
# GOLDEN in test_plan.py. A method added to the file changes it, too, and may.
GOLDEN = "8e15bac16e86ded3"


def keys(name):
    plan = make_plan(load(EXAMPLES / f"{name}.yaml"))
    return {(one.method, one.seed): one.key for one in plan.pretrainings.values()}


def test_pretrainings_keep_their_keys_and_are_shared_with_the_fine_tuning():
    learn, tuned = keys("learn"), keys("learn_finetune")
    listed = "\n".join(sorted(learn.values()))
    assert hashlib.sha256(listed.encode()).hexdigest()[:16] == GOLDEN
    assert len(tuned) == 10
    assert tuned.items() <= learn.items()
