"""What a method owes, as clauses with codes: for `harness check` and for the tests."""

from .clauses import BASELINE_CODES, CLAUSES
from .subject import Breach, Clause, Subject, Verdict, judge, loss_of, regions

__all__ = [
    "BASELINE_CODES", "CLAUSES", "Breach", "Clause", "Subject", "Verdict", "judge",
    "loss_of", "regions",
]  # fmt: skip
