"""What a method owes, as clauses with codes: for `harness check` and for the tests."""

from .clauses import CLAUSES
from .subject import Breach, Clause, Subject, Verdict, judge

__all__ = ["CLAUSES", "Breach", "Clause", "Subject", "Verdict", "judge"]
