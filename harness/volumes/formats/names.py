"""What publishers call classes and sides, as the task calls them."""

from __future__ import annotations

from bisect import bisect_right
from math import isfinite

from ...schema.cases import Side
from ...schema.errors import nearest
from ...schema.task import Target

_SIDES: dict[str, Side] = {
    "train": "train", "training": "train", "tr": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test", "ts": "test",
}  # fmt: skip


class NotNamed(Exception):
    """A value that means nothing; the text goes on after 'file:line: '."""


class LeftOut(Exception):
    """The task leaves out cases with this value."""


def is_validation(text: str) -> bool:
    """Whether a publisher means validation.

    >>> is_validation("Valid")
    True
    """
    return _SIDES.get(text.lower()) == "val"


def side_named(text: str, where: str) -> Side | None:
    """Return the side that a publisher means; None for an empty text.

    Raises NotNamed. where: the column or folder, for the message.
    """
    if not text:
        return None
    if text.lower() not in _SIDES:
        msg = f"{text!r} under {where!r} is no side: write train, val or test"
        raise NotNamed(msg)
    return _SIDES[text.lower()]


def class_named(text: str, target: Target, where: str) -> int:
    """Return the number of the class that a publisher means.

    `values` of the target come first, then names of classes, `edges`, and numbers from
    0. Raises NotNamed, or LeftOut where `values` say so.
    """
    if text in target.values:
        named = target.values[text]
        if named is None:
            raise LeftOut(text)
        return target.classes.index(named)
    if text in target.classes:
        return target.classes.index(text)
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if target.edges and isfinite(number):
        return bisect_right(target.edges, number)
    if not target.edges and number in range(len(target.classes)):
        return int(number)
    if not text:
        msg = (
            f"says no class under {where!r}: fill it in, or leave such cases out with "
            "'values: {\"\": null}' of the task's target"
        )
        raise NotNamed(msg)
    classes = ", ".join(target.classes)
    meant = nearest(text, target.classes)
    msg = f"{text!r} under {where!r} is none of the classes {classes}.{meant}"
    raise NotNamed(msg)
