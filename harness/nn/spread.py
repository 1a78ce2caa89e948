"""How much a batch of representations varies: what collapse takes away (METHODS 1.27)."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


@torch.no_grad()
def embedding_spread(x: Tensor) -> float:
    """√D times the standard deviation over the batch of vectors of length 1.

    The root of the mean variance of a coordinate: about 1 for directions that fill the
    space, 0 where all are one, or where one is not finite. x: (B, D), B at least 2.
    Returns a value in [0, 1].
    """
    if not x.isfinite().all():
        return 0.0
    z = functional.normalize(x.float(), dim=1)
    return math.sqrt(float(z.var(dim=0, unbiased=False).sum()))


@torch.no_grad()
def effective_rank(x: Tensor) -> float:
    """exp(entropy of the singular values), after the mean is taken off (Roy, Vetterli).

    x: (B, D). Returns a value from 1 (all on one line; 0 if all are equal or one is not
    finite: a training that diverges is told by its loss) to B - 1.
    """
    if not x.isfinite().all():
        return 0.0
    values = torch.linalg.svdvals((x - x.mean(dim=0)).double())
    total = values.sum()
    if total <= 1e-12:
        return 0.0
    p = values / total
    return float(torch.exp(torch.special.entr(p).sum()))


@torch.no_grad()
def rankme(x: Tensor) -> float:
    """exp(entropy of the singular values), the mean left in (RankMe, Garrido 2023, eq. 1).

    Shares are increased by 1e-7, as there. x: (B, D), finite. Returns a value from 1 (all
    on one line through 0) to min(B, D).
    """
    values = torch.linalg.svdvals(x.double())
    p = values / values.sum().clamp(min=1e-12) + 1e-7
    return float(torch.exp(-(p * p.log()).sum()))


@torch.no_grad()
def spectrum_slope(x: Tensor) -> float | None:
    """Return the decay a of the covariance's eigenvalues, j-th one ~ j^-a (a-ReQ).

    Agrawal et al. 2022 take vectors with a near 1 for the best ones. A straight line of
    least squares over log j, through the larger half of the eigenvalues that the batch
    can have: the smaller ones fall off by sampling alone (the half is chosen here). None
    for fewer than three such eigenvalues above 1e-10 of the largest. x: (B, D), finite.
    """
    x = x.double()
    values = torch.linalg.svdvals(x - x.mean(dim=0)).square()
    values = values[: max(3, min(len(x) - 1, x.shape[1]) // 2)]
    values = values[values > 1e-10 * values[:1].clamp(min=1e-12)]
    if len(values) < 3:
        return None
    ranks = torch.arange(1, len(values) + 1, dtype=torch.float64, device=x.device).log()
    away = ranks - ranks.mean()
    return -float((away * values.log()).sum() / away.square().sum())


@torch.no_grad()
def uniformity(x: Tensor) -> float:
    """Return log of the mean of exp(-2 |z - z'|^2) over pairs of unit vectors.

    Wang and Isola 2020, t = 2. x: (B, D), B at least 2, finite. Returns a value from -8
    (all pairs opposite) to 0 (all equal); lower is more uniform.
    """
    z = functional.normalize(x.double(), dim=1)
    apart = torch.pdist(z).square()
    return float(apart.mul(-2).exp().mean().log())


@torch.no_grad()
def prototype_use(p: Tensor) -> dict[str, float]:
    """Tell of collapse what a batch of prototype probabilities (..., K) can.

    entropy: of each row, mean, as a share of ln K (1: uniform, 0: one prototype).
    used: share of the prototypes that are the first choice of a row, of those that could
    be (no more than there are rows). information: entropy of the mean minus mean of the
    entropies, nats, what a row tells of its image: 0 where all rows are equal, in both
    kinds of collapse.
    """
    rows = p.detach().flatten(0, -2).float()
    each = torch.special.entr(rows).sum(dim=1).mean()
    overall = torch.special.entr(rows.mean(dim=0)).sum()
    k = rows.shape[1]
    chosen = len(set(rows.argmax(dim=1).tolist()))
    return {
        "entropy": float(each) / math.log(k),
        "used": chosen / min(k, len(rows)),
        "information": max(0.0, float(overall - each)),
    }
