"""Scores of a map over voxels, such as attention, against a mask (METHODS 4.10)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TOP = 0.1  # of the voxels, METHODS 4.10: "top-10 % mass"


def auc_inside(values: NDArray[np.floating], mask: NDArray[np.bool_]) -> float | None:
    """Return how likely a voxel inside has a higher value than one outside, in [0, 1].

    0.5 is chance; ties count half (Mann-Whitney). values, mask: of one shape. None where
    the mask is empty or full.

    >>> auc_inside(np.array([0.1, 0.2, 0.2, 0.9]), np.array([False, False, True, True]))
    0.875
    """
    inside, outside = values[mask], np.sort(values[~mask])
    if not len(inside) or not len(outside):
        return None
    below = np.searchsorted(outside, inside, side="left")
    up_to = np.searchsorted(outside, inside, side="right")
    return float((below + up_to).sum()) / (2 * len(inside) * len(outside))


def top_weights(
    values: NDArray[np.floating], share: float = TOP
) -> NDArray[np.float64]:
    """Return what of each voxel is among the highest `share` of all, in [0, 1].

    The weights sum to share times the number of voxels. Voxels that are equal at the
    edge count in equal parts, so that a constant map has no preference.
    """
    flat = np.asarray(values, dtype=np.float64).ravel()
    room = share * len(flat)
    edge = np.sort(flat)[::-1][min(int(np.ceil(room)), len(flat)) - 1]
    above, level = flat > edge, flat == edge
    weights = above.astype(np.float64)
    weights[level] = (room - above.sum()) / level.sum()
    found: NDArray[np.float64] = weights.reshape(np.shape(values))
    return found


def top_inside(
    values: NDArray[np.floating], mask: NDArray[np.bool_], share: float = TOP
) -> float | None:
    """Return which part of the mass of the highest voxels lies inside, in [0, 1].

    Mass: the sum of values (>= 0) over the highest `share` of the voxels. Of a constant
    map it is the mask's share of the volume. None where the mask is empty or full, or
    there is no mass.
    """
    if not mask.any() or mask.all():
        return None
    mass = top_weights(values, share) * values
    whole = float(mass.sum())
    return float(mass[mask].sum()) / whole if whole > 0 else None
