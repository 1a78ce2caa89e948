"""Filters keep some cells and change nothing else."""

import pytest

from harness.matrix import load
from harness.matrix.filters import parse_filter
from harness.plan import make_plan
from harness.schema.errors import UserError

TEXT = """
tier: tiny
corpus: toys
methods: [plain, masked, masked_hard]
protocols: [finetune, linear_probe]
tasks:
  organs: {protocols: [finetune]}
  nodules: {protocols: [linear_probe]}
label_budgets: [3-shot, n=4, 100%]
seeds: [0, 1]
pretraining_seeds: [4, 5]
folds: 2
"""


@pytest.mark.parametrize(
    ("text", "keeps"),
    [
        ("method=masked", lambda c: c.method == "masked"),
        ("method!=masked", lambda c: c.method != "masked"),
        (
            "method=plain,method=masked_hard",
            lambda c: c.method in ("plain", "masked_hard"),
        ),
        ("method=plain,masked_hard", lambda c: c.method in ("plain", "masked_hard")),
        ("task=organs, seed=1", lambda c: c.task == "organs" and c.seed == 1),
        ("label_budget=100%", lambda c: c.budget == "100%"),
        ("label_budget=n=4", lambda c: c.budget == "n=4"),
        ("label_budget=3-shot,n=4", lambda c: c.budget in ("3-shot", "n=4")),
        ("protocol!=finetune", lambda c: c.protocol != "finetune"),
        ("fold=1", lambda c: c.fold == 1),
        ("encoder=swin", lambda c: c.encoder == "swin"),
        ("pretraining_seed=4", lambda c: c.pretraining_seed in (None, 4)),
    ],
)
def test_a_filter_keeps_the_cells_it_names_with_their_keys(bench, text, keeps):
    file = bench.path
    whole = make_plan(bench.load(TEXT)).cells
    some = make_plan(load(file, filters=[text])).cells
    assert list(some) == [cell for cell in whole if keeps(cell)]
    assert some


def test_several_filters_hold_together(bench):
    matrix = bench.load(TEXT, filters=["method=masked", "seed=0", "task=nodules"])
    assert [each.name for each in matrix.methods] == ["masked"]
    assert [each.name for each in matrix.tasks] == ["nodules"]
    assert matrix.seeds == (0,)


def test_values_that_the_matrix_does_not_have_are_refused(bench):
    with pytest.raises(UserError, match=r"unknown task 'orgns'. Did you mean 'organs'"):
        bench.load(TEXT, filters=["task=orgns"])
    with pytest.raises(UserError, match="no cell of the matrix is left"):
        bench.load(TEXT, filters=["task=organs,protocol=linear_probe"])


def test_conditions_that_make_no_sense_are_refused():
    with pytest.raises(
        UserError, match=r"unknown field 'metod'\. Did you mean 'method'"
    ):
        parse_filter(["metod=x"])
    with pytest.raises(UserError, match="expected field=value"):
        parse_filter(["method"])
