"""Sheets of convergence, and what claims say of steps, hours and parameters."""

import pandas as pd
import pytest

from harness.analyse.convergence import convergence
from harness.analyse.scores import lay_out
from harness.report.claims import claims
from harness.report.convergence import sheet
from harness.report.render import render
from harness.schema.claims import ClaimEntry, StatedClaim, parse_claim
from harness.schema.errors import UserError


@pytest.fixture
def tasks(make_spec):
    return {"organs": make_spec()}


@pytest.fixture
def watched(make_reader):
    """A reader whose validations rise by 0.1 a step of 10; mae twice as fast."""

    class Watched(make_reader):
        def validated(self, keys):
            rows = [
                (cell, 10 * step, 36.0 * step, min(0.8, rate * step))
                for cell, key in enumerate(keys)
                if key not in self.missing
                for rate in [0.2 if "mae" in key else 0.1]
                for step in range(1, 13)
            ]
            return pd.DataFrame(rows, columns=["cell", "step", "wall_s", "value"])

    return Watched


def test_every_group_has_its_steps_hours_and_rank(
    make_evidence, make_cells, watched, tasks
):
    cells, reader = make_cells(), watched()
    found = sheet(make_evidence(cells, reader, tasks))
    want = convergence(
        reader.validated(list(cells.adapt_key)), lay_out(cells), share=0.9
    )
    assert len(found.rows) == len(want) == 4
    by_name = {(r.values["method"], r.values["label_budget"]): r for r in found.rows}
    for one in want:
        row = by_name[one.method, one.label_budget]
        assert (row.values["step"], row.values["area"]) == (one.step, one.area)
        assert row.values["reached"] == "3 of 3"
        assert row.keys  # (names are cut at 16 characters, here to one)
    mae, random = by_name["mae", "100%"].values, by_name["random", "100%"].values
    assert mae["step"] < random["step"]
    assert (mae["rank"], random["rank"]) == (1, 2)
    assert mae["hours"] == pytest.approx(mae["step"] / 1000)  # 36 s each ten steps
    assert mae["target"] == pytest.approx(0.9 * 0.8)
    assert "nan" not in render(found, "md")


def test_without_validations_that_is_said(make_evidence, make_cells, watched, tasks):
    cells = make_cells()
    reader = watched(missing=tuple(cells.adapt_key))
    with pytest.raises(UserError, match="no published adaptation was validated"):
        sheet(make_evidence(cells, reader, tasks))


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("steps(mae) < steps(random)", "supported"),
        ("steps(random) < steps(mae) at 100%", "contradicted"),
        ("hours(mae) > 0.01", "supported"),  # two minutes each
        ("hours(mae) > 1", "contradicted"),
        ("params(mae) < params(random)", "undecided"),  # 1,234 both
        ("params(mae) > 1000", "supported"),
        ("entropy(mae) > 1", "undecided"),
    ],
)
def test_claims_about_steps_hours_and_parameters(
    text, verdict, make_evidence, make_cells, watched, tasks
):
    evidence = make_evidence(make_cells(), watched(), tasks)
    stated = StatedClaim(parse_claim(text), ClaimEntry(claim=text), "b.yaml:1")
    object.__setattr__(evidence.scope, "claims", (stated,))
    (row,) = claims(evidence).rows
    assert row.values["verdict"] == verdict, row.values


def test_a_report_of_a_store_has_the_sheet(shared):
    rows = pd.read_csv(shared.page.parent / "tables" / "convergence.csv")
    assert len(rows) == 2 * 3 * 2  # tasks, methods, label budgets
    there = rows[rows.reached == "2 of 2"]
    assert there.step.between(10, 50).all()  # five validations, ten steps apart
    assert set(there.method) >= {"harder"}  # the best one
