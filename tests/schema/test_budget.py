import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.schema.budget import LabelBudget


@pytest.mark.parametrize(
    ("written", "kind", "amount", "shown"),
    [
        (0.1, "fraction", 0.1, "10%"),
        (1, "fraction", 1.0, "100%"),
        (1.0, "fraction", 1.0, "100%"),
        ("0.1", "fraction", 0.1, "10%"),
        ("1e-3", "fraction", 1e-3, "0.1%"),
        ("10%", "fraction", 0.1, "10%"),
        (" 2.5 % ", "fraction", 0.025, "2.5%"),
        ("100%", "fraction", 1.0, "100%"),
        ("5-shot", "shot", 5, "5-shot"),
        ("5 shots", "shot", 5, "5-shot"),
        ("1-SHOT", "shot", 1, "1-shot"),
        ("n=500", "total", 500, "n=500"),
        (" N = 7 ", "total", 7, "n=7"),
    ],
)
def test_spellings(written, kind, amount, shown):
    budget = LabelBudget.parse(written)
    assert (budget.kind, budget.amount) == (kind, pytest.approx(amount))
    assert str(budget) == shown
    assert LabelBudget.parse(str(budget)) == budget


@pytest.mark.parametrize(
    "written",
    [
        *(0, -0.1, 1.5, 5, True, False, None, "", "abc", "0%", "101%", "0-shot", "n=0"),
        *("n=-5", "nan", "inf", float("nan"), "5-shots-more", [0.1], {"n": 5}),
    ],
)
def test_what_is_no_budget_is_named_with_what_was_expected(written):
    with pytest.raises(ValueError, match=r"is not a label budget: expected") as caught:
        LabelBudget.parse(written)
    assert repr(written) in str(caught.value)


@pytest.mark.parametrize(
    ("written", "available", "classes", "kind", "count"),
    [
        ("10%", 100, 2, "segmentation", 10),
        ("10%", 14, 2, "segmentation", 1),
        ("10%", 15, 2, "segmentation", 2),  # halves go up
        ("1%", 3, 2, "segmentation", 1),  # at least one
        ("100%", 0, 2, "segmentation", 0),
        ("5-shot", 100, 3, "segmentation", 5),
        ("5-shot", 100, 3, "classification", 15),
        ("5-shot", 4, 3, "classification", 15),  # the caller refuses that
        ("n=7", 100, 3, "classification", 7),
    ],
)
def test_counts(written, available, classes, kind, count):
    assert LabelBudget.parse(written).count(available, classes, kind) == count


@settings(max_examples=100, deadline=None)
@given(st.floats(1e-6, 1), st.floats(1e-6, 1), st.integers(1, 10_000))
def test_a_larger_fraction_never_asks_for_less(one, two, available):
    small, large = sorted((one, two))
    counts = [
        LabelBudget.parse(share).count(available, 2, "segmentation")
        for share in (small, large)
    ]
    assert 1 <= counts[0] <= counts[1] <= available


def test_budgets_sort_by_kind_and_then_by_size():
    written = ["100%", "n=500", "5-shot", "10%", "1-shot", "n=20", "1%"]
    budgets = sorted(map(LabelBudget.parse, written), key=lambda budget: budget.order)
    shown = ["1-shot", "5-shot", "n=20", "n=500", "1%", "10%", "100%"]
    assert list(map(str, budgets)) == shown
