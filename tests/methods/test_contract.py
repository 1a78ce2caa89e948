"""What every method owes, present and future: found by folder, at tier tiny."""

import pytest

from harness.run.contract import CLAUSES, Subject, judge

from .conftest import NAMES, kind


def test_the_folder_is_found():
    assert {"random", "simmim", "smit"} <= set(NAMES)


@pytest.mark.parametrize("clause", CLAUSES, ids=lambda clause: clause.code)
def test_the_contract(name, clause):
    subject = Subject(kind(name))
    if subject.kind.role not in clause.roles:
        pytest.skip(f"no duty of a {subject.kind.role} method")
    verdict = judge(clause, subject)
    assert verdict.state == "kept", f"{verdict.title}: {verdict.said} ({verdict.hint})"
