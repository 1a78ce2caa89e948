"""One optimiser step, and what is common to every training loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..nn.schedule import cosine_with_warmup


class Diverged(Exception):
    """The loss is no longer finite; the message names step and cases."""


def adamw(module: nn.Module, lr: float, *, weight_decay: float) -> torch.optim.AdamW:
    """Return AdamW over the parameters that train.

    Biases, norms, tokens and every other 1-D parameter are left without weight decay
    (METHODS 0). So is a table of relative position biases, though it is 2-D.
    """
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        exempt = parameter.ndim <= 1 or "bias" in name or "token" in name
        (plain if exempt else decayed).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ],
        lr=lr,
        foreach=True,
    )


@dataclass(frozen=True)
class Descent:
    """Cosine schedule with warm-up, clipping; stops where the loss is not finite."""

    optimiser: torch.optim.Optimizer
    lr: float
    steps: int
    warmup: int
    clip: float

    def step(self, loss: Tensor, step: int, case_ids: Sequence[str]) -> float:
        """Take optimiser step `step` (0-based) and return the loss. Raises Diverged."""
        value = float(loss.detach())
        if value != value or value in (float("inf"), float("-inf")):
            msg = (
                f"the loss became {value} at step {step} of {self.steps} (cases "
                f"{', '.join(case_ids)}): lower 'lr', or look at these cases"
            )
            raise Diverged(msg)
        rate = self.lr * cosine_with_warmup(step, self.steps, self.warmup)
        parameters = []
        for group in self.optimiser.param_groups:
            group["lr"] = rate
            parameters += group["params"]
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, self.clip)
        self.optimiser.step()
        return value


def trainable(module: nn.Module) -> int:
    """Return how many numbers of a module are trained."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


class BestState:
    """The weights of the best validation so far, in host memory.

    A score is compared first, then the loss where scores tie (lower is better).
    """

    def __init__(self) -> None:
        self.rank: tuple[float, float] | None = None
        self.step = -1
        self._state: dict[str, Tensor] = {}

    def offer(
        self, module: nn.Module, step: int, *, score: float | None, loss: float
    ) -> None:
        """Keep the module's weights if this validation is the best."""
        rank = (-float("inf") if score is None else score, -loss)
        if self.rank is None or rank > self.rank:
            self.rank, self.step = rank, step
            self._state = {
                name: value.detach().to("cpu", copy=True)
                for name, value in module.state_dict().items()
            }

    def restore(self, module: nn.Module) -> None:
        """Put the kept weights back; nothing if none were kept."""
        if self._state:
            module.load_state_dict(self._state)
