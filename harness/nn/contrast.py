"""Losses that tell images apart by their codes: contrastive ones and BYOL's.

Codes of two views of the same B images; with several ranks, of this rank's share, and
the other ranks' codes are gathered as further negatives.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from . import collective


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Normalised temperature-scaled cross-entropy (SimCLR eq. 1; METHODS 1.3).

    l_i = -log( exp(s_ip / T) / Σ_{j≠i} exp(s_ij / T) ), s the cosine of two codes, p the
    other view of i; the mean over all 2B codes. first, second: (B, D). Returns (), at
    least 0, about log(2B - 1) for random codes of many dimensions. Raises ValueError for
    a single image, which has nothing to differ from.
    """
    b, first_row = len(first), collective.rank() * len(first)
    own = functional.normalize(torch.cat([first, second]), dim=1)  # (2b, D)
    every = torch.cat(
        [collective.gather(view) for view in (own[:b], own[b:])]
    )  # (2B, D)
    count = len(every) // 2
    if count < 2:
        msg = "a contrast needs at least two images in a batch"
        raise ValueError(msg)
    logits = own @ every.T / temperature
    place = torch.arange(b, device=own.device) + first_row
    itself = torch.cat([place, place + count])
    partner = torch.cat([place + count, place])
    logits = logits.scatter(1, itself[:, None], float("-inf"))
    return functional.cross_entropy(logits, partner)


def info_nce(query: Tensor, key: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of each query against all keys, its own being right (METHODS 1.5).

    l_i = -log( exp(q_i·k_i / T) / Σ_j exp(q_i·k_j / T) ) with codes of length 1, the mean
    over queries. query, key: (B, D). Returns ().
    """
    query = functional.normalize(query, dim=1)
    every = collective.gather(functional.normalize(key, dim=1))
    place = torch.arange(len(query), device=query.device)
    place = place + collective.rank() * len(query)
    return functional.cross_entropy(query @ every.T / temperature, place)


def negative_cosine(prediction: Tensor, target: Tensor) -> Tensor:
    """2 - 2 cos(p, sg z), the mean over the batch (BYOL eq. 2; METHODS 1.6).

    prediction, target: (B, D); no gradient reaches the target. Returns (), in [0, 4].
    """
    cosine = functional.cosine_similarity(prediction, target.detach(), dim=1)
    return (2 - 2 * cosine).mean()


def swapped_ce(logits: Tensor, assignment: Tensor, temperature: float) -> Tensor:
    """-Σ_k q_k log softmax(z·c_k / T), the mean over the batch (SwAV eq. 2).

    logits: (B, K) cosines of codes and prototypes; assignment: (B, K), rows sum to 1,
    without gradient. Returns ().
    """
    log_p = functional.log_softmax(logits / temperature, dim=1)
    return -(assignment.detach() * log_p).sum(dim=1).mean()
