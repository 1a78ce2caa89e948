"""What single words of a YAML file mean, and how messages show them."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any

MAX_INTEGER = 2**63 - 1  # what a Parquet column holds

_INTEGER = re.compile(r"^[-+]?[0-9][0-9_]*$")
_FLOAT = re.compile(
    r"^[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?$"
)
_PERCENT = re.compile(r"^[-+]?[0-9]+(?:\.[0-9]+)?\s?%$")
_NOT_FINITE = re.compile(r"^[-+]?\.(?:inf|nan)$", re.IGNORECASE)
_WORDS: dict[str, bool | None] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True,
    "false": False, "False": False, "FALSE": False,
}  # fmt: skip


def brief(value: object, limit: int = 60) -> str:
    """Return a printable form of `value` for a message, cut at `limit` characters."""
    text = ascii(value) if isinstance(value, bytes) else repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def plain_value(text: str) -> Any:
    """Return what an unquoted word means: null, true, a number, a share or itself.

    Raises ValueError for numbers that are not finite or do not fit 64 bits.

    >>> [plain_value(word) for word in ("1e-3", "10%", "1_000", "5-shot", "yes", "~")]
    [0.001, 0.1, 1000, '5-shot', 'yes', None]
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _NOT_FINITE.match(text):
        msg = f"expected a finite number, not {text}"
        raise ValueError(msg)
    short = len(text) <= 40
    if _INTEGER.match(text):
        number = int(text.replace("_", "")) if short else MAX_INTEGER + 1
        if abs(number) > MAX_INTEGER:
            msg = f"the number {brief(text, 24)} is too large"
            raise ValueError(msg)
        return number
    if _PERCENT.match(text) and short:
        return float(Decimal(text.rstrip("% ")) / 100)
    if _FLOAT.match(text):
        value = float(text.replace("_", "")) if short else math.inf
        if not math.isfinite(value):
            msg = f"the number {brief(text, 24)} is too large or too long"
            raise ValueError(msg)
        return value
    return text
