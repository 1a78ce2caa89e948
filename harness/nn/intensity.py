"""Intensity changes of whole batches on their device, each sample with its own strength.

Images are (B, C, *sides) with intensities in [0, 1]; a strength is (B,). Geometry is left
alone. `Jitter` draws strengths and applies a chain of these; what it does is a setting.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from ..schema.task import Closed
from .draws import rows

Range = tuple[float, float]


def brighten(x: Tensor, factor: Tensor) -> Tensor:
    """Multiply each sample, and cut at 1."""
    return (x * _wide(factor, x)).clamp(0, 1)


def contrast(x: Tensor, factor: Tensor) -> Tensor:
    """Spread each sample and channel about its mean, and cut at 0 and 1."""
    mean = x.flatten(2).mean(dim=2).view(*x.shape[:2], *[1] * (x.ndim - 2))
    return (mean + (x - mean) * _wide(factor, x)).clamp(0, 1)


def gamma(x: Tensor, power: Tensor) -> Tensor:
    """Raise each sample to a power above 0."""
    return x.clamp(0, 1) ** _wide(power, x)


def add_noise(x: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
    """Add `noise`, standard normal and of x's shape, times each sample's sigma."""
    return (x + _wide(sigma, x) * noise.to(x)).clamp(0, 1)


def blur(x: Tensor, sigma: Tensor, reach: int | None = None) -> Tensor:
    """Blur each sample with a Gaussian of its own sigma, in voxels; edges are repeated.

    The kernel reaches `reach` voxels to either side, by default as far as three of the
    largest sigma, at least one.
    """
    reach = reach or max(1, math.ceil(3 * float(sigma.max())))
    offset = torch.arange(-reach, reach + 1, device=x.device, dtype=x.dtype)
    width = sigma.to(x).clamp(min=1e-3)[:, None]
    kernel = torch.exp(-0.5 * (offset / width) ** 2)
    kernel = kernel / kernel.sum(dim=1, keepdim=True)  # (B, taps)
    b, c, *sides = x.shape
    for axis in range(2, x.ndim):
        # Every line along the axis is a row; the lines of a sample share its kernel.
        lines = x.movedim(axis, -1)
        shape = lines.shape
        flat = lines.reshape(1, b, -1, shape[-1])
        flat = functional.pad(flat, (reach, reach, 0, 0), mode="replicate")
        flat = functional.conv2d(flat, kernel[:, None, None, :], groups=b)
        x = flat.view(shape).movedim(-1, axis)
    return x.reshape(b, c, *sides)


def coarsen(x: Tensor, zoom: Tensor) -> Tensor:
    """Show each sample at `zoom` (0 to 1) of its resolution, nearest neighbour.

    Low-resolution simulation: a voxel takes the value in the middle of its coarse cell.
    """
    b = len(x)
    for axis in range(2, x.ndim):
        side = x.shape[axis]
        cells = (zoom.to(x) * side).round().clamp(1, side)[:, None]  # (B, 1)
        place = torch.arange(side, device=x.device, dtype=x.dtype) + 0.5
        cell = (place * cells / side).floor()
        index = ((cell + 0.5) * side / cells).floor().long().clamp(0, side - 1)
        shape = [b, *(side if a == axis else 1 for a in range(1, x.ndim))]
        x = x.gather(axis, index.view(shape).expand_as(x))
    return x


class Jitter(Closed):
    """Which intensity changes a view gets: each with a chance and a range of strengths.

    The ranges are those of the 3-D port that METHODS 1.3 lists; chances that it leaves
    open are chosen here. Applied in this order.
    """

    noise: Range = Field((0.0, 0.1), description="sigma; chosen here")
    noise_chance: float = Field(0.15, ge=0, le=1, description="chosen here")
    blur: Range = Field((0.5, 1.0), description="sigma in voxels; chosen here")
    blur_chance: float = Field(0.2, ge=0, le=1, description="chosen here")
    brightness: Range = Field((0.75, 1.25), description="METHODS 1.3")
    brightness_chance: float = Field(0.5, ge=0, le=1, description="chosen here")
    contrast: Range = Field((0.75, 1.25), description="as brightness; chosen here")
    contrast_chance: float = Field(0.5, ge=0, le=1, description="chosen here")
    zoom: Range = Field((0.5, 1.0), description="low resolution; chosen here")
    zoom_chance: float = Field(0.25, ge=0, le=1, description="chosen here")
    gamma: Range = Field((0.7, 1.5), description="METHODS 1.3")
    gamma_chance: float = Field(0.5, ge=0, le=1, description="chosen here")

    def __call__(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """Change a batch of views (B, C, *sides); draws come from `rng` alone."""

        def noise(x: Tensor, sigma: Tensor) -> Tensor:
            drawn = rows(len(x), lambda n: _normal((n, *x.shape[1:]), rng))
            return add_noise(x, sigma, drawn)

        chain: list[tuple[Callable[[Tensor, Tensor], Tensor], Range, float]] = [
            (noise, self.noise, self.noise_chance),
            (blur, self.blur, self.blur_chance),
            (brighten, self.brightness, self.brightness_chance),
            (contrast, self.contrast, self.contrast_chance),
            (coarsen, self.zoom, self.zoom_chance),
            (gamma, self.gamma, self.gamma_chance),
        ]
        for change, limits, chance in chain:
            if chance > 0:
                strength = uniform(len(x), *limits, rng).to(x)
                x = sometimes(x, change(x, strength), chance, rng)
        return x


def sometimes(
    x: Tensor, changed: Tensor, chance: float, rng: torch.Generator
) -> Tensor:
    """Take each sample of `changed` with probability `chance`, else that of x."""
    chosen = uniform(len(x), 0.0, 1.0, rng).to(x.device) < chance
    return torch.where(_wide(chosen, x), changed, x)


def uniform(number: int, low: float, high: float, rng: torch.Generator) -> Tensor:
    """Draw one number per sample, uniform in [low, high). Returns (number,)."""
    return rows(
        number,
        lambda n: low + (high - low) * torch.rand(n, generator=rng, device=rng.device),
    )


def _normal(shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=rng, device=rng.device)


def _wide(values: Tensor, x: Tensor) -> Tensor:
    """(B,) to (B, 1, 1, ...), as many axes as x has."""
    return values.to(x.device).view(-1, *[1] * (x.ndim - 1))
