"""Styles: named choices of tests, corrections and intervals (styles.yaml)."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Literal

import yaml
from pydantic import Field

from .errors import UserError, nearest
from .task import Closed

# What varies in an interval; what becomes of zero differences; what is corrected for.
Over = Literal["both", "cases", "seeds"]
Zeros = Literal["pratt", "drop"]
Correction = Literal["holm", "bh", "none"]
Test = Literal[
    "wilcoxon", "paired-t", "sign-flip", "welch", "seed-permutation", "two-way"
]
Family = Literal["table", "budget", "block"]

# What each test is, for the sentences under a table.
SENTENCES: dict[Test, str] = {
    "wilcoxon": "Wilcoxon signed-rank test over patients, of means over seeds; it takes "
    "the seeds as given",
    "paired-t": "paired t-test over patients, of means over seeds; it takes the seeds as "
    "given",
    "sign-flip": "sign-flip permutation test over patients, of means over seeds; it "
    "takes the seeds as given",
    "welch": "Welch's t-test over seeds, unpaired; it takes the cases as given",
    "seed-permutation": "permutation test over seeds, unpaired; it takes the cases as "
    "given",
    "two-way": "t-test of the paired difference with the variance of cases and seeds",
}
# What is resampled or counted as a unit by a test.
UNITS: dict[Test, str] = {
    "wilcoxon": "patients", "paired-t": "patients", "sign-flip": "patients",
    "welch": "seeds", "seed-permutation": "seeds", "two-way": "patients and seeds",
}  # fmt: skip


class Choice(Closed):
    """How one kind of metric is tested and bounded."""

    test: Test
    zeros: Zeros = "pratt"
    over: Over = "both"
    interval: Literal["components", "percentile", "bca"] = "components"


class Style(Closed):
    """All choices of a report's statistics. family: what is corrected together."""

    name: str
    of_cases: Choice
    of_runs: Choice
    correction: Correction = "holm"
    family: Family = "table"
    draws: int = Field(2000, ge=100, le=100_000)


@lru_cache(maxsize=1)
def styles() -> dict[str, Style]:
    """Return the styles by name, the default first."""
    text = files(__package__).joinpath("styles.yaml").read_text(encoding="utf-8")
    return {
        name: Style(name=name, **settings)
        for name, settings in yaml.safe_load(text).items()
    }


def style(name: str | None = None) -> Style:
    """Return a style by name, the default without one. Raises UserError."""
    known = styles()
    if name is None:
        return next(iter(known.values()))
    if name not in known:
        msg = (
            f"{name!r} is not a style: expected one of {', '.join(known)}."
            f"{nearest(name, list(known))}"
        )
        raise UserError(msg)
    return known[name]
