"""Figures of what is published, each with its data and what is said about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from ...schema.errors import UserError, nearest
from ..findings import Findings
from ..options import NothingYet
from ..represent import views
from . import (
    budgets,
    cases,
    classes,
    comparisons,
    convergence,
    images,
    published,
    ranks,
    scaling,
)
from .drawing import Drawing, NothingToDraw, Sketch, inline_svg, save, take_turns

LIMIT = 30  # figures of a report that asks for none by name

# In the order in which a report shows them.
_FAMILIES: tuple[Callable[[Findings], list[Sketch]], ...] = (
    ranks.sketches,
    budgets.sketches,
    comparisons.sketches,
    cases.sketches,
    convergence.sketches,
    scaling.sketches,
    classes.confusion_sketches,
    classes.roc_sketches,
    published.sketches,
)


def names(findings: Findings) -> list[str]:
    """Return the names of all figures that these findings could give."""
    families = (*_families(findings), _images)
    return [sketch.name for family in families for sketch in family(findings)]


def _families(findings: Findings) -> Iterator[Callable[[Findings], list[Sketch]]]:
    yield from _FAMILIES
    for view in views():
        if view.possible(findings.evidence):
            yield partial(_where_published, view.figures)


def _where_published(
    draw: Callable[[Findings], list[Sketch]], findings: Findings
) -> list[Sketch]:
    """Return the figures of a view, none while its analyses wait to be published."""
    try:
        return draw(findings)
    except NothingYet:
        return []


def _images(findings: Findings) -> list[Sketch]:
    """Return the figures that show cases."""
    possible = (view for view in views() if view.possible(findings.evidence))
    found = (_where_published(view.images, findings) for view in possible)
    return [*images.sketches(findings), *(one for some in found for one in some)]


def draw(
    findings: Findings,
    name: str | None = None,
    *,
    limit: int = LIMIT,
    show_images: bool = False,
) -> Iterator[Drawing | NothingToDraw]:
    """Draw the figure `name`, or at most `limit` of all; say why one would be empty.

    show_images: with those that show patients, which even a name alone does not bring.
    Figures are made one by one: a reader who keeps none needs memory for one. Raises
    UserError for an unknown name, and NothingToDraw where the one asked for is empty.
    """
    from matplotlib import rc_context

    from .style import RC

    families = [family(findings) for family in _families(findings)]
    pictures = _images(findings)
    if show_images:
        families.append(pictures)
    chosen: Sequence[Sketch]
    if name is None:
        chosen = take_turns(families, limit)
    else:
        every = {sketch.name: sketch for family in families for sketch in family}
        if name in {sketch.name for sketch in pictures} - set(every):
            msg = f"figure {name} shows images of cases: add --images to allow that"
            raise UserError(msg)
        if name not in every:
            msg = (
                f"no figure {name!r}: expected one of {', '.join(every) or 'none yet'}."
                f"{nearest(name, list(every))}"
            )
            raise UserError(msg)
        chosen = [every[name]]
    for sketch in chosen:
        try:
            with rc_context(RC):
                drawing: Drawing | NothingToDraw = sketch.draw()
        except NothingToDraw as reason:
            if name is not None:
                raise
            drawing = reason
        yield drawing


__all__ = ["LIMIT", "Drawing", "NothingToDraw", "draw", "inline_svg", "names", "save"]
