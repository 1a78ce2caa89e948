"""Which cases a made-up dataset has, and their voxels."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import numpy.typing as npt

from ...schema.cases import CaseRef, Side
from ...schema.splits import HashSplit
from ...schema.task import TaskSpec, Window
from ..sides import side_of

_MOST = 5000  # ids that are tried before a hash is thought never to fill a side
_SHAPE = {2: (44, 40), 3: (38, 40, 52)}  # 52 slices: above every corpus' least number
_NOISE = 0.05


@dataclass(frozen=True)
class Counts:
    """How many cases each side has."""

    train: int
    val: int
    test: int

    @classmethod
    def of(cls, spec: TaskSpec, folds: int) -> Counts:
        """Return few, but enough for every class and every fold."""
        classes = spec.classes if spec.target is not None else 1
        train = max(6, 3 * classes, 3 * folds if folds > 1 else 0)
        # Four: the fewest that an analysis takes.
        return cls(train, max(2, classes), max(4, classes))

    def __getitem__(self, side: Side) -> int:
        found: int = getattr(self, side)
        return found


@dataclass(frozen=True)
class Case:
    """A made-up case: its id, which is its patient's too, side and class."""

    id: str
    side: Side
    target: int | None


@dataclass(frozen=True)
class Voxels:
    """image: float32 (C, *shape); label: uint8 (*shape) or None; spacing in mm."""

    image: npt.NDArray[np.float32]
    label: npt.NDArray[np.uint8] | None
    spacing: tuple[float, ...]


def choose(name: str, spec: TaskSpec, counts: Counts) -> list[Case]:
    """Return cases that fill the sides; where a hash decides, ids that it puts there."""
    left: dict[Side, int] = {side: counts[side] for side in ("train", "val", "test")}
    found: list[Case] = []
    for number in range(_MOST):
        if not any(left.values()):
            break
        case_id = f"made_{number:04d}"
        if isinstance(spec.split, HashSplit):
            side = side_of(name, spec, CaseRef(case_id, case_id))
        else:
            side = next(one for one in ("train", "val", "test") if left[one])
        if not left[side]:
            continue
        left[side] -= 1
        target = None
        if spec.target is not None:
            target = (counts[side] - left[side] - 1) % len(spec.target.classes)
        found.append(Case(case_id, side, target))
    return found


def draw(name: str, spec: TaskSpec, case: Case) -> Voxels:
    """Paint a case: a box for each structure, or a box as bright as its class is high."""
    seed = int.from_bytes(sha256(f"{name} {case.id}".encode()).digest()[:8])
    rng = np.random.default_rng(seed)
    shape = _SHAPE[spec.dims]
    low, high = _range(spec)
    unit = rng.normal(0.2, _NOISE, (len(spec.channels), *shape))
    label = None
    if spec.kind == "segmentation":
        label = np.zeros(shape, np.uint8)
        count = len(spec.structures)
        for value in range(1, count + 1):
            box = _box(rng, shape)
            label[box] = value
        for value in range(1, count + 1):
            unit[:, label == value] += 0.6 * value / count
    elif case.target is not None and spec.target is not None:
        box = _box(rng, shape, 12)
        unit[(slice(None), *box)] += 0.6 * (case.target + 1) / len(spec.target.classes)
    image = low + np.clip(unit, 0, 1) * (high - low)
    spacing = spec.preprocess.spacing or (1.0,) * spec.dims
    return Voxels(image.astype(np.float32), label, tuple(map(float, spacing)))


def _range(spec: TaskSpec) -> tuple[float, float]:
    intensity: Any = spec.preprocess.intensity
    if isinstance(intensity, Window):
        return intensity.low, intensity.high
    return 0.0, 1000.0


def _box(
    rng: np.random.Generator, shape: tuple[int, ...], side: int = 9
) -> tuple[slice, ...]:
    starts = (int(rng.integers(2, length - side - 2)) for length in shape)
    return tuple(slice(start, start + side) for start in starts)
