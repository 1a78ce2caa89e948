"""Validation beside test: values, intervals, folds, and what is undefined."""

import numpy as np
import pandas as pd
import pytest

from harness.analyse.optimism import optimism
from harness.analyse.scores import lay_out
from harness.metrics.classification import auc
from harness.report.catalogue import tables
from harness.report.optimism import sheet
from harness.report.render import render
from harness.schema.errors import UserError


def rows(cells, level, *, count=60, seed=0, patients=None):
    """Predictions of two classes: the AUC rises with `level`, cell by cell."""
    rng = np.random.default_rng(seed)
    y = np.arange(count) % 2
    ease = rng.normal(size=count)
    found = []
    for cell in cells:
        logit = level * (2 * y - 1) + ease + 0.3 * rng.normal(size=count)
        share = 1 / (1 + np.exp(-logit))
        found += [
            (cell, f"{seed}c{i}", f"{seed}g{i % (patients or count)}", y[i],
             [1 - share[i], share[i]])
            for i in range(count)
        ]  # fmt: skip
    names = ["cell", "case_id", "group_id", "y_true", "scores"]
    return pd.DataFrame(found, columns=names)


def of_cell(table, cell):
    mine = table[table.cell == cell]
    return auc(mine.y_true.to_numpy(), np.array(mine.scores.tolist())).value


@pytest.fixture
def layout(make_cells):
    return lay_out(make_cells(tasks=("nodules",), methods=("random",)))


def test_the_difference_is_that_of_the_means_and_its_interval_holds_it(layout):
    val, test = rows(range(6), 1.2, seed=1), rows(range(6), 0.5, seed=2, count=90)
    found = optimism(val, test, layout, "auc", kappa_weights={}, draws=300)
    assert set(found) == {0, 1}
    own = layout.cells.index[layout.cells.group == 0]
    want = [np.mean([of_cell(side, cell) for cell in own]) for side in (val, test)]
    one = found[0]
    assert one.validation.value == pytest.approx(want[0])
    assert one.test.value == pytest.approx(want[1])
    assert one.difference.value == pytest.approx(want[0] - want[1])
    assert 0 < one.difference.low < one.difference.value < one.difference.high
    assert (one.cases, one.seeds) == ((60, 90), 3)
    # Variances of two sides add up; neither alone is as wide.
    width = one.difference.high - one.difference.low
    for side in (one.validation, one.test):
        assert width > side.high - side.low


def test_equal_sides_are_resampled_apart(layout):
    """Were both sides drawn alike, the difference would have no width at all."""
    same = rows(range(6), 0.7)
    found = optimism(same, same, layout, "auc", kappa_weights={}, draws=300)
    assert found[0].difference.value == pytest.approx(0, abs=1e-12)
    assert found[0].difference.high - found[0].difference.low > 0.1


def test_folds_have_validation_cases_of_their_own(make_cells):
    cells = pd.concat(
        [make_cells(tasks=("nodules",), methods=("random",), fold=k) for k in (0, 1)],
        ignore_index=True,
    )
    layout = lay_out(cells)
    first, second = np.flatnonzero(cells.fold == 0), np.flatnonzero(cells.fold == 1)
    val = pd.concat([rows(first, 1.0, seed=1), rows(second, 0.4, seed=2)])
    test = rows(range(12), 0.5, seed=3)
    found = optimism(
        val.reset_index(drop=True), test, layout, "auc", kappa_weights={}, draws=200
    )
    own = layout.cells.index[layout.cells.group == 0]
    assert found[0].validation.value == pytest.approx(
        np.mean([of_cell(val, cell) for cell in own])
    )
    assert found[0].test.value == pytest.approx(
        np.mean([of_cell(test, cell) for cell in own])
    )
    assert found[0].seeds == 3


def test_what_is_undefined_has_no_number(layout):
    test = rows(range(6), 0.5)
    blind = rows(range(6), 0.5, seed=1).assign(y_true=0)
    found = optimism(blind, test, layout, "auc", kappa_weights={}, draws=50)
    assert found[0].validation is None
    assert found[0].difference is None
    assert found[0].test is not None
    none = optimism(test[:0], test, layout, "auc", kappa_weights={}, draws=50)
    assert none[0].cases == (0, 60)
    assert none[0].difference is None


def test_a_table_for_each_metric_of_predictions(evidence):
    found = dict(tables(evidence, "val-test"))
    assert list(found) == ["val-test-auc", "val-test-kappa"]
    shown = found["val-test-auc"]
    assert len(shown.rows) == 6  # three methods, two budgets
    assert all(row.keys for row in shown.rows)
    text = render(shown, "md")
    assert "validation - test" in text
    assert "nan" not in text


def test_of_segmentations_there_is_none(
    make_evidence, make_cells, make_reader, make_spec
):
    only = make_evidence(make_cells(), make_reader(), {"organs": make_spec()})
    with pytest.raises(UserError, match="validation cases of segmentations are not"):
        list(tables(only, "val-test"))
    assert not [stem for stem, _ in tables(only) if stem.startswith("val-test")]
    with pytest.raises(UserError):
        sheet("dice", only)
