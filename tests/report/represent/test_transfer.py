"""Which quantities predict scores: values are gathered, correlated, shown and drawn."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from harness.report.analysed import ANALYSES
from harness.report.evidence import Evidence
from harness.report.figures.drawing import NothingToDraw
from harness.report.figures.transfer import correlations
from harness.report.findings import Findings
from harness.report.options import Options
from harness.report.render import render
from harness.report.represent.transfer import transfer
from harness.report.transfer import Predictors
from harness.schema.errors import UserError

METHODS = ("random", "mae", "dino", "simmim", "smit")
LEVEL = dict(zip(METHODS, (0.3, 0.4, 0.5, 0.6, 0.7), strict=True))
RANK = dict(zip(METHODS, (2.0, 3.0, 5.0, 4.0, 9.0), strict=True))  # one pair swapped
SLOPE = dict(
    zip(METHODS, (1.9, 0.3, 0.6, 1.2, 1.0), strict=True)
)  # nearer to 1, better


def _rows(key):
    method = key.split("/")[1]
    return [
        ("pooled", "effective_rank", RANK[method], 64),
        ("pooled", "spectrum_slope", SLOPE[method], 64),
        ("pooled", "uniformity", 1.0, 64),  # all alike
        ("stem", "cka", 1 - LEVEL[method], 32),
        ("stage1.block1", "cka", 0.9 - LEVEL[method], 32),
        ("stem | stage1.block1", "cka", 7.0, 32),
        ("decoder.up1", "cka", 9.0, 32),
    ][slice(3, None) if key.startswith("reuse") else slice(3)]


@pytest.fixture
def five(make_evidence, make_cells, make_reader, make_spec):
    """Five methods on two tasks, with what transfer and reuse measured of them."""

    class Reader(make_reader):
        def _level(self, key):
            method, _, budget, _ = key.split("/")
            return LEVEL[method] + 0.1 * (budget == "100%")

        def features(self, keys):
            rows = [
                {"cell": cell, "layer": layer, "quantity": name, "value": value, "n": n}
                for cell, key in enumerate(keys)
                for layer, name, value, n in _rows(key)
            ]
            return pd.DataFrame(rows)

        def trained(self, keys):
            rows = [
                {"cell": cell, "quantity": "spread", "step": step, "wall_s": 1.0,
                 "value": LEVEL[key.removeprefix("p-")] if step > 90 else 5.0}
                for cell, key in enumerate(keys)
                for step in (10, 90, 95, 100)
            ]  # fmt: skip
            return pd.DataFrame(rows)

    tasks = {"organs": make_spec(), "scans": make_spec(modality="MR")}
    cells = make_cells(tasks=tuple(tasks), methods=METHODS)
    analyses = [
        {
            **dict.fromkeys(ANALYSES), **cell, "kind": kind, "analysis": kind,
            "key": f"{kind}/{cell['evaluate_key']}", "state": "done",
        }
        for cell in cells.to_dict("records")
        for kind in ("transfer", "reuse")
        if kind == "reuse" or (cell["label_budget"] == "5-shot" and cell["seed"] == 0)
    ]  # fmt: skip
    made = make_evidence(cells, Reader(), tasks, draws=60)
    frame = pd.DataFrame(analyses)[list(ANALYSES)]
    scope = replace(made.scope, analyses=frame)
    return Evidence(scope, Reader(), Options(draws=60))


def test_quantities_stand_beside_every_cell_that_they_hold_for(five):
    found = Predictors(five)
    assert len(found.blocks) == 4  # two tasks, two label budgets
    assert np.array_equal(found.values["effective_rank"], [list(RANK.values())] * 4)
    nearness = [-abs(slope - 1) for slope in SLOPE.values()]
    assert found.values["spectrum_slope"][0] == pytest.approx(nearness)
    # of the encoder's layers with themselves alone
    reuse = [0.95 - level for level in LEVEL.values()]
    assert found.values["reuse"][3] == pytest.approx(reuse)
    spread = found.values["pretraining_spread"][0]
    assert spread == pytest.approx([np.nan, *list(LEVEL.values())[1:]], nan_ok=True)
    assert {q.name for q in found.lacking()} == {
        "rankme", "spread", "attention_entropy", "neighbour_accuracy",
        "pretraining_rank",
    }  # fmt: skip


def test_the_table_says_how_well_each_orders_methods(five):
    sheet = transfer(five)
    rows = {(r.values["task"], r.values["quantity"]): r.values for r in sheet.rows}
    want = spearmanr(list(RANK.values()), list(LEVEL.values())).statistic
    pooled = rows["all tasks", "effective rank"]
    assert pooled["spearman"] == pytest.approx(want)
    assert (pooled["methods"], pooled["cells"]) == (5, 20)
    assert pooled["spearman_methods_low"] < want < pooled["spearman_methods_high"]
    assert rows["organs", "effective rank"]["cells"] == 10
    assert rows["scans", "CKA reuse of the encoder"]["spearman"] == pytest.approx(-1)
    assert rows["organs", "spread in pretraining"]["methods"] == 4
    assert rows["organs", "uniformity"]["spearman"] is None
    text = render(sheet, "md")
    assert "5 quantities were tried on the same cells" in text
    assert "fewer than 4 methods, or all alike" in text
    assert "Not measured here: RankMe, spread, entropy of heads, k-NN accuracy" in text
    assert "nan" not in text


def test_three_methods_are_too_few_to_say_anything(five):
    cells = five.scope.cells
    some = replace(five.scope, cells=cells[cells.method.isin(METHODS[:3])])
    few = Evidence(some, five.reader, five.options)
    assert all(row.values["spearman"] is None for row in transfer(few).rows)
    with pytest.raises(NothingToDraw, match="known of four methods that differ"):
        correlations(Findings(few, {}, published=None))


def test_scores_that_are_missing_are_said(five):
    cells = five.scope.cells.copy()
    cells.loc[0, ["state"]] = "missing"
    scope = replace(five.scope, cells=cells)
    with pytest.raises(UserError, match="or add --allow-incomplete"):
        transfer(Evidence(scope, five.reader, five.options))
    none = replace(five.scope, analyses=five.scope.analyses[:0])
    with pytest.raises(UserError, match="there is no analysis transfer here: list it"):
        transfer(Evidence(none, five.reader, five.options))


def test_the_figure_has_a_mark_per_quantity_and_place(five):
    drawing = correlations(Findings(five, {}, published=None))
    assert len(drawing.figure.axes) == 3  # all tasks, and each
    assert len(drawing.data) == 3 * 4  # uniformity says nothing
    assert "all tasks, finetune: effective rank +0.90" in drawing.alt
