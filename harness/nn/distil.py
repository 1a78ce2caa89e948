"""What a teacher's prototype logits become, and losses over many views and tokens."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from . import collective
from .losses import full_precision

# How collapse is kept away: a running centre is subtracted, the batch is assigned to
# prototypes evenly, or nothing is done (a control that collapses).
Balance = Literal["centre", "sinkhorn", "none"]


class PrototypeTargets(nn.Module):
    """Teacher logits (..., K) to probabilities, balanced over prototypes (METHODS 0).

    centre: softmax((z - c) / τ) with c ← m c + (1 - m) mean(z) over all rows and ranks,
    moved by `update` after the step, so that a step's own logits do not enter its
    targets. sinkhorn: see `sinkhorn_knopp`. none: softmax(z / τ).
    """

    center: Tensor

    def __init__(
        self, prototypes: int, *, balance: Balance = "centre", momentum: float = 0.9
    ) -> None:
        super().__init__()
        self.balance, self.momentum = balance, momentum
        self.register_buffer("center", torch.zeros(prototypes))
        self._seen: list[tuple[Tensor, int]] = []  # (sum, rows) since the last update

    @torch.no_grad()
    def forward(self, logits: Tensor, temperature: float) -> Tensor:
        """Return targets (..., K), without gradient; remember the logits' mean."""
        rows = full_precision(logits.detach().flatten(0, -2))
        self._seen.append((rows.sum(dim=0), len(rows)))
        if self.balance == "sinkhorn":
            return sinkhorn_knopp(rows, temperature).view(logits.shape)
        shift = self.center if self.balance == "centre" else 0.0
        return torch.softmax((rows - shift) / temperature, dim=-1).view(logits.shape)

    @torch.no_grad()
    def update(self) -> None:
        """Move the centre by what was seen since the last time."""
        if not self._seen:
            return
        total = torch.stack([rows for rows, _ in self._seen]).sum(dim=0)
        count = total.new_tensor(float(sum(n for _, n in self._seen)))
        self._seen.clear()
        total, count = (collective.sum_over_ranks(x) for x in (total, count))
        if count > 0:
            mean = (total / count).to(self.center.dtype)
            self.center.lerp_(mean, 1 - self.momentum)


@torch.no_grad()
def sinkhorn_knopp(
    logits: Tensor, temperature: float, *, iterations: int = 3
) -> Tensor:
    """Assign rows to prototypes evenly: each gets 1 / K of the batch (METHODS 0).

    Q = exp(z / τ)ᵀ scaled to sum 1, then in turn rows (prototypes) to sum 1/K and columns
    (samples) to 1/B, `iterations` times, over the batch of all ranks; times B.
    logits: (B, K), B may differ between ranks. Returns (B, K) whose rows sum to 1.
    """
    z = full_precision(logits) / temperature
    top = z.amax() if z.numel() else z.new_zeros(())
    # (a common factor leaves Q as it is; without it exp overflows)
    q = torch.exp(z - collective.gather(top.view(1)).max())
    samples = collective.sum_over_ranks(q.new_tensor(float(len(q))))
    q = q / collective.sum_over_ranks(q.sum())
    for _ in range(iterations):
        q = q / collective.sum_over_ranks(q.sum(dim=0)).clamp(min=1e-30) / q.shape[1]
        q = q / q.sum(dim=1, keepdim=True).clamp(min=1e-30) / samples
    return q * samples


def cross_view_ce(student_logits: Tensor, p_t: Tensor, t_s: float) -> Tensor:
    """Cross-entropy between different views, mean over pairs and batch (METHODS 1.14).

    1 / n_pairs Σ_t Σ_{s≠t} H(p_t, softmax(z_s / t_s)). student_logits: (S, B, K), the
    first T views those of the teacher; p_t: (T, B, K), without gradient. Returns ().
    """
    log_s = torch.log_softmax(full_precision(student_logits) / t_s, dim=-1)
    pairs = -torch.einsum("tbk,sbk->ts", p_t.to(log_s.dtype), log_s) / log_s.shape[1]
    views = len(p_t)
    same = torch.eye(views, len(student_logits), dtype=torch.bool, device=pairs.device)
    return pairs.masked_fill(same, 0).sum() / (pairs.numel() - views)


def hidden_token_ce(
    student_logits: Tensor, p_t: Tensor, t_s: float, hidden: Tensor
) -> Tensor:
    """Cross-entropy at hidden tokens: mean per sample, then over samples.

    iBOT's and 3DINO's patch loss (METHODS 1.15, 1.20): a sample without hidden tokens
    adds 0 and counts. student_logits, p_t: (M, K), the M hidden tokens in the order of
    hidden.nonzero(); hidden: bool (B, N). Returns ().
    """
    log_s = torch.log_softmax(full_precision(student_logits) / t_s, dim=-1)
    entropy = -(p_t * log_s).sum(dim=-1)  # (M,)
    per_sample = hidden.sum(dim=1, keepdim=True).clamp(min=1)
    weight = (hidden / per_sample)[hidden]
    return (entropy * weight).sum() / len(hidden)


def koleo(x: Tensor) -> Tensor:
    """Keep the vectors of a batch apart: -mean log(‖x_i - x_nn(i)‖ + 1e-8).

    METHODS 0: in single precision, over vectors scaled to length 1, nn the nearest other
    one by dot product, of all ranks: results do not hang on how many share a batch.
    x: (B, D), this rank's; at least 2 in all. Returns ().
    """
    if len(x) * collective.world_size() < 2:
        msg = "KoLeo needs two vectors or more: raise the batch"
        raise ValueError(msg)
    x = functional.normalize(x.float(), dim=-1)
    every = collective.gather(x)
    with torch.no_grad():
        own = torch.arange(len(x), device=x.device)
        dots = x @ every.T
        dots[own, own + collective.rank() * len(x)] = -torch.inf
        nearest = dots.argmax(dim=1)
    gaps = (x - every[nearest]).norm(dim=1)
    loss: Tensor = -(gaps + 1e-8).log().mean()
    return loss
