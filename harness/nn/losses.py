"""Losses that several methods share: pure functions, and the running centre."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from . import collective


def full_precision(x: Tensor) -> Tensor:
    """Return x in 32 bits where autocast left it in 16, whose sums lose digits."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def masked_l1(x_hat: Tensor, x: Tensor, hidden: Tensor) -> Tensor:
    """Σ m |x - x̂| / (C Σ m): absolute error over hidden voxels only (METHODS 1.13).

    x_hat, x: (B, C, D, H, W); hidden: bool or 0/1 (B, 1, D, H, W), 1 = hidden. Returns
    (), 0 where nothing is hidden.
    """
    x_hat = full_precision(x_hat)
    weight = hidden.to(x_hat.dtype)
    total = ((x_hat - x).abs() * weight).sum()
    return total / mean_count(weight.sum() * x.shape[1])


def distillation_ce(
    student_logits: Tensor,
    teacher_logits: Tensor,
    center: Tensor,
    t_s: float,
    t_t: float,
    weight: Tensor | None = None,
) -> Tensor:
    """Cross-entropy of the student's prototypes under the teacher's (METHODS 0).

    P_s = softmax(z_s / t_s), P_t = softmax((z_t - c) / t_t) without gradient, H = -Σ_k
    P_t,k log P_s,k, averaged over all positions, or over those that `weight` counts
    (divided by max(1, Σ weight), so no hidden position gives 0).

    student_logits, teacher_logits: (..., K); center: (K,); weight: (...). Returns ().
    """
    z_t = full_precision(teacher_logits.detach())
    p_t = torch.softmax((z_t - center) / t_t, dim=-1)
    return soft_ce(student_logits, p_t, t_s, weight)


def soft_ce(
    student_logits: Tensor, p_t: Tensor, t_s: float, weight: Tensor | None = None
) -> Tensor:
    """Cross-entropy -Σ_k p_t,k log softmax(z_s / t_s)_k, averaged (see above).

    student_logits, p_t: (..., K), p_t without gradient; weight: (...). Returns ().
    """
    log_s = torch.log_softmax(full_precision(student_logits) / t_s, dim=-1)
    entropy = -(p_t * log_s).sum(dim=-1)  # (...)
    if weight is None:
        return entropy.mean()
    weight = weight.to(entropy.dtype)
    return (entropy * weight).sum() / mean_count(weight.sum())


def mean_count(count: Tensor) -> Tensor:
    """Return the mean over ranks of what is averaged over, at least 1 in all.

    Ranks may count differently. Each divides its sum by this one number, so that the
    mean of their losses is the average over the whole batch.
    """
    total = collective.sum_over_ranks(count).clamp(min=1)
    return total / collective.world_size()


class Center(nn.Module):
    """Running mean c of the teacher's logits: c ← m c + (1 - m) batch mean (METHODS 0).

    Use `value` in the loss first, then `update` with the same batch, as DINO does.
    """

    value: Tensor

    def __init__(self, prototypes: int, *, momentum: float = 0.9) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("value", torch.zeros(prototypes))

    @torch.no_grad()
    def update(self, teacher_logits: Tensor) -> None:
        """Move towards the mean over all positions of (..., K)."""
        self.value.lerp_(batch_mean(teacher_logits), 1 - self.momentum)


def batch_mean(logits: Tensor) -> Tensor:
    """Mean of (..., K) over everything but K, and over all ranks. Returns (K,).

    Centres that differed between ranks would let their teachers drift apart.
    """
    rows = full_precision(logits.detach()).reshape(-1, logits.shape[-1])
    return collective.mean_over_ranks(rows.sum(dim=0) / len(rows))
