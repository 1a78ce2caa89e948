"""The example of analyses plans what it says."""

from collections import Counter
from pathlib import Path

from harness.matrix import load
from harness.plan import make_plan

EXAMPLE = Path(__file__).parents[2] / "examples/representations.yaml"


def test_the_example_of_analyses_has_every_cell_and_pair():
    plan = make_plan(load(EXAMPLE), None)
    assert len(plan.cells) == 8
    counts = Counter(one.base for one in plan.analyses)
    # Pairs: 4 of label budgets, 4 of seeds, 4 of methods.
    assert counts == {"reuse": 8, "attention": 8, "similarity": 12}
