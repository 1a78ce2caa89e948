"""From a file's voxel grid to the cached one and back.

Cached axes are canonical: index 0 rises to the patient's right, 1 to anterior, 2 to
superior (RAS, the nearest axis for oblique scans). An image is a grid with a third axis
of one voxel; its rows and columns stay as they are. Resampling is linear and separable;
both grids share the centre of the volume, and outside of it the border value holds.
Label maps are resampled by linear interpolation of each class's mask and the largest
share wins, which follows surfaces between voxels; a tie goes to the nearest voxel's
class. No low-pass filter is applied before down-sampling.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Shape = tuple[int, int, int]
Spacing = tuple[float, float, float]

# Spacings closer than this share are one: headers say 0.9999999 for 1.
SAME_SPACING = 1e-3
# Added to the share of the nearest voxel's class, so that it wins ties.
TIE = np.float32(1e-4)
_FEW = 32  # structures that are looked for one by one


class Taps(NamedTuple):
    """Linear interpolation along an axis: (1 - weight) * x[low] + weight * x[high]."""

    low: npt.NDArray[np.intp]
    high: npt.NDArray[np.intp]
    weight: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Grid:
    """A native grid and the canonical one that stands for it in the cache.

    native_*: in the file's axis order. axes[j] is the file's axis that canonical axis j
    comes from, reversed where flips[j]. spacing: mm along R, A, S of the cached grid.
    """

    native_shape: Shape
    native_spacing: Spacing
    axes: Shape
    flips: tuple[bool, bool, bool]
    shape: Shape
    spacing: Spacing

    @property
    def turned_shape(self) -> Shape:
        """The native shape in canonical axis order."""
        a, b, c = (self.native_shape[axis] for axis in self.axes)
        return a, b, c

    @property
    def turned_spacing(self) -> Spacing:
        """The native spacing in canonical axis order, mm."""
        a, b, c = (self.native_spacing[axis] for axis in self.axes)
        return a, b, c

    @property
    def resampled(self) -> bool:
        """Whether cached and native grid differ in more than the order of axes."""
        return self.shape != self.turned_shape or self.spacing != self.turned_spacing


def plan_grid(
    shape: Sequence[int],
    affine: npt.NDArray[np.float64],
    spacing: Sequence[float] | None,
    size: Sequence[int] | None = None,
) -> Grid:
    """Return the grid for a file's shape (D, H, W) and affine.

    spacing: mm along R, A, S of the cached grid; None keeps the file's own. size: voxels
    of the cached grid, which then spans what the file's grid spans.
    """
    orientation = nib.orientations.io_orientation(affine)
    axes = [0, 0, 0]
    flips = [False, False, False]
    for axis, (canonical, direction) in enumerate(orientation):
        axes[int(canonical)] = axis
        flips[int(canonical)] = bool(direction < 0)
    own = [float(mm) for mm in np.linalg.norm(affine[:3, :3], axis=0)]
    new_shape, new_spacing = [], []
    for j, axis in enumerate(axes):
        count, mm = int(shape[axis]), own[axis]
        if spacing is not None and abs(spacing[j] / mm - 1) > SAME_SPACING:
            count, mm = max(1, round(count * mm / spacing[j])), spacing[j]
        if size is not None:
            count, mm = size[j], mm * count / size[j]
        new_shape.append(count)
        new_spacing.append(mm)
    return Grid(
        native_shape=_three(int(n) for n in shape),
        native_spacing=_three(own),
        axes=_three(axes),
        flips=_three(flips),
        shape=_three(new_shape),
        spacing=_three(new_spacing),
    )


def _three(values: Iterable[Any]) -> tuple[Any, Any, Any]:
    a, b, c = values
    return a, b, c


def turn(array: Array, grid: Grid) -> Array:
    """Bring the last three axes from the file's order to canonical RAS. A view."""
    lead = array.ndim - 3
    array = array.transpose(*range(lead), *(lead + axis for axis in grid.axes))
    return np.flip(array, tuple(lead + j for j in range(3) if grid.flips[j]))


def turn_back(array: Array, grid: Grid) -> Array:
    """Bring the last three axes from canonical RAS to the file's order. A view."""
    lead = array.ndim - 3
    array = np.flip(array, tuple(lead + j for j in range(3) if grid.flips[j]))
    back = np.argsort(grid.axes)
    return array.transpose(*range(lead), *(lead + int(axis) for axis in back))


def taps(count: int, new_count: int, ratio: float) -> Taps:
    """Return the taps from `count` voxels to `new_count`, centres aligned.

    ratio: new spacing / old spacing.
    """
    place = (np.arange(new_count) + 0.5 - new_count / 2) * ratio + count / 2 - 0.5
    place = np.clip(place, 0, count - 1)
    low = np.minimum(np.floor(place).astype(np.intp), max(count - 2, 0))
    high = np.minimum(low + 1, count - 1)
    return Taps(low, high, (place - low).astype(np.float32))


def grid_taps(grid: Grid, *, back: bool = False) -> tuple[Taps, Taps, Taps]:
    """Return the taps of the three axes: native (turned) to cached, or back."""
    one = (grid.turned_shape, grid.turned_spacing)
    two = (grid.shape, grid.spacing)
    (shape, mm), (new_shape, new_mm) = (two, one) if back else (one, two)
    return _three(taps(shape[j], new_shape[j], new_mm[j] / mm[j]) for j in range(3))


