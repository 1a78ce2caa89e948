"""Batch norm over the whole batch, whatever the number of ranks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from . import collective


class BatchNorm(_BatchNorm):
    """Batch norm of (B, C) or (B, C, *grid), with statistics of all ranks.

    batch_statistics: whether evaluation mode, too, uses those of the batch and leaves
    the running ones alone, as the momentum encoders of BYOL and MoCo v3 do.
    """

    batch_statistics: bool = False

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of axes from two on is right."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the normalised (B, C, ...)."""
        live = self.training or self.batch_statistics
        if live and collective.world_size() > 1:
            return self._over_ranks(input)
        mean, var = self.running_mean, self.running_var
        if live and not self.training:
            mean = var = None
        return functional.batch_norm(
            input, mean, var, self.weight, self.bias, training=live,
            momentum=self.momentum or 0.0, eps=self.eps,
        )  # fmt: skip

    def _over_ranks(self, x: Tensor) -> Tensor:
        axes = [axis for axis in range(x.ndim) if axis != 1]
        shape = [1, -1, *[1] * (x.ndim - 2)]
        mean = collective.mean_over_ranks(x.mean(dim=axes))
        centred = x - mean.view(shape)
        var = collective.mean_over_ranks(centred.square().mean(dim=axes))
        if self.training and self.running_mean is not None:
            self._remember(mean, var, x.numel() // x.shape[1])
        y = centred * (var + self.eps).rsqrt().view(shape)
        return y if self.weight is None else torch.addcmul(
            self.bias.view(shape), y, self.weight.view(shape)
        )  # fmt: skip

    @torch.no_grad()
    def _remember(self, mean: Tensor, var: Tensor, count: int) -> None:
        total = count * collective.world_size()
        assert self.running_mean is not None and self.running_var is not None  # noqa: PT018
        step = self.momentum or 0.0
        self.running_mean.lerp_(mean, step)
        self.running_var.lerp_(var * total / max(1, total - 1), step)


def use_batch_statistics(module: nn.Module) -> None:
    """Let every BatchNorm below `module` use the batch's statistics in any mode."""
    for part in module.modules():
        if isinstance(part, BatchNorm):
            part.batch_statistics = True
