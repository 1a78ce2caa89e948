"""Values that may be undefined, with the reason why (DESIGN 7)."""

from __future__ import annotations

from typing import Literal, NamedTuple

Reason = Literal["pred_empty", "gt_empty", "both_empty", "failed", "class_absent"]


class Score(NamedTuple):
    """A value, or None with the reason; a value may carry a reason too (Dice 0)."""

    value: float | None
    reason: Reason | None = None
