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
from .intensity import Range, add_noise, blur, gamma, sometimes, uniform

_REACH = 4  # voxels to either side: 2.7 of the widest sigma, whatever the batch holds


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
    """Change each view at random. Returns the same shape."""
    n = len(x)
    if how.flip:
        for axis in range(2, x.ndim):
            x = sometimes(x, x.flip(axis), how.flip, rng)
    if how.rotate:
        x = random_rotation(x, how.rotate, rng)
    if how.intensity:
        x = sometimes(x, _one_intensity(x, how, rng), how.intensity, rng)
    if how.blur_or_sharpen:
        smooth = blur(x, uniform(n, *how.sigma, rng), _REACH)
        either = sometimes(smooth, random_sharpening(x, rng), 0.5, rng)
        x = sometimes(x, either, how.blur_or_sharpen, rng)
    if how.blur:
        x = sometimes(x, blur(x, uniform(n, *how.sigma, rng), _REACH), how.blur, rng)
    if how.gibbs:
        x = sometimes(x, random_ringing(x, how.cut, rng), how.gibbs, rng)
    return x


def _one_intensity(x: Tensor, how: Augmentation, rng: torch.Generator) -> Tensor:
    """Change each view by one of gamma, noise and histogram shift, equally likely."""
    n, shape = len(x), x.shape[1:]
    which = (uniform(n, 0, 3, rng)).long().clamp(max=2).to(x.device)
    noise = rows(n, lambda n: torch.randn(n, *shape, generator=rng, device=rng.device))
    changes = (
        gamma(x, uniform(n, *how.gamma, rng)),
        add_noise(x, torch.full((n,), how.noise, device=x.device), noise),
        shift_histogram(x, how.points, rng),
    )
    for index, changed in enumerate(changes):
        x = _where(which == index, changed, x)
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


def random_sharpening(x: Tensor, rng: torch.Generator) -> Tensor:
    """Add 10 to 30 times what a second, slight blur takes from a blurred view.

    The scheme of MONAI's RandGaussianSharpen, which 3DINO uses, and its ranges.
    """
    u = _draw(len(x), 2, rng).to(x)
    smooth = blur(x, 0.5 + 0.5 * u[:, 0], _REACH)
    gain = _per_view(10 + 20 * u[:, 1], x)
    detail = smooth - blur(smooth, torch.full_like(u[:, 0], 0.5), _REACH)
    return (smooth + gain * detail).clamp(0, 1)


def random_ringing(x: Tensor, cut: Range, rng: torch.Generator) -> Tensor:
    """Keep the frequencies below a share, uniform in `cut`, of the highest one."""
    kept = uniform(len(x), *cut, rng).to(x)
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
