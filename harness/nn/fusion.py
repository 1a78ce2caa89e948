"""Dynamic Visual Meta-Embedding: several encoders' image vectors become one (DVME).

Each vector is projected to one width, the projections stand side by side, attention runs
between them and a small head classifies (METHODS 1.21; Truong et al. 2021, listing 1).
The published listing lets attention run between the single numbers of the projections
('scalar' tokens), the paper's text between the projections ('component' tokens): METHODS
6 #25.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Tokens = Literal["scalar", "component"]

_SMALLEST_STD = 1e-6  # a feature that never varies stays at 0
_ALIGNED = 8  # numbers per token that fused attention kernels of GPUs take


class Standardise(nn.Module):
    """(x - mean) / deviation, by the features of the training cases; at first x itself."""

    mean: Tensor
    std: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("std", torch.ones(width))

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """x: (n, width), the features of the training cases."""
        x = x.to(self.mean.device)
        self.mean.copy_(x.mean(dim=0))
        self.std.copy_(x.std(dim=0, correction=0).clamp(min=_SMALLEST_STD))

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, width). Returns the same shape."""
        return (x - self.mean) / self.std


class Fusion(nn.Module):
    """From the image vectors of M encoders to a logit per class.

    widths: of the vectors. tokens: what attention runs between, `none` for the arm
    without attention, whose projections go straight to the classifier. heads: of
    attention between components (chosen here, METHODS 6 #25; scalars have one). Weights
    come from `rng` alone, uniform within 1 / √inputs as torch's own: with the small ones
    used elsewhere dim-1 attention lets nothing through (docs/log.md).
    """

    def __init__(
        self,
        widths: Sequence[int],
        classes: int,
        rng: torch.Generator,
        *,
        tokens: Tokens | None = "scalar",
        width: int = 512,
        heads: int = 8,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.tokens, self.width, self.dropout = tokens, width, dropout
        self.standardise = nn.ModuleList(Standardise(each) for each in widths)
        self.project = nn.ModuleList(nn.Linear(each, width) for each in widths)
        total = width * len(widths)
        self.attention: FeatureAttention | None = None
        if tokens is None:
            self.classify = nn.Linear(total, classes)
        else:
            one = tokens == "scalar"
            self.attention = FeatureAttention(1 if one else width, 1 if one else heads)
            self.norm = nn.LayerNorm(total)
            self.reduce = nn.Linear(total, width)
            self.classify = nn.Linear(width, classes)
        self.drops = torch.Generator()
        self._reset(rng)

    @torch.no_grad()
    def _reset(self, rng: torch.Generator) -> None:
        if self.classify.weight.is_meta:
            return
        for part in self.modules():
            if isinstance(part, nn.Linear):
                bound = part.in_features**-0.5
                part.weight.uniform_(-bound, bound, generator=rng)
                if part.bias is not None:
                    part.bias.uniform_(-bound, bound, generator=rng)
        seed = torch.randint(2**62, (), generator=rng, device=rng.device)
        self.drops.manual_seed(int(seed))

    def forward(self, vectors: Sequence[Tensor]) -> Tensor:
        """vectors: (B, widths[m]) of every encoder m. Returns logits (B, classes)."""
        y = self.joined(vectors)
        if self.attention is None:
            logits: Tensor = self.classify(y)
            return logits
        y = self.norm(self.attention(self._split(y)).flatten(1))
        y = functional.relu(self.reduce(y))
        logits = self.classify(self._drop(y))
        return logits

    def learn_scales(self, vectors: Sequence[Tensor]) -> None:
        """Standardise from now on by these vectors of the training cases, (n, width)."""
        for part, x in zip(self.standardise, vectors, strict=True):
            assert isinstance(part, Standardise)
            part.fit(x)

    def joined(self, vectors: Sequence[Tensor]) -> Tensor:
        """Return the projections side by side, (B, M width)."""
        parts = [
            project(standardise(x))
            for project, standardise, x in zip(
                self.project, self.standardise, vectors, strict=True
            )
        ]
        return torch.cat(parts, dim=1)

    @torch.no_grad()
    def shares(self, vectors: Sequence[Tensor]) -> Tensor:
        """Return how much each encoder's part attends to each other's, (B, M, M).

        Rows are those who look, sum 1; the mean over heads and, of scalar tokens, over
        the numbers of a row's part. Raises ValueError where there is no attention.
        """
        if self.attention is None:
            msg = "this arm has no attention"
            raise ValueError(msg)
        count = len(self.project)
        rows = []
        for tokens in self._split(self.joined(vectors)):  # one map at a time
            weights = self.attention.weights(tokens.unsqueeze(0))[0]  # (N, N)
            blocks = weights.view(count, len(weights) // count, count, -1)
            rows.append(blocks.sum(dim=3).mean(dim=1))
        return torch.stack(rows)

    def _split(self, joined: Tensor) -> Tensor:
        """(B, M width) to tokens (B, N, d)."""
        size = 1 if self.tokens == "scalar" else self.width
        return joined.view(len(joined), -1, size)

    def _drop(self, x: Tensor) -> Tensor:
        """Dropout whose draws come from this module's own generator."""
        if not self.training or self.dropout == 0:
            return x
        draw = torch.rand(x.shape, generator=self.drops).to(x.device)
        return x * (draw >= self.dropout) / (1 - self.dropout)


class FeatureAttention(nn.Module):
    """Self-attention of timm's ViT, without bias for queries, keys and values.

    Between 1,536 scalar tokens a map has 9.4 MB per sample: no map is ever kept, the
    fused kernels go through it in pieces.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, N, C). Returns the same shape."""
        b, n, c = x.shape
        mixed = attend(*self._heads(x), least=1 if x.device.type == "cpu" else _ALIGNED)
        y: Tensor = self.out(mixed.transpose(1, 2).reshape(b, n, c))
        return y

    def weights(self, x: Tensor) -> Tensor:
        """Return the attention of each token to each, mean over heads, (B, N, N)."""
        q, k, _ = self._heads(x)
        scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
        mean: Tensor = scores.softmax(dim=-1).mean(dim=1)
        return mean

    def _heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, N, C) to queries, keys and values, each (B, H, N, d)."""
        b, n, c = x.shape
        qkv = self.qkv(x).view(b, n, 3, self.heads, c // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        return q, k, v


def attend(q: Tensor, k: Tensor, v: Tensor, *, least: int) -> Tensor:
    """softmax(q k^T / √d) v; tokens of fewer than `least` numbers are filled up with 0.

    q, k, v: (B, H, N, d). Returns the same shape.
    """
    d = q.shape[-1]
    if d < least:
        q, k, v = (functional.pad(each, (0, least - d)) for each in (q, k, v))
    mixed = functional.scaled_dot_product_attention(q, k, v, scale=d**-0.5)
    return mixed[..., :d]
