"""Recomputed blocks: the same bits, forwards and backwards, with drop path too."""

import pytest
import torch

from harness.nn import draws, recompute
from harness.nn.build import build_encoder
from harness.nn.settings import SwinSettings, ViTSettings, encoder_tier


def outcome(kind, *, again, share=None):
    rng = torch.Generator().manual_seed(3)
    tier = encoder_tier(kind.model_fields["kind"].default, "tiny")
    encoder = build_encoder(kind(**{**tier, "drop_path": 0.5}), 1, rng)
    x = torch.rand(4, 1, 32, 32, 32, generator=rng)
    if share is not None:
        x = x.chunk(share.count)[share.index]
    seen = []
    for block in encoder.modules():
        if type(block).__name__ in {"_Block", "Block"}:
            block.register_forward_pre_hook(lambda *_: seen.append(1))
    with draws.share(share or draws.current()), recompute.enabled(again):
        encoder(x, rng=rng).pooled.square().sum().backward()
    grads = {n: p.grad for n, p in encoder.named_parameters() if p.grad is not None}
    return grads, rng.get_state(), len(seen)


@pytest.mark.parametrize("kind", [SwinSettings, ViTSettings])
@pytest.mark.parametrize("share", [None, draws.Share(1, 2, 2)])
def test_gradients_and_generator_are_the_same(kind, share):
    once, state, runs = outcome(kind, again=False, share=share)
    twice, again, more = outcome(kind, again=True, share=share)
    assert runs < more <= 2 * runs
    assert once.keys() == twice.keys()
    assert all(torch.equal(once[name], twice[name]) for name in once)
    assert torch.equal(state, again)


def test_without_gradients_nothing_is_recomputed():
    rng = torch.Generator().manual_seed(0)
    calls = []

    def block(x, rng):
        calls.append(1)
        return x

    with recompute.enabled(True), torch.no_grad():
        recompute.recomputed(block, torch.ones(1), rng)
    assert len(calls) == 1
