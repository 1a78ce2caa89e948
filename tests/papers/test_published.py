"""papers/published.csv holds what the claims say that the papers print."""

import re
from pathlib import Path

import pytest

from harness.registry.yamlfile import read_yaml
from harness.report.literature import read_literature

PAPERS = Path(__file__).resolve().parents[2] / "papers"
SCOPE = re.compile(
    r"on (?P<metric>\w+), (?P<task>\w+) at (?P<budget>\S+) with (?P<protocol>\w+)$"
)


@pytest.fixture(scope="module")
def numbers():
    found = read_literature(PAPERS / "published.csv")
    assert len(found) > 300
    return found


def test_no_score_stands_twice(numbers):
    names = ["paper", "place", "method", "task", "protocol", "label_budget", "metric"]
    assert not numbers.duplicated(names).any()


@pytest.mark.parametrize("paper", ["dagman", "transferability"])
def test_claims_and_scores_agree(numbers, paper):
    """Every score that a claim names is the one in the table, wherever it is printed."""
    checked = 0
    for claim in read_yaml(PAPERS / "claims" / f"{paper}.yaml").data["claims"]:
        scope = SCOPE.search(claim["claim"])
        if not isinstance(claim.get("published"), dict) or scope is None:
            continue
        for method, value in claim["published"].items():
            row = numbers[
                (numbers.method == method)
                & (numbers.task == scope["task"])
                & (numbers.protocol == scope["protocol"])
                & (numbers.label_budget == scope["budget"])
                & (numbers.metric == scope["metric"])
            ]
            assert set(row.value) == {value}, claim
            checked += 1
    assert checked >= 10


@pytest.mark.parametrize("paper", ["dagman", "dino3d", "transferability"])
def test_what_claims_print_beside_scores_is_there_too(numbers, paper):
    """Distances, percentages and parameters: by their values, in their paper's lines."""
    own = numbers[numbers.paper == paper]
    printed = {*own.value, *(own.value / 100).round(6)}
    for claim in read_yaml(PAPERS / "claims" / f"{paper}.yaml").data["claims"]:
        published = claim.get("published")
        if isinstance(published, dict):
            assert set(published.values()) <= printed, claim
        elif claim.get("unit") == "percent":
            assert published in printed, claim


def test_quantities_beside_scores_may_be_of_several_label_budgets(numbers):
    several = numbers[numbers.label_budget == "several"]
    assert set(several.metric) == {"gain_percent"}
    assert set(numbers[numbers.metric == "intra"].value) == {1.30, 1.15, 1.53, 1.28}
