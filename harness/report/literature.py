"""Numbers that papers print, beside which measured ones are put.

A CSV file with a header, one printed number a line; columns may stand in any order:

    paper          key of the paper, as docs/sources.md lists it
    place          where it is printed, such as 'Table 2'
    method, task, protocol, label_budget     as in the benchmark file
    metric         a metric of the task, such as dice, or a quantity beside them (BESIDE)
    value          as printed, in the metric's unit (Dice and AUC in [0, 1], HD95 in mm)
    encoder, low, high, sd, note    optional: empty or absent where the paper does not say

Lines that begin with # are comments.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from ..schema.budget import LabelBudget
from ..schema.errors import UserError, nearest
from .table import NAMES, RANGES

NEEDED = (
    "paper", "place", "method", "task", "protocol", "label_budget", "metric", "value",
)  # fmt: skip
OPTIONAL = ("encoder", "low", "high", "sd", "note")
# What papers print beside scores: no table shows it, but claims may rest on it.
_ANY = (-float("inf"), float("inf"))
BESIDE: Mapping[str, tuple[float, float]] = {
    "intra": (0.0, float("inf")), "inter": (0.0, float("inf")), "mean_dice": (0.0, 1.0),
    "trainable_params": (0.0, float("inf")), "gain_percent": _ANY, "gain_points": _ANY,
}  # fmt: skip
SEVERAL = "several"  # label budgets, that a quantity beside scores may be of
_NUMBERS = ("value", "low", "high", "sd")
_BOUNDED = ("value", "low", "high")


def read_literature(path: Path) -> pd.DataFrame:
    """Return the numbers of a file: columns NEEDED and OPTIONAL, one row each.

    label_budget is spelled as tables spell it. Raises UserError, naming file and line,
    for what is missing, unknown or not a number.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path} cannot be read as text: {error}"
        raise UserError(msg) from error
    lines = [
        (number, line)
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip() and not line.startswith("#")
    ]
    if not lines:
        msg = f"{path} is empty: it needs a header with {', '.join(NEEDED)}"
        raise UserError(msg)
    header = next(csv.reader([lines[0][1]]))
    _check_header(path, lines[0][0], header)
    rows = list(_rows(path, header, lines[1:]))
    return pd.DataFrame(rows, columns=[*NEEDED, *OPTIONAL])


def _check_header(path: Path, number: int, header: list[str]) -> None:
    known = (*NEEDED, *OPTIONAL)
    for name in header:
        if name not in known:
            msg = f"{path}:{number}: unknown column {name!r}.{nearest(name, known)}"
            raise UserError(msg)
    lacking = [name for name in NEEDED if name not in header]
    if lacking or len(set(header)) < len(header):
        what = f"lacks {', '.join(lacking)}" if lacking else "names a column twice"
        msg = f"{path}:{number}: the header {what}"
        raise UserError(msg)


def _rows(
    path: Path, header: list[str], lines: list[tuple[int, str]]
) -> Iterator[dict[str, object]]:
    for number, line in lines:
        values = next(csv.reader([line]))
        if len(values) != len(header):
            msg = (
                f"{path}:{number}: {len(values)} values where the header has "
                f"{len(header)} columns"
            )
            raise UserError(msg)
        row: dict[str, object] = dict.fromkeys(OPTIONAL)
        given = {k: v.strip() for k, v in zip(header, values, strict=True)}
        for name in NEEDED:
            if not given[name]:
                msg = f"{path}:{number}: no {name}"
                raise UserError(msg)
        row |= {name: text or None for name, text in given.items()}
        for name in _NUMBERS:
            row[name] = _number(path, number, name, row[name])
        metric = given["metric"]
        if metric not in NAMES and metric not in BESIDE:
            near = nearest(metric, [*NAMES, *BESIDE])
            msg = f"{path}:{number}: unknown metric {metric!r}.{near}"
            raise UserError(msg)
        _in_range(path, number, metric, row)
        if metric not in BESIDE or given["label_budget"] != SEVERAL:
            row["label_budget"] = _budget(path, number, given["label_budget"])
        yield row


def _number(path: Path, line: int, name: str, text: object) -> float | None:
    if text is None:
        return None
    try:
        value = float(str(text))
    except ValueError:
        value = float("nan")
    if value != value or value in (float("inf"), float("-inf")):
        msg = f"{path}:{line}: {name} is {text!r}, which is not a number"
        raise UserError(msg)
    return value


def _in_range(path: Path, line: int, metric: str, row: dict[str, object]) -> None:
    scores = (limits for name, limits in RANGES.items() if name == metric)
    bounds = BESIDE.get(metric) or next(scores)
    for name in _BOUNDED:
        value = row[name]
        if isinstance(value, float) and not bounds[0] <= value <= bounds[1]:
            msg = (
                f"{path}:{line}: {name} {value:g} of {metric} lies outside "
                f"{bounds[0]:g} to {bounds[1]:g}; a percentage is written as a fraction"
            )
            raise UserError(msg)


def _budget(path: Path, line: int, text: str) -> str:
    try:
        return str(LabelBudget.parse(text))
    except ValueError as error:
        msg = f"{path}:{line}: label_budget {text!r}: {error}"
        raise UserError(msg) from error
