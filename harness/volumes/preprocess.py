"""From one raw case to what the cache stores: canonical, resampled, scaled, quantised.

Intensities in [0, 1] are stored as int16 steps of 1/32767, an error of at most 1.53e-5
(float16 would take the same space and err by up to 2.44e-4 just below 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b, sha256

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from ..schema.errors import DataError
from ..schema.task import Percentiles, Preprocess, Window
from .grid import (
    Grid,
    grid_taps,
    label_to_cached,
    plan_grid,
    resample,
    structures_in,
    turn,
)
from .raw import RawCase

STEPS = 32767
QUANTISATION_ERROR = 0.5 / STEPS
# Voxels per structure that crops may be centred on; drawn once per case.
POINTS = 2048


@dataclass(frozen=True)
class Prepared:
    """What the cache stores of one case.

    image: int16 (C, D, H, W); label: uint8 (D, H, W) on the same grid; native: the
    label on the file's grid where resampling changed it, else None;
    points: {structure: int16 (n, 3) voxels of it}. Of an image W is 1.
    contents: of each channel the digest of its voxels, as `content` gives it.
    """

    grid: Grid
    image: npt.NDArray[np.int16]
    label: npt.NDArray[np.uint8] | None
    native: npt.NDArray[np.uint8] | None
    points: dict[int, npt.NDArray[np.int16]]
    contents: tuple[str, ...] = ()


def prepare(raw: RawCase, settings: Preprocess, case_id: str) -> Prepared:
    """Preprocess one checked case. Raises DataError for an image without contrast."""
    raw, settings = _as_volume(raw, settings)
    grid = plan_grid(raw.image.shape[1:], raw.affine, settings.spacing, settings.size)
    along = grid_taps(grid) if grid.resampled else None
    image = np.empty((raw.image.shape[0], *grid.shape), dtype=np.int16)
    contents = []
    for channel, voxels in enumerate(raw.image):
        low, high = intensity_range(voxels, settings.intensity, case_id)
        turned = np.ascontiguousarray(turn(voxels, grid))
        contents.append(content(turned))
        if settings.size is not None:
            turned = _smoothed(turned, grid)
        moved = turned if along is None else resample(turned, along)
        image[channel] = quantise(moved, low, high)
    if raw.label is None:
        return Prepared(grid, image, None, None, {}, tuple(contents))
    label = label_to_cached(raw.label, grid)
    native = raw.label if grid.resampled else None
    points = structure_points(label, case_id)
    return Prepared(grid, image, label, native, points, tuple(contents))


def content(voxels: npt.NDArray[np.float32]) -> str:
    """Return 32 hex digits that tell images apart by their voxels in canonical order.

    Equal for one image in two files of whatever format, compression, number type or
    orientation; resampled or rescaled copies have other digits.
    """
    plain = np.ascontiguousarray(voxels, dtype=np.float32) + np.float32(0)  # -0 is 0
    digest = blake2b(str(plain.shape).encode(), digest_size=16)
    digest.update(plain.data)
    return digest.hexdigest()


def _as_volume(raw: RawCase, settings: Preprocess) -> tuple[RawCase, Preprocess]:
    """Return an image as a volume of one layer, whose axes are rows, columns, one."""
    if raw.image.ndim == 4:
        return raw, settings
    mm = np.linalg.norm(raw.affine[:3, :2], axis=0)
    label = None if raw.label is None else raw.label[..., None]
    flat = RawCase(raw.image[..., None], label, np.diag([*mm, 1.0, 1.0]))
    spacing = None if settings.spacing is None else (*settings.spacing, 1.0)
    size = None if settings.size is None else (*settings.size, 1)
    return flat, settings.model_copy(update={"spacing": spacing, "size": size})


def _smoothed(voxels: npt.NDArray[np.float32], grid: Grid) -> npt.NDArray[np.float32]:
    """Blur what a resize shrinks, so that it does not alias.

    Sizes are set for photographs, which shrink tenfold. The sd along an axis is half of
    what the factor exceeds 1 by, in voxels (chosen here, as scikit-image's resize).
    """
    factors = np.divide(grid.turned_shape, grid.shape)
    sd = np.maximum(0, (factors - 1) / 2)
    return gaussian_filter(voxels, sd, mode="nearest") if sd.any() else voxels


def intensity_range(
    voxels: npt.NDArray[np.float32], rule: Window | Percentiles, case_id: str
) -> tuple[float, float]:
    """Return the raw values that become 0 and 1. Percentiles are of the native voxels.

    Where the two percentiles are equal, as in images that are mostly empty, the
    smallest and largest value are taken. Raises DataError for an image of one value.
    """
    if isinstance(rule, Window):
        return rule.low, rule.high
    low, high = (float(v) for v in np.percentile(voxels, (rule.low, rule.high)))
    if not low < high:
        low, high = float(voxels.min()), float(voxels.max())
    if not low < high:
        msg = f"case {case_id!r}: every voxel is {low:g}, so intensity cannot be scaled"
        raise DataError(msg)
    return low, high


def quantise(
    voxels: npt.NDArray[np.float32], low: float, high: float
) -> npt.NDArray[np.int16]:
    """Map [low, high] to steps 0..32767, clipped."""
    scaled = (voxels - np.float32(low)) * np.float32(STEPS / (high - low))
    steps: npt.NDArray[np.float32] = np.rint(np.clip(scaled, 0, STEPS))
    return steps.astype(np.int16)


def to_unit(stored: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]:
    """Map stored steps to float32 in [0, 1]."""
    unit = stored.astype(np.float32)
    unit /= np.float32(STEPS)  # in place: of a large volume there is no room for two
    return unit


def structure_points(
    label: npt.NDArray[np.uint8], case_id: str
) -> dict[int, npt.NDArray[np.int16]]:
    """Return up to 2048 random voxels of each structure present, always the same."""
    found = {}
    for value in structures_in(label):
        flat = np.flatnonzero(label == value)
        if flat.size > POINTS:
            seed = int.from_bytes(sha256(f"{case_id}:{value}".encode()).digest()[:8])
            rng = np.random.default_rng(seed)
            flat = np.sort(rng.choice(flat, POINTS, replace=False, shuffle=False))
        places = np.stack(np.unravel_index(flat, label.shape), axis=1)
        found[value] = places.astype(np.int16)
    return found
