"""Painting synthetic anatomy: what generators in tasks/*.py share.

Shapes are ellipsoids in body coordinates (mm). They are painted on a canvas finer than
the image, each of whose sub-voxels knows where it lies in the body; averaging them then
gives partial volumes. Nothing here calls BLAS, whose sums depend on the thread count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

F32 = NDArray[np.float32]
Labels = NDArray[np.uint8]
Box = tuple[slice, slice, slice]
Triple = tuple[float, float, float]


class Ball(NamedTuple):
    """An ellipsoid: centre and radii in mm, tilted by degrees about A, then about R."""

    centre: Triple
    radii: Triple
    tilt: tuple[float, float] = (0.0, 0.0)

    def turn(self) -> NDArray[np.float64]:
        """Return the rotation (3, 3) from body coordinates to the ball's own axes."""
        (ca, cr), (sa, sr) = (
            np.cos(np.radians(self.tilt)),
            np.sin(np.radians(self.tilt)),
        )
        return np.array(
            [[ca, 0, -sa], [-sr * sa, cr, -sr * ca], [cr * sa, sr, cr * ca]]
        )

    def half(self) -> NDArray[np.float64]:
        """Return half the sides (3,) of the upright box round the ball, in mm."""
        reach = self.turn() * np.array(self.radii)[:, None]
        return np.asarray(np.sqrt((reach**2).sum(0)))

    def square(self, where: F32) -> F32:
        """Return (distance / radius)^2 at `where` (3, ...): below 1 inside."""
        rows = (self.turn() / np.array(self.radii)[:, None]).astype(np.float32)
        x, y, z = (w - np.float32(c) for w, c in zip(where, self.centre, strict=True))
        total: F32 = np.zeros_like(x)
        for a, b, c in rows:
            along = a * x + c * z
            if b:
                along += b * y
            along *= along
            total += along
        return total

    def vary(self, rng: np.random.Generator, shift: float, size: float) -> Ball:
        """Return the ball moved up to `shift` mm, resized up to `size`, and turned."""
        x, y, z = np.add(self.centre, rng.uniform(-shift, shift, 3))
        a, b, c = np.multiply(self.radii, rng.uniform(1 - size, 1 + size, 3))
        about_a, about_r = np.add(self.tilt, rng.uniform(-8, 8, 2))
        return Ball((x, y, z), (a, b, c), (about_a, about_r))


@dataclass(frozen=True)
class Canvas:
    """What is painted on: a value and a label for each sub-voxel.

    where: (3, D, H, W) mm in the body; value, label: (D, H, W); axes: the scanner's own
    coordinates along each axis, in mm; reach: per axis, least and greatest difference
    between `where` and them, by which a shape's box is found without a look at `where`.
    """

    where: F32
    axes: tuple[F32, F32, F32]
    reach: tuple[tuple[float, float], ...]
    value: F32
    label: Labels

    @classmethod
    def blank(cls, where: F32, axes: tuple[F32, F32, F32], value: float) -> Canvas:
        """Return a canvas of one value without labels."""
        x, y, z = axes
        grid = (x[:, None, None], y[None, :, None], z[None, None, :])
        apart = [body - at for body, at in zip(where, grid, strict=True)]
        reach = tuple((float(a.min()), float(a.max())) for a in apart)
        shape = where.shape[1:]
        return cls(
            where,
            axes,
            reach,
            np.full(shape, value, np.float32),
            np.zeros(shape, np.uint8),
        )

    def box(self, centre: Triple, half: NDArray[np.float64]) -> Box:
        """Return sub-voxels holding all that lie within `half` mm of `centre`."""
        edges = []
        for axis, c, h, (least, most) in zip(
            self.axes, centre, half, self.reach, strict=True
        ):
            low, high = np.searchsorted(axis, (c - h - most, c + h - least))
            edges.append(slice(int(low), int(high)))
        return edges[0], edges[1], edges[2]

    def square(self, ball: Ball) -> tuple[Box, F32]:
        """Return a box round the ball and `Ball.square` in it."""
        box = self.box(ball.centre, ball.half())
        return box, ball.square(self.where[(slice(None), *box)])

    def paint(
        self, box: Box, mask: NDArray[np.bool_], value: float, label: int | None = None
    ) -> None:
        """Set the value, and the label unless None, where `mask` holds in `box`."""
        np.copyto(self.value[box], np.float32(value), where=mask)
        if label is not None:
            np.copyto(self.label[box], np.uint8(label), where=mask)

    def fill(
        self,
        ball: Ball,
        value: float,
        label: int | None = None,
        *,
        within: int | None = None,
        without: tuple[Ball, ...] = (),
    ) -> None:
        """Paint a ball less those in `without`, only over label `within` if given."""
        box, square = self.square(ball)
        mask = square < 1
        for hole in without:
            mask &= hole.square(self.where[(slice(None), *box)]) >= 1
        if within is not None:
            mask &= self.label[box] == within
        self.paint(box, mask, value, label)


