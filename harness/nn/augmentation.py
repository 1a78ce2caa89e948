"""Random changes of views on the device, a whole batch at a time.

Views are (B, C, *sides) with intensities in [0, 1]; every change draws one row per view
and leaves the range as it is. Ranges without a source beside them are chosen here.
"""

from __future__ import annotations

import itertools
from functools import partial

import torch
from pydantic import Field
from torch import Tensor

from ..schema.task import Closed
from .draws import rows

Range = tuple[float, float]
_RADIUS = 4  # voxels on either side of a smoothing kernel: 2.7 of the widest sigma


class Augmentation(Closed):
    """Probability of each change of a view; 3DINO's ranges (METHODS 1.20)."""

    flip: float = Field(0.0, ge=0, le=1, description="per axis")
    rotate: float = Field(0.0, ge=0, le=1, description="by 90 degrees, per plane")
    intensity: float = Field(
        0.0, ge=0, le=1, description="one of gamma, noise and histogram shift"
    )
    blur_or_sharpen: float = Field(0.0, ge=0, le=1, description="one of the two")
    blur: float = Field(0.0, ge=0, le=1)
    gibbs: float = Field(0.0, ge=0, le=1, description="ringing of a cut-off spectrum")
    gamma: Range = Field((0.5, 2.0), description="exponent; METHODS 1.20")
    noise: float = Field(0.001, ge=0, description="sd: 0.002 of [-1, 1]; METHODS 1.20")
    points: int = Field(10, ge=3, description="of the histogram shift; METHODS 1.20")
    sigma: Range = Field((0.25, 1.5), description="of the blur, voxels")
    cut: Range = Field((0.4, 1.0), description="share of frequencies that Gibbs keeps")


def augment(x: Tensor, how: Augmentation, rng: torch.Generator) -> Tensor:
    """Change each view at random. Returns the same shape; cubes only are rotated."""
    if how.flip:
        x = random_flip(x, how.flip, rng)
    if how.rotate:
        x = random_rotation(x, how.rotate, rng)
    if how.intensity:
        u = _draw(len(x), 2, rng)
        changes = (
            random_gamma(x, how.gamma, rng),
            random_noise(x, how.noise, rng),
            shift_histogram(x, how.points, rng),
        )
        which = (u[:, 1] * len(changes)).long().clamp(max=len(changes) - 1)
        for index, changed in enumerate(changes):
            x = _where((u[:, 0] < how.intensity) & (which == index), changed, x)
    if how.blur_or_sharpen:
        u = _draw(len(x), 2, rng)
        either = _where(
            u[:, 1] < 0.5, random_blur(x, how.sigma, rng), random_sharpening(x, rng)
        )
        x = _where(u[:, 0] < how.blur_or_sharpen, either, x)
    if how.blur:
        chosen = _draw(len(x), 1, rng)[:, 0] < how.blur
        x = _where(chosen, random_blur(x, how.sigma, rng), x)
    if how.gibbs:
        chosen = _draw(len(x), 1, rng)[:, 0] < how.gibbs
        x = _where(chosen, random_ringing(x, how.cut, rng), x)
    return x


def random_flip(x: Tensor, probability: float, rng: torch.Generator) -> Tensor:
    """Mirror each view along each axis with `probability`."""
    dims = x.ndim - 2
    u = _draw(len(x), dims, rng)
    for axis in range(dims):
        x = _where(u[:, axis] < probability, x.flip(2 + axis), x)
    return x


def random_rotation(x: Tensor, probability: float, rng: torch.Generator) -> Tensor:
    """Turn each view by 90, 180 or 270 degrees in each plane with `probability`.

    In planes whose sides differ, by 180 degrees only.
    """
    planes = list(itertools.combinations(range(2, x.ndim), 2))
    u = _draw(len(x), 2 * len(planes), rng)
    for index, (a, b) in enumerate(planes):
        turned = u[:, 2 * index] < probability
        quarters = (u[:, 2 * index + 1] * 3).long().clamp(max=2) + 1
        if x.shape[a] != x.shape[b]:
            quarters = torch.full_like(quarters, 2)
        source = x
        for k in (1, 2, 3):
            if k == 2 or source.shape[a] == source.shape[b]:
                x = _where(turned & (quarters == k), source.rot90(k, (a, b)), x)
    return x


def random_gamma(x: Tensor, gamma: Range, rng: torch.Generator) -> Tensor:
    """X ** γ, γ uniform in `gamma`."""
    exponent = gamma[0] + (gamma[1] - gamma[0]) * _draw(len(x), 1, rng)[:, 0]
    return x.clamp(0, 1) ** _per_view(exponent, x)


