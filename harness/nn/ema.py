"""A teacher that follows its student as an exponential moving average."""

from __future__ import annotations

import copy
import math
from typing import Any, Self

import torch
from torch import nn


def momentum_at(step: int, total: int, start: float) -> float:
    """Momentum at the global step: 1 - (1 - λ0)(1 + cos(π step / total)) / 2.

    METHODS 0. Rises from `start` at step 0 to 1 at step `total`.
    """
    phase = math.pi * min(step, total) / max(total, 1)
    return 1 - (1 - start) * (1 + math.cos(phase)) / 2


@torch.no_grad()
def ema_update(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """θ_t ← λ θ_t + (1 - λ) θ_s for every parameter; buffers are copied.

    momentum λ in [0, 1]: 0 copies the student, 1 leaves the teacher as it is.
    """
    for old, new in zip(teacher.parameters(), student.parameters(), strict=True):
        old.lerp_(new, 1 - momentum)
    for kept, fresh in zip(teacher.buffers(), student.buffers(), strict=True):
        kept.copy_(fresh)


class Teacher(nn.Module):
    """A copy of a student that receives no gradient and is always in eval mode."""

    def __init__(self, student: nn.Module) -> None:
        super().__init__()
        self.module = copy.deepcopy(student)  # exact at the start
        self.requires_grad_(requires_grad=False)
        self.eval()

    def train(self, mode: bool = True) -> Self:  # noqa: ARG002, FBT001, FBT002
        """Stay in eval mode: drop path is for the student only."""
        return super().train(mode=False)

    @torch.no_grad()
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the copy without recording gradients."""
        return self.module(*args, **kwargs)

    @property
    def encoder(self) -> nn.Module:
        """The copy's encoder, where the student has one under this name."""
        encoder: nn.Module = self.module.get_submodule("encoder")
        return encoder

    def update(self, student: nn.Module, momentum: float) -> None:
        """Follow the student after one optimiser step; see `ema_update`."""
        ema_update(self.module, student, momentum)
