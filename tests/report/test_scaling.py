"""Sheets and figures of score against the size of corpora and encoders."""

import numpy as np
import pytest

from harness.report.catalogue import tables
from harness.report.figures import draw, names
from harness.report.figures.scaling import size_curves
from harness.report.findings import Findings
from harness.report.scaling import model_size, sizes_of, trend
from harness.report.tables import build
from harness.schema.errors import UserError


@pytest.fixture
def tasks(make_spec):
    return {"organs": make_spec(modality="CT")}


def sized(reader, cases):
    """A reader whose pretrainings were on so many cases, by method."""

    class Sized(reader):
        def measured(self, keys):
            found = super().measured(keys)
            own = found.key.str.removeprefix("p-").map(cases)
            return found.assign(n_train=own.fillna(found.n_train))

    return Sized()


def test_a_trend_is_the_slope_per_doubling_of_the_cases(
    make_evidence, make_cells, make_reader, tasks
):
    cells = make_cells(tasks=("organs",), methods=("random", "simmim", "mae"))
    reader = sized(make_reader, {"simmim": 10, "mae": 40})
    sheet = trend("dice", make_evidence(cells, reader, tasks, draws=50))
    assert len(sheet.rows) == 2  # label budgets
    for row in sheet.rows:  # mae is 0.05 better, from four times the cases
        assert row.values["slope"] == pytest.approx(0.025, abs=0.005)
        assert row.values["slope_low"] < row.values["slope"] < row.values["slope_high"]
        assert row.values["curve"].startswith("simmim 10: 0.")
        assert len(row.keys) == 6
    equal = make_evidence(cells, make_reader(), tasks, draws=50)
    with pytest.raises(UserError, match="needs corpora of two sizes"):
        trend("dice", equal)


FAMILIES = {
    "small": "aa ee bb 0.25",
    "mae": "aa ee bb 1",
    "simmim": "cc ee bb 1",
    "random": None,
}


@pytest.fixture
def grown(make_evidence, make_cells, make_reader, tasks):
    """mae on 12 and on 48 cases, as one recipe says; simmim on 10."""
    cells = make_cells(tasks=("organs",), methods=("random", "small", "mae", "simmim"))
    cells = cells.assign(recipe=cells.method.map(FAMILIES))
    reader = sized(make_reader, {"small": 12, "mae": 48, "simmim": 10})
    return make_evidence(cells, reader, tasks, draws=50)


def test_entries_of_one_recipe_have_a_line_of_their_own(grown):
    assert sizes_of(grown, "corpus").families == {"small": "mae", "mae": "mae"}
    assert sizes_of(grown, "encoder").families == {}
    sheet = trend("dice", grown)
    assert {row.values["method"] for row in sheet.rows} == {"mae"}
    for row in sheet.rows:
        assert row.values["slope"] == pytest.approx(0.025, abs=0.005)
        assert row.values["curve"].startswith("small 12: 0.")
        assert "; mae 48: 0." in row.values["curve"]
    assert not [stem for stem, _ in tables(grown) if stem.startswith("model-size")]


def test_sizes_of_encoders_are_their_parameters(
    make_evidence, make_cells, make_reader, tasks
):
    recipes = {"small": "aa ee bb 1", "mae": "aa ee cc 1", "random": "dd ee bb 1"}
    params = {"small": 1000.0, "mae": 8000.0, "random": 1000.0}

    class Noted(make_reader):
        def measured(self, keys):
            found = super().measured(keys)
            method = found.key.str.extract("^a-([a-z]+)/")[0]
            return found.assign(encoder_params=method.map(params))

    cells = make_cells(tasks=("organs",), methods=("random", "small", "mae"))
    cells = cells.assign(recipe=cells.method.map(recipes))
    evidence = make_evidence(cells, Noted(), tasks, draws=50)
    sheet = model_size("dice", evidence)
    row = sheet.rows[0].values
    assert row["slope"] == pytest.approx(0.05 / 3, abs=0.005)
    assert "small 1,000: 0." in row["curve"]
    assert "model-size-dice" in [stem for stem, _ in tables(evidence)]
    kinds = cells.assign(encoder=cells.method.map({"mae": "vit"}).fillna("swin"))
    other = make_evidence(kinds, Noted(), tasks, draws=50)
    assert sizes_of(other, "encoder").families == {}  # of two kinds, not of two sizes
    without = make_evidence(cells, make_reader(), tasks, draws=50)
    with pytest.raises(UserError, match="needs encoders of two sizes"):
        model_size("dice", without)


def test_the_figure_has_a_line_per_recipe_over_a_logarithmic_axis(grown):
    findings = Findings(grown, {"dice": build("dice", grown)}, published=None)
    assert "dice_by_corpus_size" in names(findings)
    drawing = next(draw(findings, "dice_by_corpus_size"))
    assert len(drawing.data) == 4  # two sizes at two label budgets
    assert set(drawing.data.line) == {"mae"}
    panel = drawing.figure.axes[0]
    assert panel.get_xscale() == "log"
    (line,) = panel.get_lines()
    assert line.get_xdata().tolist() == [12, 48]
    assert np.all(np.isfinite(line.get_ydata()))
    assert drawing.alt.startswith("organs at 5-shot, mae: 0.")
    sizes = sizes_of(grown, "encoder")
    with pytest.raises(UserError, match="of a method of two sizes has a value yet"):
        size_curves(findings, findings.tables["dice"], "encoder", sizes, "x")