def smooth_displacement(
    rng: np.random.Generator, shape: tuple[int, ...], *, knots: int, sd: float
) -> F32:
    """Return a smooth random displacement (3, *shape), about `sd` mm along each axis.

    knots: control points per axis, each the centre of a Gaussian bump.
    """
    field = rng.normal(0, sd, (3, knots, knots, knots)).astype(np.float32)
    d, h, w = (_bumps(n, knots) for n in shape)
    field = np.einsum("kc,pabc->pabk", w, field)
    field = np.einsum("jb,pabk->pajk", h, field)
    return np.asarray(np.einsum("ia,pajk->pijk", d, field), np.float32)


def _bumps(n: int, knots: int) -> F32:
    """Return weights (n, knots) whose squares add up to about 1 in every row."""
    at = np.linspace(0, knots - 1, n)[:, None] - np.arange(knots)[None, :]
    weights = np.exp(-0.5 * (at / 0.75) ** 2)
    return np.asarray(weights / np.sqrt((weights**2).sum(1, keepdims=True)), np.float32)


def pose(rng: np.random.Generator, axes: tuple[F32, F32, F32]) -> F32:
    """Return body coordinates (3, D, H, W) of a body turned, resized and moved.

    Up to 5 degrees about each axis, 8% in size, 4% more along each axis, 6 mm.
    """
    angles = np.radians(rng.uniform(-5, 5, 3))
    (cr, ca, cs), (sr, sa, ss) = np.cos(angles), np.sin(angles)
    turn = np.array([
        [ca * cs, -ca * ss, sa],
        [cr * ss + sr * sa * cs, cr * cs - sr * sa * ss, -sr * ca],
        [sr * ss - cr * sa * cs, sr * cs + cr * sa * ss, cr * ca],
    ])  # fmt: skip
    turn *= rng.uniform(0.92, 1.08) * rng.uniform(0.96, 1.04, (3, 1))
    t, shift = turn.astype(np.float32), rng.uniform(-6, 6, 3).astype(np.float32)
    x, y, z = axes
    return np.stack([
        (t[i, 0] * x + shift[i])[:, None, None]
        + (t[i, 1] * y)[None, :, None]
        + (t[i, 2] * z)[None, None, :]
        for i in range(3)
    ])  # fmt: skip


def mean_blocks(fine: F32, factor: int) -> F32:
    """Return the mean of each block of factor^3 sub-voxels."""
    d, h, w = (n // factor for n in fine.shape)
    blocks = fine.reshape(d, factor, h, factor, w, factor)
    return np.asarray(blocks.mean((1, 3, 5), dtype=np.float32))


def majority_blocks(fine: Labels, factor: int, labels: int) -> Labels:
    """Return the most frequent label (lowest on ties) of each block of sub-voxels."""
    d, h, w = (n // factor for n in fine.shape)
    blocks = fine.reshape(d, factor, h, factor, w, factor).transpose(0, 2, 4, 1, 3, 5)
    flat = blocks.reshape(d * h * w, factor**3).astype(np.int64)
    flat += labels * np.arange(len(flat))[:, None]
    counts = np.bincount(flat.ravel(), minlength=len(flat) * labels)
    return np.asarray(counts.reshape(d, h, w, labels).argmax(-1), np.uint8)


def correlated_noise(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    *,
    sigma: tuple[float, ...],
    sd: float,
) -> F32:
    """Return Gaussian noise of standard deviation `sd`, smoothed by `sigma` voxels."""
    white = rng.standard_normal(shape, dtype=np.float32)
    smooth = ndimage.gaussian_filter(white, sigma)
    return np.asarray(smooth * np.float32(sd / smooth.std(dtype=np.float64)))
