"""Claims about what analyses and clusters measured."""

from dataclasses import replace

import pandas as pd
import pytest

from harness.report.claims import claims
from harness.report.evidence import Evidence
from harness.report.measures import Measures
from harness.schema.claims import ClaimEntry, StatedClaim, parse_claim


class Clustered:
    """A reader whose adaptations have made-up planes beside what the store has."""

    def __init__(self, reader, cells):
        self._reader = reader
        self._method = cells.set_index("adapt_key").method.to_dict()

    def __getattr__(self, name):
        return getattr(self._reader, name)

    def features(self, keys):
        """Distances of masked are 1 below and 2 above those of the others."""
        if not all(key in self._method for key in keys):
            return self._reader.features(keys)
        planes = {"pooled": 90.0, "umap seed=0": 5.0, "umap seed=1": 5.2}
        moved = {"intra-class distance": -1, "inter-class distance": 2}
        rows = [
            (cell, layer, name, base + more * (self._method[key] == "masked"), 9)
            for cell, key in enumerate(keys)
            for layer, base in planes.items()
            for name, more in moved.items()
        ]
        return pd.DataFrame(rows, columns=["cell", "layer", "quantity", "value", "n"])


@pytest.fixture
def check(measured):
    def checked(text):
        scope = measured.findings.evidence.scope
        stated = StatedClaim(parse_claim(text), ClaimEntry(claim=text), "here:1")
        reader = Clustered(measured.findings.evidence.reader, scope.cells)
        sheet = claims(Evidence(replace(scope, claims=(stated,)), reader))
        return sheet.rows[0].values

    return checked


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("entropy(harder) > entropy(plain)", "supported"),
        ("entropy[stage2](harder) > entropy[stage2](plain)", "supported"),
        ("entropy[stage4](harder) > entropy[stage4](plain)", "undecided"),
        ("intra(masked) < intra(harder)", "supported"),
        ("inter(masked) > inter(harder) + 0.5", "supported"),
        ("consistency(masked) > 0.5", "supported"),
        ("consistency(masked) > consistency(plain)", "undecided"),
    ],
)
def test_quantities_of_networks_decide_claims(check, text, verdict):
    assert check(text)["verdict"] == verdict


def test_differences_are_those_of_the_planes_and_of_the_stage(check):
    assert check("intra(masked) < intra(harder)")["difference"] == pytest.approx(-1)
    apart = check("entropy[stage1](masked) > entropy[stage1](plain)")["difference"]
    assert apart == pytest.approx(0.04, abs=0.005)


def test_a_report_without_them_leaves_claims_undecided(evidence):
    found = Measures(evidence)
    side = parse_claim("entropy(mae) > 0").sides[0]
    assert found("entropy", "mae", side) is None
    assert found("consistency", "mae", side) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("params[stage1](a) > 1", "only entropy has parts, such as entropy"),
        ("entropy[stage1] > 1", "expected a stage and methods, as entropy"),
        ("entropy[](a) > 1", "expected a stage before"),
    ],
)
def test_parts_that_are_wrong_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse_claim(text)
