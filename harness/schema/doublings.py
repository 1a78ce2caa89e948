"""Which plain encoders a convolutional decoder leads down from."""

from __future__ import annotations


def doublings(patch: int) -> int:
    """Return how often a decoder doubles the grid of a plain encoder to reach voxels.

    Raises ValueError for a patch that its four maps do not lead down from (METHODS 2.2).
    """
    fits = (2, 4, 8, 16)
    if patch not in fits:
        near = min(fits, key=lambda each: abs(each - patch))
        msg = (
            f"a convolutional decoder on a vit needs a patch of 2, 4, 8 or 16, not "
            f"{patch}; the nearest is {near}"
        )
        raise ValueError(msg)
    return patch.bit_length() - 1
