"""SYNTHETIC: which organ of a phantom abdomen (phantom_organs) lies in the middle.

One volume per organ and imaginary patient, cut round the organ's centre with some
jitter. To name the organ an encoder has to know places and shapes, which pooled features
of random weights tell in part: the score has room on both sides. Patients are others than
those of phantom_organs, whose images a method may have been pretrained on.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from harness.schema.cases import CaseRef, Side
from harness.schema.identity import seed_for
from harness.volumes.raw import RawCase
from tasks import phantom_organs

# Raise whenever a voxel of any case changes: it enters the data fingerprint.
VERSION = 1

ORGANS = (
    "liver", "spleen", "kidney_right", "kidney_left", "stomach", "gallbladder",
    "adrenals", "aorta", "vena_cava",
)  # fmt: skip
SIDES = (38, 38, 30)  # voxels of the body's grid: 99 to 114 mm, and 132 to 168
JITTER = 2  # voxels along each axis, at most
AIR = -1024.0


def cases(
    seed: int, *, train: int = 40, val: int = 12, test: int = 40
) -> list[CaseRef]:
    """List one case per patient and organ; train, val and test count patients."""
    stamp = f"phantom_organ_crops v{VERSION} of v{phantom_organs.VERSION} seed {seed}"
    counts: dict[Side, int] = {"train": train, "val": val, "test": test}
    sides = [side for side, count in counts.items() for _ in range(count)]
    return [
        CaseRef(
            f"body_{number:04d}_{organ}", f"body_{number:04d}",
            target=target, side=side, stamp=stamp,
        )
        for number, side in enumerate(sides)
        for target, organ in enumerate(ORGANS)
    ]  # fmt: skip


def make(case: CaseRef, seed: int, **_counts: int) -> RawCase:
    """Cut a case: image (1, 38, 38, 30) in HU, air beyond the body's grid, no label map.

    Equal bytes for equal case id and seed, in any order and process.
    """
    image, label, affine = _body(case.group_id, seed)
    organ = ORGANS.index(case.case_id.removeprefix(f"{case.group_id}_")) + 1
    rng = np.random.default_rng(seed_for(f"{seed}:{case.case_id}", "jitter"))
    middle = np.argwhere(label == organ).mean(axis=0).round().astype(int)
    middle += rng.integers(-JITTER, JITTER, 3, endpoint=True)
    first = middle - np.array(SIDES) // 2
    cut = np.full(SIDES, AIR, np.float32)
    inside = [
        (max(0, -f), min(side, have - f))
        for f, side, have in zip(first, SIDES, image.shape, strict=True)
    ]
    cut[tuple(slice(*span) for span in inside)] = image[
        tuple(slice(f + a, f + b) for f, (a, b) in zip(first, inside, strict=True))
    ]
    moved = affine.copy()
    moved[:3, 3] += affine[:3, :3] @ first
    return RawCase(image=cut[None], label=None, affine=moved)


@lru_cache(maxsize=4)
def _body(
    patient: str, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.float64]]:
    """Paint a patient once for all organs, which are asked for one after the other."""
    whole = phantom_organs.make(CaseRef(patient, patient), seed)
    assert whole.label is not None
    return whole.image[0], whole.label, whole.affine
