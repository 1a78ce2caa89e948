"""Images as rows of patches."""

from __future__ import annotations

from torch import Tensor


def to_patches(x: Tensor, side: int) -> Tensor:
    """Cut (B, C, *sides) into cubes (squares): (B, N, C side^dims), row-major.

    Every side of x is a multiple of `side`.
    """
    b, c, *sides = x.shape
    dims, counts = len(sides), [length // side for length in sides]
    x = x.reshape(b, c, *(n for count in counts for n in (count, side)))
    grid, inner = range(2, 2 + 2 * dims, 2), range(3, 3 + 2 * dims, 2)
    return x.permute(0, *grid, 1, *inner).flatten(1 + dims).flatten(1, dims)


def normalised(patches: Tensor) -> Tensor:
    """Scale each patch (..., V) to mean 0 and variance 1; 1e-6 is added to the variance.

    Patches of background have none (METHODS 1.12).
    """
    mean = patches.mean(dim=-1, keepdim=True)
    return (patches - mean) / (patches.var(dim=-1, keepdim=True) + 1e-6).sqrt()
