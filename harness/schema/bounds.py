"""Bounds of settings that say why they are there and what the nearest valid value is."""

from __future__ import annotations

from pydantic import AfterValidator


def at_least(low: int, why: str) -> AfterValidator:
    """Return a check that a setting is `low` or more."""

    def check(value: int) -> int:
        if value < low:
            msg = f"{value} is too few, {why}: the nearest is {low}"
            raise ValueError(msg)
        return value

    return AfterValidator(check)


def _inside(value: float) -> float:
    if not 0 < value < 1:
        msg = (
            f"{value} must lie between 0 and 1, both left out: with nothing hidden there "
            "is nothing to predict, with everything hidden nothing to predict it from; the "
            f"nearest is {min(max(value, 0.05), 0.95)}"
        )
        raise ValueError(msg)
    return value


# A share of units that are hidden: some are, and some are not.
MASK_RATIO = AfterValidator(_inside)

SEVERAL = at_least(2, "since with one prototype all images have the same target")

REGIONS = at_least(
    2, "since targets are balanced over the regions of a batch, and one has no other"
)
