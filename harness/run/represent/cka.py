"""Centred kernel alignment of layers, from Gram matrices of minibatches (METHODS 4.4).

For n samples with features X (n, p) and Y (n, q), K = XXᵀ and L = YYᵀ with their
diagonals set to 0, the unbiased estimate of the Hilbert-Schmidt independence criterion is

    HSIC(K, L) = [tr(KL) + 1ᵀK1 1ᵀL1 / ((n-1)(n-2)) - 2 1ᵀKL1 / (n-2)] / (n(n-3))

(Song et al. 2012). It is the same as

    HSIC(K, L) = Σ_ij K'_ij L'_ij / (n(n-3))
    K'_ij = K_ij - (K1)_i / (n-2) - (K1)_j / (n-2) + 1ᵀK1 / ((n-1)(n-2)), K'_ii = 0

(Székely and Rizzo 2014, U-centring), which is how it is computed: what all samples share
cancels among numbers of the size of K, not of K², so that features with a large mean
keep their digits. Over minibatches (Nguyen et al. 2021) the HSICs are averaged before
they are divided:

    CKA = mean_b HSIC(K, L) / sqrt(mean_b HSIC(K, K) mean_b HSIC(L, L))

which does not depend on the batch size in expectation. A batch leaves behind n x n
numbers per layer, a pair of layers two sums, whatever the number of samples.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

LEAST = 4  # samples: with fewer the estimate does not exist
# Features in double precision at once: 32 samples of them fit a cache, widths of networks
# leave no rest, and rows that lie no power of two apart do not push each other out of it.
_CHUNK, _APART = 2048, 8
# A layer is constant up to rounding, so that nothing can be aligned with it, where what
# is left of its Gram matrices after centring is this small a share of them. Samples that
# differ by rounding in single precision, 6e-8 of their size, leave less than 1e-14.
_CONSTANT = 1e-12


def gram(features: Tensor) -> Tensor:
    """Return XXᵀ with zero diagonal, (n, n) in double precision.

    features: (n, ...), one row per sample, flattened. Raises ValueError for fewer than
    four samples.
    """
    n = len(features)
    if n < LEAST:
        msg = f"{n} samples are too few for CKA: it takes {LEAST} or more in a batch"
        raise ValueError(msg)
    flat = features.reshape(n, -1)
    total = torch.zeros(n, n, dtype=torch.float64, device=features.device)
    room = total.new_empty(n, min(_CHUNK, flat.shape[1]) + _APART)
    for part in torch.split(flat, _CHUNK, dim=1):
        wide = room[:, : part.shape[1]].copy_(part)
        total.addmm_(wide, wide.T)
    return total.fill_diagonal_(0.0)


def centred(k: Tensor) -> Tensor:
    """Return U-centred Gram matrices. k: (..., n, n), symmetric, with zero diagonals."""
    n = k.shape[-1]
    rows = k.sum(dim=-1)
    whole = rows.sum(dim=-1)[..., None, None] / ((n - 1) * (n - 2))
    rows = rows / (n - 2)
    found = k - rows[..., None] - rows[..., None, :] + whole
    found.diagonal(dim1=-2, dim2=-1).zero_()
    return found


def hsic(k: Tensor, l: Tensor) -> Tensor:  # noqa: E741 - K and L are what they are called
    """Return the unbiased HSIC of every pair. k: (A, n, n); l: (B, n, n), U-centred.

    Returns (A, B).
    """
    n = k.shape[-1]
    return k.flatten(1) @ l.flatten(1).T / (n * (n - 3))


def own_hsic(k: Tensor) -> Tensor:
    """Return the unbiased HSIC of each with itself. k: (A, n, n), U-centred, to (A,)."""
    n = k.shape[-1]
    return k.flatten(1).square().sum(dim=1) / (n * (n - 3))


class CKA:
    """CKA of every layer of one network with every layer of another, batch by batch.

    draws: of the bootstrap over batches, whose weights are Poisson(1) numbers from `rng`,
    so that no batch need be kept. samples, batches: how many have been seen.
    """

    def __init__(
        self, rows: int, columns: int, *, draws: int, rng: torch.Generator
    ) -> None:
        self.samples = 0
        self.batches = 0
        self._rng, self._draws = rng, draws
        sizes = {"xy": (rows, columns), "xx": (rows, 1), "yy": (1, columns)}
        # Row 0 is the sum over batches, the others are the bootstrap's.
        self._sums = {
            name: torch.zeros(draws + 1, *size, dtype=torch.float64)
            for name, size in sizes.items()
        }
        self._scale = {
            "xx": torch.zeros(rows, 1, dtype=torch.float64),
            "yy": torch.zeros(1, columns, dtype=torch.float64),
        }

    def update(self, k: Tensor, l: Tensor) -> None:  # noqa: E741
        """Add a batch. k: (rows, n, n), l: (columns, n, n): gram() of the same samples."""
        if k.shape[-1] != l.shape[-1]:
            msg = (
                f"CKA compares the same samples: one network saw {k.shape[-1]}, the "
                f"other {l.shape[-1]}"
            )
            raise ValueError(msg)
        n, whole = k.shape[-1], (own_hsic(k).cpu(), own_hsic(l).cpu())
        k, l = centred(k), centred(l)  # noqa: E741
        found = {
            "xy": hsic(k, l).cpu(),
            "xx": own_hsic(k).cpu()[:, None],
            "yy": own_hsic(l).cpu()[None],
        }
        weights = torch.ones(self._draws + 1, dtype=torch.float64)
        weights[1:] = torch.poisson(weights[1:], generator=self._rng)
        for name, value in found.items():
            self._sums[name].addcmul_(weights.view(-1, 1, 1), value[None])
        self._scale["xx"] += whole[0][:, None]
        self._scale["yy"] += whole[1][None]
        self.samples += n
        self.batches += 1

    def value(self) -> Tensor:
        """Return CKA (rows, columns); nan where a layer is constant.

        Slightly below 0 is possible, since the estimate is unbiased.
        """
        return self._ratio()[0]

    def interval(self, level: float = 0.95) -> tuple[Tensor, Tensor] | None:
        """Return the percentile interval over batches, or None with a single batch.

        As every bootstrap it is narrow by sqrt((B - 1) / B) for B batches, which
        harness.report.alignment makes up for.
        """
        if self.batches < 2 or self._draws == 0:
            return None
        drawn = self._ratio()[1:]
        tail = (1 - level) / 2
        ends = torch.tensor([tail, 1 - tail], dtype=torch.float64)
        low, high = torch.nanquantile(drawn, ends, dim=0)
        return low, high

    def _ratio(self) -> Tensor:
        if not self.batches:
            msg = "no batch was given to CKA"
            raise ValueError(msg)
        constant = torch.zeros(1, dtype=torch.bool)
        for name, scale in self._scale.items():
            constant = constant | (self._sums[name][0] <= _CONSTANT**2 * scale)
        norm = (self._sums["xx"] * self._sums["yy"]).sqrt()
        ratio = self._sums["xy"] / norm
        ratio[norm == 0] = math.nan  # a draw without batches
        ratio[:, constant] = math.nan
        return ratio
