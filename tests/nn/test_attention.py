"""Window attention: values and gradients against plain loops and autograd."""

import math

import numpy as np
import pytest
import torch

from harness.nn import attention
from harness.nn.attention import window_attention
from harness.nn.windows import shift_masks


@pytest.fixture(params=[1, 10**9], ids=["window-by-window", "one-chunk"])
def chunk_bytes(request, monkeypatch):
    monkeypatch.setattr(attention, "CHUNK_BYTES", request.param)


def case(seed=0, samples=2, heads=2, dtype=torch.float64):
    """Return inputs of the windows of `samples` grids of 3 x 4 x 2 tokens, shifted."""
    rng = torch.Generator().manual_seed(seed)
    kind, masks = shift_masks((3, 4, 2), (2, 2, 2), (1, 1, 0), torch.device("cpu"))
    shape = (samples * len(kind), 8, 3, heads, 3)
    qkv = torch.randn(shape, generator=rng, dtype=dtype, requires_grad=True)
    bias = torch.randn(heads, 8, 8, generator=rng, dtype=dtype, requires_grad=True)
    return qkv, bias, kind, masks.to(dtype)


def by_loops(qkv, bias, kind, masks):
    """Softmax attention, one query at a time."""
    qkv, bias = qkv.detach().numpy(), bias.detach().numpy()
    count, n, _, heads, d = qkv.shape
    out = np.zeros((count, n, heads * d))
    for window in range(count):
        mask = masks[kind[window % len(kind)]].numpy()
        for head in range(heads):
            q, k, v = (qkv[window, :, part, head] for part in range(3))
            for i in range(n):
                scores = [
                    q[i] @ k[j] / math.sqrt(d) + bias[head, i, j] + mask[i, j]
                    for j in range(n)
                ]
                weights = np.exp(np.array(scores) - max(scores))
                weights /= weights.sum()
                out[window, i, head * d : (head + 1) * d] = weights @ v
    return out


def test_both_paths_equal_plain_loops(chunk_bytes):
    inputs = case()
    want = by_loops(*inputs)
    np.testing.assert_allclose(window_attention(*inputs).detach(), want, atol=1e-12)
    with torch.no_grad():  # scaled_dot_product_attention
        np.testing.assert_allclose(window_attention(*inputs), want, atol=1e-12)


def test_chunked_gradients_equal_finite_differences(chunk_bytes):
    qkv, bias, kind, masks = case(samples=1)
    assert torch.autograd.gradcheck(
        lambda a, b: window_attention(a, b, kind, masks), (qkv, bias), fast_mode=True
    )


def test_chunked_gradients_equal_those_of_the_gpu_path(chunk_bytes):
    """The path for other devices trains through scaled_dot_product_attention."""
    qkv, bias, kind, masks = case(heads=3)
    weight = torch.randn(len(qkv), 8, 9, dtype=torch.float64)
    ours = torch.autograd.grad(
        (window_attention(qkv, bias, kind, masks) * weight).sum(), (qkv, bias)
    )
    fused = attention._fused(qkv, bias, kind, masks, len(qkv))
    theirs = torch.autograd.grad((fused * weight).sum(), (qkv, bias))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_without_a_shift_there_is_no_mask(chunk_bytes):
    qkv, bias, kind, masks = case()
    plain = window_attention(qkv, bias)
    torch.testing.assert_close(
        plain, window_attention(qkv, bias, kind, torch.zeros_like(masks))
    )
    assert not torch.allclose(plain, window_attention(qkv, bias, kind, masks))


def test_training_keeps_no_attention_matrix():
    """What waits for the backward pass is the inputs and the result."""
    qkv, bias, kind, masks = case(samples=4)
    kept = []

    def count(tensor):
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda t: t):
        result = window_attention(qkv, bias, kind, masks)
    assert sum(kept) == qkv.numel() + bias.numel() + result.numel()
