"""Initial weights, all drawn from one generator."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .batchnorm import BatchNorm
from .transformer import LayerScale

NORMS = (nn.LayerNorm, nn.InstanceNorm3d, nn.GroupNorm, BatchNorm)
CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)
TOKENS = (
    "mask_token", "class_token", "class_position", "positions", "offset_bias",
    "directions", "level_token",
)  # fmt: skip


def initialise(module: nn.Module, rng: torch.Generator) -> None:
    """Overwrite every parameter below `module`, in order of name, from `rng` alone.

    Linear weights, tokens and bias tables: normal with standard deviation 0.02, cut at
    2 (METHODS 1.1). Convolutions: Kaiming normal for LeakyReLU(0.01). Norms: 1. Biases:
    0. Layer scale: its own start. The global random state has no influence. Raises
    ValueError at a parameter of a kind that has no rule here, so that none keeps what
    its constructor drew.
    """
    for prefix, part in module.named_modules():
        for name, parameter in part.named_parameters(recurse=False):
            with torch.no_grad():
                _fill(part, name, parameter, rng, f"{prefix}.{name}".lstrip("."))


def _fill(
    part: nn.Module, name: str, parameter: Tensor, rng: torch.Generator, path: str
) -> None:
    known = isinstance(part, (nn.Linear, *CONVOLUTIONS, *NORMS))
    if name == "bias" and known:
        parameter.zero_()
    elif isinstance(part, NORMS) and name == "weight":
        parameter.fill_(1.0)
    elif isinstance(part, LayerScale):
        parameter.fill_(part.start)
    elif parameter.is_meta:
        return  # shapes only, for counting
    elif name in TOKENS or (isinstance(part, nn.Linear) and name == "weight"):
        nn.init.trunc_normal_(parameter, std=0.02, generator=rng)
    elif isinstance(part, CONVOLUTIONS) and name == "weight":
        nn.init.kaiming_normal_(parameter, a=0.01, generator=rng)
    else:
        msg = (
            f"no rule to initialise {path} of {type(part).__name__}: "
            "add one to harness/nn/init.py"
        )
        raise ValueError(msg)
