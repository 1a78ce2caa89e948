"""Blocks with attention between all tokens: of ViT, semantic attention and decoders."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .draws import rows
from .recompute import recomputed


def drop_path(x: Tensor, rate: float, rng: torch.Generator) -> Tensor:
    """Drop the branch of whole samples with probability `rate`, scale up the others.

    x: (B, ...). Stochastic depth: call it in training only.
    """
    if rate == 0:
        return x
    draw = rows(len(x), lambda n: torch.rand(n, generator=rng, device=rng.device))
    kept = (draw < 1 - rate).to(x) / (1 - rate)
    return x * kept.view(-1, *[1] * (x.ndim - 1))


class LayerScale(nn.Module):
    """A learnt gain per channel, small at the start (CaiT; METHODS 0, ViT-L-3D)."""

    def __init__(self, width: int, start: float) -> None:
        super().__init__()
        self.start = start
        self.gain = nn.Parameter(torch.full((width,), start))

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., width). Returns the same shape."""
        return x * self.gain


class Attention(nn.Module):
    """Multi-head self-attention between all tokens of a sample."""

    def __init__(self, width: int, heads: int, *, qkv_bias: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=qkv_bias)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, *, row: bool = False) -> tuple[Tensor, Tensor | None]:
        """x: (B, N, C), token 0 the class token. Returns (B, N, C) and, if asked, `row`.

        row: (B, N - 1), softmax(q_cls K^T / √d) averaged over heads (METHODS 1.19,
        equation 1), the class token's own entry dropped, renormalised to sum 1. It
        carries no gradient.
        """
        b, n, c = x.shape
        qkv = self.qkv(x).view(b, n, 3, self.heads, c // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, H, N, d)
        mixed = functional.scaled_dot_product_attention(q, k, v)
        y: Tensor = self.out(mixed.transpose(1, 2).reshape(b, n, c))
        return y, class_row(q, k) if row else None


@torch.no_grad()
def class_row(q: Tensor, k: Tensor) -> Tensor:
    """Attention of token 0 to the others: q, k (B, H, N, d). Returns (B, N - 1)."""
    scores = (q[:, :, :1].float() @ k.float().transpose(-1, -2)) * q.shape[-1] ** -0.5
    row: Tensor = scores.softmax(dim=-1).mean(dim=1)[:, 0, 1:]
    return row / row.sum(dim=-1, keepdim=True)


class Block(nn.Module):
    """x + attention(LayerNorm(x)), then x + mlp(LayerNorm(x)), each scaled if asked."""

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        layer_scale: float | None = None,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.drop_path = drop_path
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attention = Attention(width, heads, qkv_bias=qkv_bias)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        hidden = int(width * mlp_ratio)
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)
        )
        self.scale1, self.scale2 = (
            nn.Identity() if layer_scale is None else LayerScale(width, layer_scale)
            for _ in range(2)
        )

    def forward(
        self, x: Tensor, rng: torch.Generator, *, row: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """x: (B, N, C). Returns the same shape and the class token's attention."""
        y, attention = self.attention(self.norm1(x), row=row)
        x = x + self._drop(self.scale1(y), rng)
        return x + self._drop(self.scale2(self.mlp(self.norm2(x))), rng), attention

    def _drop(self, x: Tensor, rng: torch.Generator) -> Tensor:
        return drop_path(x, self.drop_path, rng) if self.training else x


class SemanticAttention(nn.Module):
    """Blocks over all tokens of a Swin stage and a class token (METHODS 1.19).

    The class token sees the whole grid, so its attention can guide masks; the tokens go
    on to the next stage as the blocks leave them. No position is added: Swin's tokens
    carry it from their windows (chosen here).
    """

    def __init__(self, width: int, blocks: int, heads: int) -> None:
        super().__init__()
        self.class_token = nn.Parameter(torch.empty(width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(blocks))

    def forward(self, x: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """x: (B, *grid, C). Returns tokens, class token (B, C), attention (B, *grid)."""
        b, *grid, c = x.shape
        tokens = x.reshape(b, -1, c)
        tokens = torch.cat([self.class_token.expand(b, 1, c), tokens], dim=1)
        row = None
        for index, block in enumerate(self.blocks):
            last = index == len(self.blocks) - 1
            tokens, row = recomputed(block, tokens, rng, row=last)
        assert row is not None
        return tokens[:, 1:].view(b, *grid, c), tokens[:, 0], row.view(b, *grid)
