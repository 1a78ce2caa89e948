"""Watches a pretraining for collapse: what the curves show, and the verdict at its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ..nn.distil import PrototypeTargets
from ..nn.features import Encoder, Features
from ..nn.spread import effective_rank, embedding_spread, prototype_use

# What a run has collapsed by, in the mean over the last tenth of its steps (chosen here).
# A healthy spread is near 1, an untrained network's a hundredth to a tenth. Targets that
# tell two images apart carry up to ln 2 = 0.69 nats. Targets of one prototype, or of all
# alike, are a collapse if they carry next to nothing; others only if they carry nothing,
# since early in a healthy training they carry little (docs/log.md).
SPREAD = 1e-3
LITTLE, NOTHING = 1e-3, 1e-5  # nats of information
SURE, UNIFORM = 0.01, 0.99  # entropy, share of ln K


class Monitor:
    """Looks at each forward pass in training of the trained encoder and of targets.

    spread and effective_rank are of the image vectors of the first pass in a step;
    entropy, used and information (`nn.spread.prototype_use`) of each module of targets,
    whose name they carry. Every share of a batch is looked at on its own.
    """

    def __init__(self, method: nn.Module, steps: int) -> None:
        self.last = max(1, steps // 10)
        self._now: dict[str, float] = {}
        self._kept: list[dict[str, float]] = []
        for name, part in method.named_modules():
            if isinstance(part, PrototypeTargets):
                part.register_forward_hook(self._targets(name))
            elif isinstance(part, Encoder):
                part.register_forward_hook(self._encoder)

    def _encoder(self, part: nn.Module, _: Any, features: Features) -> None:
        x = features.pooled.detach()
        if part.training and "spread" not in self._now and len(x) > 1:
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
        self._kept = [*self._kept[-self.last + 1 :], seen] if self.last > 1 else [seen]
        return seen

    def warnings(self) -> list[str]:
        """Return what is wrong with the last tenth of the steps, in words."""
        means: dict[str, float] = {}
        for quantity in dict.fromkeys(name for seen in self._kept for name in seen):
            values = [seen[quantity] for seen in self._kept if quantity in seen]
            means[quantity] = sum(values) / len(values)
        found = []
        if (spread := means.get("spread", 1.0)) < SPREAD:
            found.append(
                f"collapsed: the encoder gives all images one vector (spread {spread:.1g})"
            )
        for quantity, information in means.items():
            name, _, kind = quantity.rpartition(".")
            if kind != "information":
                continue
            extreme = not SURE <= means[f"{name}.entropy"] <= UNIFORM
            if information < (LITTLE if extreme else NOTHING):
                found.append(
                    f"collapsed: {name} are equal for all inputs ({information:.1g} nats)"
                )
        return found
