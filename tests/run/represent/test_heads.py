"""Attention read explicitly: the same output, and entropies and distances by loops."""

import math

import pytest
import torch

from harness.nn.build import build_encoder
from harness.nn.settings import SwinSettings, ViTSettings
from harness.nn.swin import WindowAttention
from harness.nn.transformer import Attention
from harness.nn.windows import cut
from harness.run.represent import heads
from harness.run.represent.explicit_attention import (
    Attended,
    layers_of,
    of_all,
    of_windows,
)
from harness.run.represent.heads import BINS, AttentionSpread, spread_of, watching

SWIN = SwinSettings(
    width=8, depths=(2, 2), heads=(1, 2), window=2, drop_path=0.0,
    semantic_attention={"stage": 1, "heads": 2},
)  # fmt: skip
VIT = ViTSettings(patch=4, width=12, depth=4, heads=3, drop_path=0.0, positions=2)


def _rng(seed=0):
    return torch.Generator().manual_seed(seed)


def _noisy(module):
    module.requires_grad_(requires_grad=False)
    with torch.no_grad():
        noise = _rng(1)
        for parameter in module.parameters():
            # Not added to: a layer alone leaves its table of biases without values.
            parameter.copy_(torch.randn(parameter.shape, generator=noise) * 0.3)
    return module.eval()


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("grid", [(4, 4, 4), (5, 4, 6), (2, 2, 2)])
def test_windows_put_out_what_the_fast_path_does(shifted, grid):
    layer = _noisy(WindowAttention(SWIN, 8, 2))
    x = torch.randn(2, *grid, 8, generator=_rng(2))
    seen = of_windows(layer, x, shifted=shifted)
    assert torch.allclose(seen.output, layer(x, shifted=shifted), atol=1e-6)
    # What the shift put on the other side of the grid gets nothing.
    crossing = ~seen.allowed & _real(grid, shifted)[:, None].repeat(2, 1, 1)
    hidden = seen.probabilities.masked_select(crossing[:, None])
    assert hidden.numel() == 0 or hidden.max() < 1e-6
    assert bool(hidden.numel()) == (shifted and max(grid) > 2)


def _real(grid, shifted):
    """Which tokens of each window of side 2 are no padding, (windows, 8)."""
    shift = [1 if shifted and side > 2 else 0 for side in grid]
    return cut(torch.ones(1, *grid, 1), (2, 2, 2), shift)[..., 0] > 0


def test_global_attention_puts_out_what_the_fast_path_does():
    layer = _noisy(Attention(12, 3))
    x = torch.randn(2, 1 + 8, 12, generator=_rng(2))
    seen = of_all(layer, x, (2, 2, 2))
    assert torch.allclose(seen.output, layer(x)[0], atol=1e-6)
    assert not seen.counts[:, 0].any()


def _made(probabilities, places, allowed=None):
    n = probabilities.shape[-1]
    whole = torch.ones(len(probabilities), n, n, dtype=torch.bool)
    return Attended(
        probabilities,
        whole if allowed is None else allowed,
        places,
        torch.ones(len(probabilities), n, dtype=torch.bool),
        torch.zeros(()),
        float(n - 1),
    )


def test_even_attention_and_attention_to_oneself():
    """Four tokens on a line: even attention has log 4 nats; distances from the first are
    (0 + 1 + 2 + 3) / 4, from the second (1 + 0 + 1 + 2) / 4; to oneself both are 0.
    """
    places = torch.arange(4.0).view(1, 4, 1)
    both = torch.stack([torch.full((4, 4), 0.25), torch.eye(4)])[None]
    found = spread_of(_made(both, places), [3.0])
    assert found.queries == 4
    assert (found.entropy / 4).tolist() == pytest.approx([math.log(4), 0.0])
    assert (found.share / 4).tolist() == pytest.approx([1.0, 0.0])
    assert (found.tokens / 4).tolist() == pytest.approx([1.25, 0.0])
    assert (found.mm / 4).tolist() == pytest.approx([3.75, 0.0])


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("least", [1, 8])
def test_sums_are_those_of_loops_over_queries_and_allowed_keys(
    shifted, least, monkeypatch
):
    """Keys are told by where tokens lie: next to the query and within the grid."""
    layer, grid = _noisy(WindowAttention(SWIN, 8, 2)), (4, 4, 5)
    x = torch.randn(1, *grid, 8, generator=_rng(3))
    seen = of_windows(layer, x, shifted=shifted)
    scale = (2.0, 3.0, 5.0)
    number = torch.arange(80).view(1, *grid, 1) + 1.0
    shift = (1, 1, 1) if shifted else (0, 0, 0)
    numbers = cut(number, (2, 2, 2), shift)[..., 0].int().tolist()
    sums = {name: [0.0, 0.0] for name in ("entropy", "share", "tokens", "mm")}
    histogram, queries = [[0] * BINS, [0] * BINS], 0
    for w, row in enumerate(numbers):
        places = [_place(each - 1) if each else None for each in row]
        for q, here in enumerate(places):
            if here is None:
                continue
            keys = [k for k, there in enumerate(places) if _near(here, there)]
            queries += len(keys) >= least
            for head in range(2 if len(keys) >= least else 0):
                p = [float(seen.probabilities[w, head, q, k]) for k in keys]
                p = [each / sum(p) for each in p]
                entropy = -sum(each * math.log(each) for each in p)
                apart = [math.dist(here, places[k]) for k in keys]
                tokens = sum(a * d for a, d in zip(p, apart, strict=True))
                wide = [[i * mm for i, mm in zip(at, scale, strict=True)]
                        for at in (here, *(places[k] for k in keys))]  # fmt: skip
                sums["entropy"][head] += entropy
                sums["share"][head] += entropy / math.log(max(len(keys), 2))
                sums["tokens"][head] += tokens
                sums["mm"][head] += sum(
                    a * math.dist(wide[0], there)
                    for a, there in zip(p, wide[1:], strict=True)
                )
                histogram[head][min(int(tokens / math.sqrt(3) * BINS), BINS - 1)] += 1
    for at_once in (heads._AT_ONCE, 1):  # all windows, and one by one
        monkeypatch.setattr(heads, "_AT_ONCE", at_once)
        found = spread_of(seen, scale, least)
        assert found.queries == queries
        for name, value in sums.items():
            assert getattr(found, name).tolist() == pytest.approx(value, rel=1e-5)
        share = [each / math.sqrt(3) for each in sums["tokens"]]
        assert found.reach.tolist() == pytest.approx(share, rel=1e-5)
        assert found.histogram.tolist() == histogram