def random_noise(x: Tensor, sd: float, rng: torch.Generator) -> Tensor:
    """Add normal noise of standard deviation `sd`, cut at the range."""
    shape = x.shape[1:]
    noise = rows(
        len(x),
        lambda n: torch.randn(n, *shape, generator=rng, device=rng.device),
    )
    return (x + sd * noise.to(x)).clamp(0, 1)


def shift_histogram(x: Tensor, points: int, rng: torch.Generator) -> Tensor:
    """Map intensities by a rising line through `points`, the inner ones drawn anew.

    The points stand at equal distances; the value of each inner one is uniform between
    those of its neighbours as they were, so the map rises. 0 and 1 stay.
    """
    u = _draw(len(x), points, rng).to(x)
    spots = torch.arange(points, device=x.device, dtype=x.dtype)
    values = spots + u - 0.5  # within half a step, so they stay in order
    values = torch.cat([spots[:1].expand(len(x), 1), values[:, 1:-1],
                        spots[-1:].expand(len(x), 1)], dim=1)  # fmt: skip
    place = x.clamp(0, 1) * (points - 1)
    low = place.floor().clamp(max=points - 2)
    index = low.long().flatten(1)
    start, end = (values.gather(1, index + k).view(x.shape) for k in (0, 1))
    return torch.lerp(start, end, place - low) / (points - 1)


def random_blur(x: Tensor, sigma: Range, rng: torch.Generator) -> Tensor:
    """Smooth each view by a Gaussian, sigma uniform in `sigma` voxels."""
    drawn = sigma[0] + (sigma[1] - sigma[0]) * _draw(len(x), 1, rng)[:, 0]
    return blur(x, drawn.to(x))


def blur(x: Tensor, sigma: Tensor) -> Tensor:
    """Smooth each view along every axis; sigma: (B,) in voxels. Edges are repeated."""
    offsets = torch.arange(-_RADIUS, _RADIUS + 1, device=x.device)
    weights = torch.exp(-0.5 * (offsets / sigma[:, None].clamp(min=1e-3)) ** 2)
    weights = weights / weights.sum(dim=1, keepdim=True)  # (B, taps)
    for axis in range(2, x.ndim):
        side = torch.arange(x.shape[axis], device=x.device)
        total = torch.zeros_like(x)
        for tap, offset in enumerate(offsets.tolist()):
            moved = x.index_select(axis, (side + offset).clamp(0, len(side) - 1))
            total = total + moved * _per_view(weights[:, tap], x)
        x = total
    return x


def random_sharpening(x: Tensor, rng: torch.Generator) -> Tensor:
    """Add 10 to 30 times what a second, slight blur takes from a blurred view.

    The scheme of MONAI's RandGaussianSharpen, which 3DINO uses, and its ranges.
    """
    u = _draw(len(x), 2, rng).to(x)
    smooth = blur(x, 0.5 + 0.5 * u[:, 0])
    gain = _per_view(10 + 20 * u[:, 1], x)
    detail = smooth - blur(smooth, torch.full_like(u[:, 0], 0.5))
    return (smooth + gain * detail).clamp(0, 1)


def random_ringing(x: Tensor, cut: Range, rng: torch.Generator) -> Tensor:
    """Keep the frequencies below a share, uniform in `cut`, of the highest one."""
    kept = cut[0] + (cut[1] - cut[0]) * _draw(len(x), 1, rng)[:, 0].to(x)
    axes = tuple(range(2, x.ndim))
    spectrum = torch.fft.fftn(x.float(), dim=axes)
    square = torch.zeros((), device=x.device)
    for axis in axes:
        frequency = torch.fft.fftfreq(x.shape[axis], device=x.device) / 0.5
        shape = [1] * x.ndim
        shape[axis] = -1
        square = square + frequency.view(shape) ** 2
    low = square.sqrt() <= _per_view(kept, x)
    ringing: Tensor = torch.fft.ifftn(spectrum * low, dim=axes).real
    return ringing.clamp(0, 1).to(x.dtype)


def _draw(number: int, width: int, rng: torch.Generator) -> Tensor:
    """Uniform numbers (number, width), one row per view, on the generator's device."""
    return rows(number, partial(_uniform, width, rng))


def _uniform(width: int, rng: torch.Generator, number: int) -> Tensor:
    return torch.rand(number, width, generator=rng, device=rng.device)


def _where(chosen: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    return torch.where(_per_view(chosen, no), yes, no)


def _per_view(values: Tensor, x: Tensor) -> Tensor:
    """(B,) to (B, 1, ..., 1) on x's device."""
    return values.to(x.device).view(-1, *[1] * (x.ndim - 1))
