"""Watches a pretraining for collapse: what the curves show, and the verdict at its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ..nn.distil import PrototypeTargets
from ..nn.features import Encoder, Features
from ..nn.spread import effective_rank, embedding_spread, prototype_use

LAST = 0.1  # of the steps: what the verdict is about (chosen here)

# A healthy spread is near 1, an untrained network's a hundredth to a tenth.
SPREAD = 1e-3
# Information, nats, below which targets are called equal for all inputs, by their
# entropy as a share of ln K. All thresholds are chosen here; docs/log.md has the runs
# that they were tried on. Sharp targets carry much if they differ at all: one row in a
# hundred with a prototype of its own makes 0.056. So less than 0.01 means one prototype
# for every image, and no way back, since the student then meets its targets without
# looking. Targets near uniform carry little in a healthy training, too, a few
# thousandths, and are a collapse below one thousandth. Between the two, only what
# carries nothing is one: an untrained network's targets carry next to nothing.
SHARP, UNIFORM = 0.1, 0.99
LITTLE_IF_SHARP, LITTLE_IF_UNIFORM, NOTHING = 1e-2, 1e-3, 1e-5


class Monitor:
    """Looks at each forward pass in training of the trained encoder and of targets.

    spread and effective_rank are of the image vectors of the first pass in a step;
    entropy, used and information (`nn.spread.prototype_use`) of each module of targets,
    whose name they carry. Every share of a batch is looked at on its own.
    """

    def __init__(self, method: nn.Module) -> None:
        self._now: dict[str, float] = {}
        for name, part in method.named_modules():
            if isinstance(part, PrototypeTargets):
                part.register_forward_hook(self._targets(name))
            elif isinstance(part, Encoder):
                part.register_forward_hook(self._encoder)
                part.watch = self._vectors

    def _encoder(self, part: nn.Module, _: Any, features: Features) -> None:
        if part.training:
            self._vectors(features.pooled.detach())

    def _vectors(self, x: Tensor) -> None:
        if "spread" not in self._now and len(x) > 1:
            self._now["spread"] = embedding_spread(x)
            self._now["effective_rank"] = effective_rank(x)

    def _targets(self, name: str) -> Any:
        # Every pass must leave the same quantities, on whatever rank: with fewer than
        # two rows, as where nothing was hidden, the last ones stand.
        last = {"entropy": 0.0, "used": 0.0, "information": 0.0}

        def look(_part: nn.Module, _inputs: Any, p: Tensor) -> None:
            if p.numel() > p.shape[-1]:
                last.update(prototype_use(p))
            for quantity, value in last.items():
                self._now[f"{name}.{quantity}"] = value

        return look

    def take(self) -> Mapping[str, float]:
        """Return what was seen since the last time."""
        seen, self._now = self._now, {}
        return seen


def warnings(means: Mapping[str, float]) -> list[str]:
    """Return what is wrong, in words.

    means: of every quantity of the curves over the last tenth of the steps (LAST).
    """
    found = []
    if (spread := means.get("spread", 1.0)) < SPREAD:
        found.append(
            f"collapsed: the encoder gives all images one vector (spread {spread:.1g})"
        )
    for quantity, information in means.items():
        name, _, kind = quantity.rpartition(".")
        if kind == "information" and information < _least(means[f"{name}.entropy"]):
            found.append(
                f"collapsed: {name} are equal for all inputs ({information:.1g} nats)"
            )
    return found


def _least(entropy: float) -> float:
    """Return the information that targets of an entropy carry at least if healthy."""
    if entropy < SHARP:
        return LITTLE_IF_SHARP
    return LITTLE_IF_UNIFORM if entropy > UNIFORM else NOTHING
