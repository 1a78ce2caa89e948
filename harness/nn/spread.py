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
