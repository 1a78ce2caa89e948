"""LARS: stochastic gradient descent whose rate follows the size of each tensor."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class LARS(Optimizer):
    """Layer-wise adaptive rates (You, Gitman, Ginsburg 2017, algorithm 1).

    For each tensor w with gradient g, momentum buffer v (from 0), rate lr, decay β:

        d = g + β w
        d ← η ‖w‖ / ‖d‖ · d      where both norms are above 0
        v ← m v + d
        w ← w - lr v             (nesterov: w ← w - lr (d + m v))

    ‖d‖ is of gradient and decay together, as SimCLR, BYOL and MoCo v3 have it; the paper
    adds the norms. lr stands outside of the momentum, as in torch.optim.SGD, so that a
    schedule acts at once. Groups of parameters with `adapts: False` (biases, norms) are
    left without the ratio, as the published recipes do (METHODS 1.6).

    trust: η. The defaults are the paper's.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        *,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust: float = 1e-3,
        nesterov: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr, "momentum": momentum, "weight_decay": weight_decay,
                "trust": trust, "nesterov": nesterov, "adapts": True,
            },
        )  # fmt: skip

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step along the gradients as they are; no closure is called twice."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for w in group["params"]:
                if w.grad is not None:
                    self._move(w, group)
        return loss

    def _move(self, w: Tensor, group: dict[str, Any]) -> None:
        d = w.grad.add(w, alpha=group["weight_decay"])  # type: ignore[union-attr]
        if group["adapts"]:
            sizes = w.norm(), d.norm()
            ratio = group["trust"] * sizes[0] / sizes[1]
            # Without a branch on values, which would wait for a device.
            d.mul_(torch.where((sizes[0] > 0) & (sizes[1] > 0), ratio, 1.0))
        state = self.state[w]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(w)
        v = state["momentum_buffer"].mul_(group["momentum"]).add_(d)
        if group["nesterov"]:
            v = d.add(v, alpha=group["momentum"])
        w.add_(v, alpha=-group["lr"])
