"""What whoever asks for a report may choose about its statistics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..schema.errors import UserError
from ..schema.style import Style, style


class NothingYet(UserError):
    """Nothing is published that could be shown; while a run goes on, that may change."""


@dataclass(frozen=True)
class Options:
    """What whoever asks for a report may choose.

    level: of intervals; alpha: of tests; seed, draws: of every bootstrap; undefined:
    {metric: policy name}; baseline: the method that others are compared with (none: the
    one without pretraining, of the same encoder); allow_incomplete: rank although cells
    are missing; style: tests, corrections and intervals (None: the default ones).
    """

    level: float = 0.95
    alpha: float = 0.05
    seed: int = 0
    draws: int = 2000
    undefined: Mapping[str, str] = field(default_factory=dict)
    baseline: str | None = None
    allow_incomplete: bool = False
    style: str | None = None

    @classmethod
    def of_style(cls, name: str | None) -> Options:
        """Return the options of a style by name, the default one without."""
        named = style(name)
        return cls(draws=named.draws, style=named.name)

    @property
    def chosen(self) -> Style:
        """The style by its name. Raises UserError for an unknown one."""
        return style(self.style)
