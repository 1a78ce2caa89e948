"""Attention inside windows, with a learnt bias per pair of tokens.

On the GPU, and wherever no gradient is needed, torch's scaled_dot_product_attention is
the fast path. On the CPU its kernels with a bias do not support training and fall back
to one that stores every window's attention matrix several times over. Here windows are
processed in chunks whose matrices stay in the cache, and the backward pass computes
them again.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

# Attention matrices of one chunk, bytes. Two of them are live in the backward pass.
CHUNK_BYTES = 1 << 20


def window_attention(
    qkv: Tensor,
    bias: Tensor,
    kind: Tensor | None = None,
    masks: Tensor | None = None,
) -> Tensor:
    """softmax(q k^T / √d + bias + mask) v in every window and head.

    qkv: (N, n, 3, H, d) for N windows of n tokens; bias: (H, n, n), the same for all
    windows; kind: int64 (N / B,) and masks: (kinds, n, n), see `windows.shift_masks`;
    windows of a sample follow each other. Returns (N, n, H d).
    """
    learns = torch.is_grad_enabled() and (qkv.requires_grad or bias.requires_grad)
    if qkv.device.type == "cpu" and learns:
        result: Tensor = _ChunkedAttention.apply(qkv, bias, kind, masks)  # type: ignore[no-untyped-call]
        return result
    step = len(qkv) if qkv.device.type != "cpu" else _chunk(qkv)
    return _fused(qkv, bias, kind, masks, step)


def _chunk(qkv: Tensor) -> int:
    """Windows per chunk."""
    n, heads = qkv.shape[1], qkv.shape[3]
    return max(1, CHUNK_BYTES // (n * n * heads * qkv.element_size()))


def _chunk_mask(
    kind: Tensor | None, masks: Tensor | None, start: int, stop: int
) -> Tensor | None:
    """Return (windows, 1, n, n) for windows start..stop, None where none is masked."""
    if kind is None or masks is None:
        return None
    which = kind[torch.arange(start, stop, device=kind.device) % len(kind)]
    if kind.device.type == "cpu" and not which.any():
        return None
    return masks[which].unsqueeze(1)


def _fused(
    qkv: Tensor, bias: Tensor, kind: Tensor | None, masks: Tensor | None, step: int
) -> Tensor:
    """Attention by scaled_dot_product_attention, `step` windows at a time."""
    parts = []
    for start in range(0, len(qkv), step):
        part = qkv[start : start + step].permute(2, 0, 3, 1, 4)  # (3, N, H, n, d)
        mask = _chunk_mask(kind, masks, start, start + part.shape[1])
        total = bias.unsqueeze(0) if mask is None else bias + mask
        out = functional.scaled_dot_product_attention(
            part[0], part[1], part[2], attn_mask=total.to(qkv.dtype)
        )
        parts.append(out.transpose(1, 2).flatten(2))
    return parts[0] if len(parts) == 1 else torch.cat(parts)


class _ChunkedAttention(torch.autograd.Function):
    """Window attention for CPU training: memory for one chunk of attention matrices."""

    @staticmethod
    def forward(
        ctx: Any, qkv: Tensor, bias: Tensor, kind: Tensor | None, masks: Tensor | None
    ) -> Tensor:
        ctx.kind, ctx.masks = kind, masks
        count, n, _, heads, d = qkv.shape
        result = qkv.new_empty(count, n, heads, d)
        room = _workspace(qkv)
        for start in range(0, count, _chunk(qkv)):
            stop = min(count, start + _chunk(qkv))
            q, k, v = _heads_first(qkv[start:stop])
            mask = _chunk_mask(kind, masks, start, stop)
            p = _probabilities(q, k, bias, mask, room)
            out = torch.bmm(p, v).view(stop - start, heads, n, d)
            result[start:stop] = out.transpose(1, 2)
        result = result.flatten(2)
        # The projection that follows keeps the result too: it costs no memory here.
        ctx.save_for_backward(qkv, bias, result)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        qkv, bias, result = ctx.saved_tensors
        count, n, _, heads, d = qkv.shape
        # Σ_j P_ij dP_ij, with P the attention, is the product of result and gradient.
        inner = (grad * result).view(count, n, heads, d).sum(dim=-1)  # (N, n, H)
        grad = grad.view(count, n, heads, d)
        grad_qkv = torch.empty_like(qkv)
        grad_bias = torch.zeros_like(bias)
        room = _workspace(qkv)
        for start in range(0, count, _chunk(qkv)):
            stop = min(count, start + _chunk(qkv))
            q, k, v = _heads_first(qkv[start:stop])
            mask = _chunk_mask(ctx.kind, ctx.masks, start, stop)
            p = _probabilities(q, k, bias, mask, room)
            g = grad[start:stop].transpose(1, 2).reshape(-1, n, d)  # (N H, n, d)
            # Softmax backwards: dS = P (dP - Σ_j P_j dP_j).
            ds = torch.bmm(g, v.transpose(1, 2), out=room[0, : len(g)])
            ds.sub_(inner[start:stop].transpose(1, 2).reshape(-1, n, 1)).mul_(p)
            alone = stop - start == 1  # then a sum would only copy
            grad_bias += ds if alone else ds.view(-1, heads, n, n).sum(dim=0)
            parts = grad_qkv[start:stop].permute(2, 0, 3, 1, 4)  # (3, N, H, n, d)
            shape = parts.shape[1:]
            parts[0] = torch.bmm(ds, k).mul_(d**-0.5).view(shape)
            parts[1] = torch.bmm(ds.transpose(1, 2), q).view(shape)  # q is scaled
            parts[2] = torch.bmm(p.transpose(1, 2), g).view(shape)
        return grad_qkv, grad_bias, None, None


def _workspace(qkv: Tensor) -> Tensor:
    """Room for two sets of a chunk's matrices, (2, N H, n, n), used again and again."""
    n, heads = qkv.shape[1], qkv.shape[3]
    return qkv.new_empty(2, min(len(qkv), _chunk(qkv)) * heads, n, n)


def _heads_first(qkv: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(N, n, 3, H, d) to q / √d, k and v, each (N H, n, d) and contiguous."""
    n, d = qkv.shape[1], qkv.shape[4]
    parts = qkv.permute(2, 0, 3, 1, 4).reshape(3, -1, n, d)
    return parts[0] * d**-0.5, parts[1], parts[2]


def _probabilities(
    q: Tensor, k: Tensor, bias: Tensor, mask: Tensor | None, room: Tensor
) -> Tensor:
    """Return softmax(q k^T + bias + mask), (N H, n, n), in room[1]; uses up room[0]."""
    heads, n, _ = bias.shape
    scores = torch.bmm(q, k.transpose(1, 2), out=room[0, : len(q)])
    by_head = scores.view(-1, heads, n, n)
    by_head += bias
    if mask is not None:
        by_head += mask
    return torch.softmax(scores, dim=-1, out=room[1, : len(q)])