def resample(array: Array, along: tuple[Taps, Taps, Taps]) -> npt.NDArray[np.float32]:
    """Interpolate a 3-D array linearly. Returns float32.

    Files store their first axis fastest, and turning makes views that run backwards:
    the work is done in the order of memory, which copies nothing and reads in sequence.
    """
    order = sorted(range(3), key=lambda j: -abs(array.strides[j]))
    ordered = array.transpose(order)
    backwards = tuple(j for j in range(3) if ordered.strides[j] < 0)
    out = np.ascontiguousarray(np.flip(ordered, backwards), dtype=np.float32)
    steps = [along[j] for j in order]
    for j in backwards:
        last = array.shape[order[j]] - 1
        steps[j] = Taps(last - steps[j].low, last - steps[j].high, steps[j].weight)
    # The axis that shrinks most goes first: the later ones then have less to do. Among
    # equals the order is the array's own, whatever the memory's: so are the last bits.
    shrinks = [len(step.low) / n for step, n in zip(steps, ordered.shape, strict=True)]
    for j in sorted(range(3), key=lambda j: (shrinks[j], order[j])):
        out = _along(out, j, steps[j], moved=j in backwards)
    return out.transpose(np.argsort(order))


def _along(
    array: npt.NDArray[np.float32], axis: int, step: Taps, *, moved: bool
) -> npt.NDArray[np.float32]:
    """Interpolate along one axis of a C-contiguous array. moved: taps run backwards."""
    low, high, weight = step
    rising = low[:-1] > low[1:] if moved else low[:-1] < low[1:]
    if len(low) == array.shape[axis] and not weight.any() and rising.all():
        return np.ascontiguousarray(np.flip(array, axis)) if moved else array
    shape = [1, 1, 1]
    shape[axis] = len(weight)
    first = np.take(array, low, axis=axis)
    second = np.take(array, high, axis=axis)
    second -= first
    second *= weight.reshape(shape)
    first += second
    return first


def resample_label(
    label: npt.NDArray[np.uint8], along: tuple[Taps, Taps, Taps]
) -> npt.NDArray[np.uint8]:
    """Resample a label map: the class with the largest interpolated share wins."""
    label = np.ascontiguousarray(label)
    nearest = label[
        np.ix_(*(t.low + (t.weight >= 0.5) * (t.high - t.low) for t in along))
    ]
    best = np.zeros(nearest.shape, dtype=np.float32)
    background = np.ones(nearest.shape, dtype=np.float32)
    out = np.zeros(nearest.shape, dtype=np.uint8)
    for value in structures_in(label):
        mask = label == value
        box = _box(mask)
        reach = [_reached(along[j], box[j]) for j in range(3)]
        if any(there.start == there.stop for there in reach):
            continue
        inside = tuple(reach)
        share = resample(
            np.pad(mask[tuple(slice(*pair) for pair in box)], 1),
            _three(_shifted(along[j], box[j], reach[j]) for j in range(3)),
        )
        background[inside] -= share
        share += TIE * (nearest[inside] == value)
        won = share > best[inside]
        out[inside][won] = value
        np.maximum(best[inside], share, out=best[inside])
    background += TIE * (nearest == 0)
    out[background >= best] = 0
    return out


def structures_in(label: npt.NDArray[np.uint8]) -> list[int]:
    """Return the values of a label map in rising order, without background."""
    # Comparing runs at the speed of memory; np.unique hashes every voxel.
    highest = int(label.max(initial=0))
    if highest > _FEW:
        return [int(value) for value in np.unique(label) if value]
    return [value for value in range(1, highest + 1) if (label == value).any()]


def _box(mask: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return [start, stop) of the true voxels along each axis; there must be one."""
    found = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        where = np.flatnonzero(mask.any(axis=others))
        found.append((int(where[0]), int(where[-1]) + 1))
    return found


def _reached(tap: Taps, box: tuple[int, int]) -> slice:
    """Return the new voxels whose interpolation touches old voxels [start, stop)."""
    where = np.flatnonzero((tap.high >= box[0]) & (tap.low < box[1]))
    return slice(int(where[0]), int(where[-1]) + 1) if where.size else slice(0, 0)


def _shifted(tap: Taps, box: tuple[int, int], there: slice) -> Taps:
    """Return the taps of new voxels `there` into a box padded by one zero voxel."""
    last = box[1] - box[0] + 1
    low = np.clip(tap.low[there] - box[0] + 1, 0, last)
    high = np.clip(tap.high[there] - box[0] + 1, 0, last)
    return Taps(low, high, tap.weight[there])


def label_to_cached(label: npt.NDArray[np.uint8], grid: Grid) -> npt.NDArray[np.uint8]:
    """Bring a label map from the file's grid to the cached one."""
    turned = turn(label, grid)
    moved = resample_label(turned, grid_taps(grid)) if grid.resampled else turned
    return np.ascontiguousarray(moved)


def to_native(array: Array, grid: Grid) -> npt.NDArray[np.uint8]:
    """Bring a prediction on the cached grid to the file's grid, as a label map.

    array: label map (D, H, W) of integers, or class scores (K, D, H, W) of floats,
    which are interpolated before the largest is taken (of equal ones the lower class).
    """
    if array.shape[-3:] != grid.shape or array.ndim not in (3, 4):
        msg = f"a prediction of shape {array.shape} does not fit the grid {grid.shape}"
        raise ValueError(msg)
    along = grid_taps(grid, back=True) if grid.resampled else None
    if array.ndim == 3:
        label = array.astype(np.uint8, copy=False)
        out = label if along is None else resample_label(label, along)
    else:
        best = (array[0] if along is None else resample(array[0], along)).copy()
        out = np.zeros(best.shape, dtype=np.uint8)
        for value in range(1, array.shape[0]):
            score = array[value] if along is None else resample(array[value], along)
            out[score > best] = value
            np.maximum(best, score, out=best)
    return np.ascontiguousarray(turn_back(out, grid))
