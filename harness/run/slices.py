"""Slices for figures: three planes of a few cases, small, without pickled objects.

Of a 2-D task the one plane is the image.

For six cases chosen by a hash of the id, so that they are the same for every method,
and for the node's own worst two (DESIGN 7). They are patient data.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHOSEN, WORST = 6, 2
LIMIT_BYTES = 200_000
_LONGEST = 128  # pixels per side before any thinning

Bytes = NDArray[np.uint8]


def shown_cases(ids: Sequence[str]) -> list[str]:
    """Return the six cases with the smallest hashes of their ids (or all, if fewer)."""
    return sorted(ids, key=lambda case_id: sha256(case_id.encode()).digest())[:CHOSEN]


def worst_cases(scores: Mapping[str, float], chosen: Sequence[str]) -> list[str]:
    """Return the two cases with the lowest scores that are not among `chosen`."""
    others = [case_id for case_id in scores if case_id not in set(chosen)]
    return sorted(others, key=lambda case_id: (scores[case_id], case_id))[:WORST]


def planes_of(image: Bytes, truth: Bytes, pred: Bytes) -> list[tuple[Bytes, ...]]:
    """Cut image, truth and prediction (D, H, W) where the truth is largest, per axis.

    Where there is no truth, the middle is cut. Images (rows, columns) are the one plane.
    """
    if image.ndim == 2:
        return [(image, truth, pred)]
    cut = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        areas = (truth > 0).sum(axis=others)
        at = int(areas.argmax()) if areas.any() else image.shape[axis] // 2
        cut.append(tuple(np.take(v, at, axis=axis) for v in (image, truth, pred)))
    return cut


def write_slices(
    path: Path, cases: Mapping[str, list[tuple[Bytes, ...]]], worst: Sequence[str]
) -> None:
    """Write the planes of cases as slices.npz, thinned until it is below 200 kB.

    Arrays: case_ids, is_worst, and {case number}_{plane}_{image|truth|pred}, uint8.
    """
    for step in range(1, _LONGEST):
        stream = io.BytesIO()
        np.savez_compressed(stream, **_arrays(cases, set(worst), step))
        if stream.tell() < LIMIT_BYTES:
            break
    path.write_bytes(stream.getvalue())


def _arrays(
    cases: Mapping[str, list[tuple[Bytes, ...]]], worst: set[str], step: int
) -> dict[str, Any]:
    arrays: dict[str, Any] = {
        "case_ids": np.array(list(cases), dtype=np.str_),
        "is_worst": np.array([case_id in worst for case_id in cases], dtype=np.bool_),
    }
    for number, planes in enumerate(cases.values()):
        for plane, layers in enumerate(planes):
            thin = max(step, -(-max(layers[0].shape) // _LONGEST) + step - 1)
            for name, layer in zip(("image", "truth", "pred"), layers, strict=True):
                arrays[f"{number}_{plane}_{name}"] = layer[::thin, ::thin]
    return arrays
