"""Watches a pretraining for collapse: what the curves show, and the verdict at its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ..nn.distil import PrototypeTargets
from ..nn.features import Encoder, Features
from ..nn.spread import effective_rank, embedding_spread, prototype_use

# Below these, in the mean over the last tenth of the steps, a run has collapsed. A
# healthy spread is near 1, an untrained network's some hundredths; a row of targets that
# is told apart from one other carries ln 2 = 0.69 nats. Both limits are chosen here.
SPREAD, INFORMATION = 1e-3, 1e-3


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
            elif isinstance(part, Encoder) and part.mask_token is not None:
                part.register_forward_hook(self._encoder)

    def _encoder(self, part: nn.Module, _: Any, features: Features) -> None:
        x = features.pooled.detach()
        if part.training and "spread" not in self._now and len(x) > 1:
            self._now["spread"] = embedding_spread(x)
            self._now["effective_rank"] = effective_rank(x)

    def _targets(self, name: str) -> Any:
        def look(_part: nn.Module, _inputs: Any, p: Tensor) -> None:
            if p.numel() > p.shape[-1]:  # two rows or more
                for quantity, value in prototype_use(p).items():
                    self._now[f"{name}.{quantity}"] = value

        return look

    def take(self) -> Mapping[str, float]:
        """Return what was seen since the last time."""
        seen, self._now = self._now, {}
        self._kept = [*self._kept[-self.last + 1 :], seen] if self.last > 1 else [seen]
        return seen

    def warnings(self) -> list[str]:
        """Return what is wrong with the last tenth of the steps, in words."""
        found = []
        for quantity in dict.fromkeys(name for seen in self._kept for name in seen):
            values = [seen[quantity] for seen in self._kept if quantity in seen]
            mean = sum(values) / len(values)
            if quantity == "spread" and mean < SPREAD:
                found.append(
                    f"collapsed: the encoder gives all images one vector (spread "
                    f"{mean:.1g})"
                )
            elif quantity.endswith(".information") and mean < INFORMATION:
                found.append(
                    f"collapsed: {quantity.removesuffix('.information')} are equal for "
                    f"all inputs ({mean:.1g} nats)"
                )
        return found
