"""DVME against its published listing and parameter counts, and its arms."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from harness.nn.fusion import Fusion, attend

WIDTHS = (6, 4, 5)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def vectors(count=7, widths=WIDTHS):
    return [torch.randn(count, w, generator=rng(w)) for w in widths]


def fusion(tokens, **settings):
    settings = {"width": 8, "heads": 2, **settings}
    return Fusion(WIDTHS, 3, rng(), tokens=tokens, **settings).eval()


@pytest.mark.parametrize(
    ("tokens", "millions"),
    # Table G1 has 3.6 M; METHODS 1.21: 3.678 M for scalars, 4.73 M for components.
    [("scalar", 3.678), ("component", 4.727)],
)
def test_published_sizes(tokens, millions):
    with torch.device("meta"):
        model = Fusion((2048, 2048, 1536), 5, rng(), tokens=tokens)
    counted = sum(p.numel() for p in model.parameters())
    assert round(counted / 1e6, 3) == millions


def listing(model, inputs, tokens):
    """The forward pass of listing 1, written out with a loop over samples and heads."""
    pairs = zip(inputs, model.project, strict=True)
    joined = torch.cat([functional.linear(x, p.weight, p.bias) for x, p in pairs], 1)
    size, heads = (1, 1) if tokens == "scalar" else (8, 2)
    out = []
    for row in joined:
        x = row.view(-1, size)
        q, k, v = (x @ model.attention.qkv.weight.T).chunk(3, dim=1)
        parts = []
        for h in range(heads):
            mine = slice(h * size // heads, (h + 1) * size // heads)
            scores = q[:, mine] @ k[:, mine].T / (size // heads) ** 0.5
            parts.append(scores.softmax(dim=1) @ v[:, mine])
        y = torch.cat(parts, dim=1) @ model.attention.out.weight.T
        out.append((y + model.attention.out.bias).flatten())
    y = functional.layer_norm(
        torch.stack(out), (24,), model.norm.weight, model.norm.bias
    )
    y = functional.linear(y, model.reduce.weight, model.reduce.bias).relu()
    return functional.linear(y, model.classify.weight, model.classify.bias)


@pytest.mark.parametrize("tokens", ["scalar", "component"])
def test_it_is_the_published_listing(tokens):
    model, inputs = fusion(tokens), vectors()
    assert torch.allclose(model(inputs), listing(model, inputs, tokens), atol=1e-5)


def test_without_attention_it_is_a_linear_classifier_of_the_concatenation():
    """Projections and classifier are linear: one layer on the vectors side by side."""
    model, inputs = fusion(None), vectors()
    assert not any(isinstance(part, nn.LayerNorm) for part in model.modules())
    blocks = model.classify.weight.split(8, dim=1)
    pairs = list(zip(blocks, model.project, strict=True))
    weight = torch.cat([block @ part.weight for block, part in pairs], dim=1)
    bias = model.classify.bias + sum(block @ part.bias for block, part in pairs)
    want = torch.cat(inputs, dim=1) @ weight.T + bias
    assert torch.allclose(model(inputs), want, atol=1e-5)


def test_features_are_standardised_by_the_training_cases():
    model, inputs = fusion("scalar"), vectors(50)
    moved = [x * 100 + 7 for x in inputs]
    before = model(moved)
    model.learn_scales(moved)
    scaled = [(x - x.mean(0)) / x.std(0, correction=0) for x in moved]
    assert not torch.allclose(model(moved), before, atol=1e-3)
    other = fusion("scalar")
    assert torch.allclose(model(moved), other(scaled), atol=1e-4)
    flat = [torch.ones_like(x) for x in inputs]
    model.learn_scales(flat)
    assert model(flat).isfinite().all()


@pytest.mark.parametrize("tokens", ["scalar", "component"])
def test_shares_are_blocks_of_the_attention_map(tokens):
    model, inputs = fusion(tokens), vectors(2)
    shares = model.shares(inputs)
    assert shares.shape == (2, 3, 3)
    assert torch.allclose(shares.sum(dim=2), torch.ones(2, 3), atol=1e-6)
    size = 8 if tokens == "scalar" else 1
    tokens_of_first = model._split(model.joined(inputs))[:1]
    full = model.attention.weights(tokens_of_first)[0].detach()
    for i in range(3):
        for j in range(3):
            block = full[i * size : (i + 1) * size, j * size : (j + 1) * size]
            assert shares[0, i, j] == pytest.approx(float(block.sum() / size), abs=1e-6)
    with pytest.raises(ValueError, match="no attention"):
        fusion(None).shares(inputs)


def test_dropout_draws_from_its_own_generator():
    first, again = (Fusion(WIDTHS, 3, rng(), width=8).train() for _ in range(2))
    inputs = vectors()
    torch.rand(3)  # the global stream has no say
    assert torch.equal(first(inputs), again(inputs))
    assert not torch.equal(first(inputs), first(inputs))
    assert torch.equal(first.eval()(inputs), first(inputs))


def test_attention_lets_gradients_through_to_every_weight():
    model = fusion("scalar")
    model(vectors()).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())


def test_no_attention_map_is_kept_for_the_backward_pass():
    """Between 1,536 scalars a map has 9.4 MB per sample (METHODS 1.21, pitfalls)."""
    model = fusion("scalar", width=64).train()
    sizes = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda x: sizes.append(x.numel()) or x, lambda x: x
    ):
        model(vectors(4))
    tokens = 3 * 64
    assert max(sizes) < 4 * tokens * tokens / 2


def test_tokens_that_are_filled_up_attend_alike():
    q, k, v = torch.randn(3, 2, 1, 20, 1, generator=rng()).unbind()
    assert torch.allclose(attend(q, k, v, least=8), attend(q, k, v, least=1), atol=1e-6)
    assert attend(q, k, v, least=8).shape == q.shape
