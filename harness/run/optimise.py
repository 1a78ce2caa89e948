"""One optimiser step, and what is common to every training loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..nn.lars import LARS
from ..nn.schedule import cosine_with_warmup, stepped_with_warmup
from ..schema.optimiser import OptimiserSettings


class Diverged(Exception):
    """Loss or gradient are no longer finite; the message names step and cases."""


@dataclass(frozen=True)
class Schedule:
    """What changes over the steps and between parameters, beside warm-up and cosine.

    lr_end: where the cosine of the rate ends; weight_decay_end: where a cosine from the
    weight decay ends, None for a constant one; factors: of the rate, by the parameter's
    name, 1 where it is not named. drops: shares of the steps at which the rate falls to a
    tenth, in place of the cosine. plateau: returns the share of the rate that validations
    so far have left, in place of the cosine, too.
    """

    lr_end: float = 0.0
    drops: Sequence[float] = ()
    weight_decay_end: float | None = None
    factors: Mapping[str, float] = field(default_factory=dict)
    plateau: Callable[[], float] | None = None


def make_optimiser(
    module: nn.Module,
    lr: float,
    *,
    weight_decay: float,
    settings: OptimiserSettings | None = None,
    factors: Mapping[str, float] | None = None,
) -> torch.optim.Optimizer:
    """Return an optimiser over the parameters that train, AdamW where nothing is set.

    Biases, norms, tokens and every other 1-D parameter are left without weight decay
    (METHODS 0), and without the ratio of LARS (METHODS 1.6). So is a table of relative
    position biases, though it is 2-D.
    """
    own = settings or OptimiserSettings()
    groups = _groups(module, weight_decay, factors or {})
    if own.kind == "lars":
        return LARS(
            groups, lr, momentum=own.momentum, trust=own.trust, nesterov=own.nesterov
        )
    if own.kind == "sgd":
        return torch.optim.SGD(
            groups, lr, momentum=own.momentum, nesterov=own.nesterov, foreach=True
        )
    kind = torch.optim.AdamW if own.kind == "adamw" else torch.optim.Adam
    return kind(groups, lr, betas=own.betas, foreach=True)


def _groups(
    module: nn.Module, weight_decay: float, factors: Mapping[str, float]
) -> list[dict[str, Any]]:
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {
        (1.0, True): [],
        (1.0, False): [],
    }
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        exempt = parameter.ndim <= 1 or "bias" in name or "token" in name
        factor = factors.get(name, 1.0)
        groups.setdefault((factor, not exempt), []).append(parameter)
    return [
        {
            "params": parameters,
            "weight_decay": weight_decay if decays else 0.0,
            "first_decay": weight_decay if decays else 0.0,
            "factor": factor,
            "adapts": decays,
        }
        for (factor, decays), parameters in groups.items()
        if parameters
    ]


@dataclass(frozen=True)
class Descent:
    """Cosine schedule with warm-up, clipping; stops where loss or gradient are not finite.

    scaler: that of the gradients in half precision; passes them on where disabled.
    """

    optimiser: torch.optim.Optimizer
    lr: float
    steps: int
    warmup: int
    clip: float
    scaler: torch.amp.GradScaler
    schedule: Schedule = field(default_factory=Schedule)

    def step(self, value: float, step: int, case_ids: Sequence[str]) -> None:
        """Take optimiser step `step` (0-based) with the gradients as they are.

        value: the loss that they come from, of the cases `case_ids`. Raises Diverged,
        before any weight changes, if it is not finite, or the gradients' norm is not. In
        half precision the latter happens now and then, and the scaler skips the step.
        """
        self._check("loss", value, step, case_ids)
        rate = self._rate(step)
        end = self.schedule.weight_decay_end
        parameters = []
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group.get("factor", 1.0)
            if end is not None and (start := group.get("first_decay")):
                group["weight_decay"] = cosine_with_warmup(
                    step, self.steps, 0, peak=start, floor=end
                )
            parameters += group["params"]
        self.scaler.unscale_(self.optimiser)
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.clip)
        if not self.scaler.is_enabled():
            self._check("gradient", float(norm), step, case_ids)
        self.scaler.step(self.optimiser)
        self.scaler.update()

    def _check(
        self, what: str, value: float, step: int, case_ids: Sequence[str]
    ) -> None:
        if math.isfinite(value):
            return
        msg = (
            f"the {what} became {value} at step {step} of {self.steps} (cases "
            f"{', '.join(case_ids)}): lower 'lr', or look at these cases"
        )
        raise Diverged(msg)

    def _rate(self, step: int) -> float:
        if drops := self.schedule.drops:
            return stepped_with_warmup(step, self.steps, self.warmup, drops, self.lr)
        if plateau := self.schedule.plateau:
            rising = stepped_with_warmup(step, self.steps, self.warmup, (), self.lr)
            return rising * plateau()
        floor = min(self.lr, self.schedule.lr_end)
        return cosine_with_warmup(
            step, self.steps, self.warmup, peak=self.lr, floor=floor
        )


def trainable(module: nn.Module) -> int:
    """Return how many numbers of a module are trained."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


class BestState:
    """The weights of the best validation so far, in host memory.

    A score is compared first, then the loss where scores tie (lower is better).
    """

    def __init__(self) -> None:
        self.found: tuple[float | None, float] | None = None  # score and loss
        self.step = -1
        self.tensors: dict[str, Tensor] = {}

    def offer(
        self, module: nn.Module, step: int, *, score: float | None, loss: float
    ) -> None:
        """Keep the module's weights if this validation is the best."""
        if self.found is None or rank(score, loss) > rank(*self.found):
            self.found, self.step = (score, loss), step
            self.tensors = {
                name: value.detach().to("cpu", copy=True)
                for name, value in module.state_dict().items()
            }

    def restore(self, module: nn.Module) -> None:
        """Put the kept weights back; nothing if none were kept."""
        if self.tensors:
            module.load_state_dict(self.tensors)

    def state(self) -> dict[str, Any]:
        """Return what is kept beside the tensors, as plain JSON."""
        return {"found": self.found, "step": self.step}

    def resume(self, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Become what `state` and `tensors` were."""
        self.found = None if state["found"] is None else tuple(state["found"])
        self.step, self.tensors = int(state["step"]), dict(tensors)


def rank(score: float | None, loss: float) -> tuple[float, float]:
    """Return what orders validations: by score, then by loss; larger is better."""
    return (-float("inf") if score is None else score, -loss)