def _place(number):
    return number // 20, number // 5 % 4, number % 5


def _near(here, there):
    return there is not None and all(
        abs(a - b) < 2 for a, b in zip(here, there, strict=True)
    )


def test_watching_changes_nothing_and_names_heads_and_stages():
    encoder = _noisy(build_encoder(SWIN, 1, _rng()))
    x = torch.rand(2, 1, 16, 16, 16, generator=_rng(4))
    plain = encoder(x).pooled
    spread = AttentionSpread((1.0, 1.0, 2.0))
    with torch.no_grad(), watching(encoder, spread, x.shape[2:]):
        assert torch.allclose(encoder(x).pooled, plain)
    rows = {(layer, quantity): value for layer, quantity, value, _ in spread.rows()}
    assert {"stage1.block1", "stage2.block2", "semantic.block1"} <= set(
        layers_of(encoder)
    )
    assert ("stage1.block1.head1", "attention_entropy") in rows
    assert 0 < rows["stage1.block2.head1", "attention_entropy_share"] <= 1
    assert ("stage2", "attention_entropy_sd") in rows
    assert 0 <= rows["stage1", "attention_distance_entropy"] <= math.log(20)
    encoder(x)
    assert len(spread.layers["stage1.block1"]) == 1  # hooks are gone


def test_batches_average_to_the_whole_where_they_are_alike_in_size():
    encoder = _noisy(build_encoder(SWIN, 1, _rng()))
    spread = AttentionSpread((1.0, 1.0, 1.0))
    x = torch.rand(4, 1, 16, 16, 16, generator=_rng(4))
    with torch.no_grad(), watching(encoder, spread, x.shape[2:]):
        for part in x.split(2):
            encoder(part)
    stages, values = spread.by_batch()
    whole = {(row.layer, row.quantity): row.value for row in spread.rows()}
    for quantity in ("attention_entropy_share_mean", "attention_distance_mm_mean"):
        assert values[quantity].shape == (2, len(stages))
        for place, stage in enumerate(stages):
            mean = values[quantity][:, place].mean().item()
            assert mean == pytest.approx(whole[stage, quantity])
    single = stages.index("stage1")  # two blocks of one head each
    assert (values["attention_entropy_share_sd"][:, single] > 0).all()


def test_few_keys_are_not_reported():
    encoder = _noisy(build_encoder(SWIN, 1, _rng()))
    x = torch.rand(1, 1, 4, 4, 4, generator=_rng(4))  # stage 2 has a single token
    spread = AttentionSpread((1.0, 1.0, 1.0))
    with torch.no_grad(), watching(encoder, spread, x.shape[2:]):
        encoder(x)
    assert not any(layer.startswith("stage2") for layer, *_ in spread.rows())


def test_every_image_has_its_own_millimetres():
    encoder = _noisy(build_encoder(SWIN, 1, _rng()))
    x = torch.rand(2, 1, 16, 16, 16, generator=_rng(4))
    found = []
    for spacing in [((1, 1, 1), (2, 2, 2)), (1, 1, 1), (2, 2, 2)]:
        spread = AttentionSpread(spacing)
        with torch.no_grad(), watching(encoder, spread, x.shape[2:]):
            # An encoder for one channel sees two of each image, one after the other.
            encoder(x.repeat_interleave(2, dim=0))
        rows = {(row.layer, row.quantity): row.value for row in spread.rows()}
        voxels = rows["stage1", "attention_distance_tokens_mean"] * 2  # patch
        found.append((rows["stage1", "attention_distance_mm_mean"], voxels))
    (both, _), (single, voxels), (double, _) = found
    assert single == pytest.approx(voxels)
    assert double == pytest.approx(2 * single)
    assert single < both < double


@pytest.mark.parametrize("sides", [(8, 8, 16), (10, 9, 17)])
def test_a_vit_is_watched_block_by_block(sides):
    encoder = _noisy(build_encoder(VIT, 1, _rng()))
    x = torch.rand(1, 1, *sides, generator=_rng(4))
    spread = AttentionSpread((1.0, 1.0, 1.0))
    with torch.no_grad(), watching(encoder, spread, x.shape[2:]):
        encoder(x)
    layers = {layer for layer, *_ in spread.rows()}
    assert {"block1.head1", "block4.head3", "block1"} <= layers
