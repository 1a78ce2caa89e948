"""Brackets between two methods whose difference is significant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...analyse.compare import Comparison
from .style import INK

# Levels of the stars (METHODS 4.2: as in the transferability study).
STARS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))
WORDS = (
    " Brackets: significant differences to the baseline after correction,"
    " * p < 0.05, ** p < 0.01, *** p < 0.001."
)


def stars(p: float) -> str:
    """Return the stars of an adjusted p-value, '+' where alpha is above 0.05.

    >>> stars(0.0004), stars(0.03), stars(0.08)
    ('***', '*', '+')
    """
    return next((text for level, text in STARS if p < level), "+")


def brackets(
    axes: Any, pairs: Sequence[tuple[str, str]], comparisons: Sequence[Comparison]
) -> None:
    """Draw a bracket above the panel for each comparison, the shortest lowest."""
    places = {pair: place for place, pair in enumerate(pairs)}
    spans = []
    for one in comparisons:
        pair, other = (one.method, one.encoder), (one.other_method, one.other_encoder)
        if pair in places and other in places and one.adjusted is not None:
            ends = sorted((places[pair], places[other]))
            spans.append((ends[1] - ends[0], ends, stars(one.adjusted)))
    if not spans:
        return
    low, high = axes.get_ylim()
    step = 0.07 * (high - low)
    for number, (_, (left, right), text) in enumerate(sorted(spans)):
        y = high + step * (number + 0.4)
        axes.plot(
            [left, left, right, right], [y - step * 0.25, y, y, y - step * 0.25],
            color=INK, linewidth=0.8,
        )  # fmt: skip
        axes.text((left + right) / 2, y - step * 0.12, text, ha="center", va="bottom",
                  fontsize=8)  # fmt: skip
    # No score lies up there: the scale ends where it did.
    axes.set_yticks([tick for tick in axes.get_yticks() if low <= tick <= high])
    axes.set_ylim(low, high + step * (len(spans) + 0.9))
