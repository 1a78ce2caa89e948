"""Which voxels lie inside a polygon."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def fill(
    polygon: npt.NDArray[np.float64], sides: tuple[int, int]
) -> npt.NDArray[np.bool_]:
    """Return a mask (*sides) of the pixels whose centre lies inside a closed polygon.

    polygon: corners (n, 2) in pixel indices, where a pixel's centre has whole numbers;
    the last corner is joined to the first. Inside is by parity, so a keyhole contour and
    a polygon that crosses itself leave holes. A centre on an edge counts as inside on
    the edge's lower side alone, so that polygons that share an edge share no pixel.
    The error is thus below half a pixel everywhere, and the area is right on average.

    >>> fill(np.array([[0.5, 0.5], [2.5, 0.5], [2.5, 2.5], [0.5, 2.5]]), (4, 4)).sum()
    np.int64(4)
    """
    flips = np.zeros((sides[0] + 1, sides[1]), np.bool_)
    start, stop = polygon, np.roll(polygon, -1, axis=0)
    for (a0, b0), (a1, b1) in zip(start, stop, strict=True):
        if b0 == b1:
            continue  # runs along the first axis, crosses no line of centres
        low, high = (b0, b1) if b0 < b1 else (b1, b0)
        lines = np.arange(
            max(0, int(np.ceil(low))), min(sides[1], int(np.ceil(high)))
        )  # low <= line < high: a corner counts for one of its two edges
        crossing = a0 + (lines - b0) * ((a1 - a0) / (b1 - b0))
        first = np.clip(np.ceil(crossing), 0, sides[0]).astype(np.intp)
        flips[first, lines] ^= True  # all centres from there on
    inside: npt.NDArray[np.bool_] = np.logical_xor.accumulate(flips, axis=0)[:-1]
    return inside
