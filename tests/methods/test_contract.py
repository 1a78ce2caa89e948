"""What every method owes, present and future: found by folder, at tier tiny."""

import pytest

from harness.run.contract import BASELINE_CODES, CLAUSES, Subject, judge

from .conftest import NAMES, kind


def test_the_folder_is_found():
    assert {"random", "simmim", "smit"} <= set(NAMES)


@pytest.mark.parametrize("clause", CLAUSES, ids=lambda clause: clause.code)
def test_the_contract(name, clause):
    subject = Subject(kind(name))
    if not subject.kind.pretrains and clause.code not in BASELINE_CODES:
        pytest.skip("nothing to pretrain")
    verdict = judge(clause, subject)
    assert verdict.state == "kept", f"{verdict.title}: {verdict.said} ({verdict.hint})"
