"""Principal components of tokens, exactly and with memory for their covariance alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Components:
    """The directions in which tokens differ most, float64.

    mean: (C,); directions: (k, C), of length 1, the first the strongest; shares: (k,) of
    all variance, in [0, 1]; count: of tokens.
    """

    mean: Tensor
    directions: Tensor
    shares: Tensor
    count: int

    def __call__(self, tokens: Tensor) -> Tensor:
        """Return the scores (n, k) of tokens (n, C)."""
        return (tokens.double() - self.mean) @ self.directions.T


@torch.no_grad()
def components(parts: Iterable[Tensor], count: int) -> Components:
    """Return the first components of tokens (n_i, C) that come in parts.

    The sign of a component is that which makes its largest entry, by size, positive, so
    that equal tokens have equal colours. Fewer than `count` where C is smaller. Raises
    ValueError without tokens.
    """
    total = 0
    mean = scatter = torch.zeros(())
    for part in parts:  # updated as in Chan, Golub and LeVeque 1979
        x = part.double()
        own = x.mean(dim=0)
        apart = own - mean
        new = total + len(x)
        scatter = scatter + (x - own).T @ (x - own)
        scatter = scatter + torch.outer(apart, apart) * (total * len(x) / new)
        mean, total = mean + apart * (len(x) / new), new
    if not total:
        msg = "there are no tokens"
        raise ValueError(msg)
    values, vectors = torch.linalg.eigh(scatter)
    strongest = values.argsort(descending=True)[:count]
    directions = vectors[:, strongest].T
    largest = directions.abs().argmax(dim=1, keepdim=True)
    directions = directions * directions.gather(1, largest).sign()
    whole = values.sum().clamp(min=1e-300)
    shares = (values[strongest] / whole).clamp(0, 1)
    return Components(mean, directions, shares, total)
