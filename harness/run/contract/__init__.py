"""What a method owes, as clauses with codes: for `harness check` and for the tests."""

from .clauses import CLAUSES, clauses_of
from .subject import Breach, Clause, Subject, Verdict, judge, loss_of

__all__ = [
    "CLAUSES", "Breach", "Clause", "Subject", "Verdict", "clauses_of", "judge",
    "loss_of",
]  # fmt: skip
