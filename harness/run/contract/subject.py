"""A method at tier tiny with regions to train on, and what judging it means."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional

from ...api import (
    BaselineSettings,
    Batch,
    LabelledSource,
    Loss,
    Method,
    build_method,
    resolve,
)
from ...nn.settings import encoder_tier
from ...schema.roles import TRAINED, Role

REGIONS = 2
VOXELS = LabelledSource("segmentation", 2)  # what a supervised method learns from


class Breach(Exception):
    """What a method does that a clause forbids, in one sentence.

    hint: what to do about it, where the clause's own hint is about something else.
    """

    def __init__(self, said: str, hint: str = "") -> None:
        super().__init__(said)
        self.hint = hint


def rng(seed: int = 0) -> torch.Generator:
    """Return a generator with a seed."""
    return torch.Generator().manual_seed(seed)


@dataclass(frozen=True)
class Subject:
    """A method class, and the overrides (an encoder, say) that it is judged with."""

    kind: type[Method]
    overrides: Mapping[str, Any] = field(default_factory=dict)
    source: LabelledSource = field(default_factory=lambda: VOXELS)

    def make(self, *, channels: int = 1, seed: int = 1, **overrides: Any) -> Method:
        """Build the method at tier tiny, in training mode, a seed's weights."""
        settings = self.settings(**overrides)
        source = self.source if self.kind.role == "supervised" else None
        return build_method(self.kind, settings, channels, rng(seed), source).train()

    def smaller(self, *, seed: int = 1) -> Method:
        """Build it for crops of 16 voxels a side, where it takes them, else as `make`."""
        dims = self.settings().encoder.dims
        small: dict[str, Any] = {"crop": (16,) * dims, "region": (20,) * dims}
        try:
            return self.make(seed=seed, **small)
        except (ValidationError, ValueError):  # it needs more than that
            return self.make(seed=seed)

    def settings(self, **overrides: Any) -> BaselineSettings:
        """Return the settings at tier tiny of a method that has an encoder."""
        chosen = {**self.overrides, **overrides}
        if not self.kind.Settings.scaled:  # else the tier does it
            own = dict(chosen.get("encoder", {}))
            kind = str(own.get("kind", self.kind.encoders[0]))
            chosen["encoder"] = {**encoder_tier(kind, "tiny"), "kind": kind, **own}
        settings = resolve(self.kind.Settings, "tiny", chosen)
        assert isinstance(settings, BaselineSettings)  # clauses go by role
        return settings

    def regions(self, method: Method, number: int = REGIONS) -> Batch:
        """Return smooth random regions of its size: there is something to predict."""
        settings: Any = method.settings
        sides = tuple(settings.region)
        coarse = torch.rand(number, 1, *[5] * len(sides), generator=rng(2))
        volumes = functional.interpolate(coarse, size=sides)
        labels: Tensor | None = None
        if self.kind.role == "supervised":
            labels = (volumes[:, 0] > 0.5).to(torch.uint8)
            if self.source.kind == "classification":
                labels = torch.arange(number) % self.source.classes
        return Batch(volumes, tuple(f"case-{i}" for i in range(number)), labels)


def loss_of(method: Method, batch: Batch, seed: int = 0) -> Loss:
    """Return the loss at step 0 with the draws of a seed."""
    return method.loss(batch, rng(seed))


@dataclass(frozen=True)
class Clause:
    """One duty: a code, what it says, what to do about a breach, and its check.

    roles: the methods that owe it.
    """

    code: str
    title: str
    hint: str
    check: Callable[[Subject], None]
    roles: Set[Role] = TRAINED


@dataclass(frozen=True)
class Verdict:
    """What came of a clause; `said` explains a breach or an error."""

    code: str
    title: str
    state: Literal["kept", "broken", "error"]
    said: str = ""
    hint: str = ""


def judge(clause: Clause, subject: Subject) -> Verdict:
    """Check one clause. An exception of the method's own is an error, not a crash."""
    try:
        clause.check(subject)
    except Breach as breach:
        hint = breach.hint or clause.hint
        return Verdict(clause.code, clause.title, "broken", str(breach), hint)
    except Exception as problem:
        at = traceback.extract_tb(problem.__traceback__)[-1]
        said = f"{type(problem).__name__}: {problem} ({at.filename}:{at.lineno})"
        return Verdict(clause.code, clause.title, "error", said, clause.hint)
    return Verdict(clause.code, clause.title, "kept")
