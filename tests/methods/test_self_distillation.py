"""DINO, iBOT, AttMask, MST and 3DINO against references written out in plain loops."""

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from harness.api import resolve
from harness.nn.mask_rules import draw_mask
from harness.nn.masking import ranks, uniform_scores
from harness.run.optimise import make_optimiser

from .conftest import kind, rng, stirred, tiny
from .test_smit import cross_entropy

TEMPERATURE = 0.07  # at step 3 of 4, past the warm-up


def trained(name, batch, **overrides):
    """A method whose teacher, centres and student have moved apart."""
    method = tiny(name, **overrides)
    optimiser = make_optimiser(method, 1e-2, weight_decay=0.0)
    for step in range(2):
        method.loss(batch, rng(step)).total.backward()
        optimiser.step()
        optimiser.zero_grad()
        method.after_step(step, 10)
    method.step = 3
    return stirred(method)


def agreement(student, teacher, center):
    """Mean over pairs of different views of the mean over images; (views, B, K)."""
    pairs = [
        np.mean([
            cross_entropy(student[s][b], teacher[t][b], center, 0.1, TEMPERATURE)
            for b in range(2)
        ])
        for t in range(2)
        for s in range(len(student))
        if s != t
    ]  # fmt: skip
    return float(np.mean(pairs))


def by_view(logits):
    return logits.view(-1, 2, logits.shape[-1]).tolist()


@pytest.mark.parametrize("encoder", ["vit", "swin"])
@torch.no_grad()
def test_dino_is_the_agreement_of_all_pairs_of_views(batch, encoder):
    with torch.enable_grad():
        method = trained("dino", batch, encoder=encoder)
    found = method.loss(batch, rng(9)).total.item()
    large, small = method.settings.cut_views(batch.volumes, rng(9))
    student, teacher = method.student, method.teacher.module
    z_s = by_view(student.head(student.encoder(large).pooled))
    z_s += by_view(student.head(student.encoder(small).pooled))
    z_t = by_view(teacher.head(teacher.encoder(large).pooled))
    assert (len(z_s), len(z_t)) == (4, 2)
    want = agreement(z_s, z_t, method.targets.center.tolist())
    assert found == pytest.approx(want, rel=1e-4)


def patch_term(method, hidden, s, t, head_s, head_t):
    """Per view the mean over hidden patches, then the mean over views."""
    center = method.patch_targets.center.tolist()
    total = 0.0
    for view in range(len(hidden)):
        places = [p for p in np.ndindex(*hidden.shape[1:]) if hidden[(view, *p)]]
        own = 0.0
        for place in places:
            at = (view, slice(None), *place)
            z_s, z_t = head_s(s.units[at]).tolist(), head_t(t.units[at]).tolist()
            own += cross_entropy(z_s, z_t, center, 0.1, TEMPERATURE)
        total += own / max(1, len(places))
    return total / len(hidden)


GUIDED = {"kind": "high", "hints": 0.1, "hint_rule": "drawn", "ratio_per": "batch"}


@pytest.mark.parametrize(
    ("encoder", "mask"), [("vit", {}), ("vit", GUIDED), ("swin", {"probability": 1.0})]
)
@torch.no_grad()
def test_ibot_is_agreement_and_hidden_patches(batch, encoder, mask):
    with torch.enable_grad():
        method = trained("ibot", batch, encoder=encoder, mask=mask)
    found = {k: v.item() for k, v in method.loss(batch, rng(9)).terms.items()}
    draws = rng(9)
    large, small = method.settings.cut_views(batch.volumes, draws)
    student, teacher = method.student, method.teacher.module
    t = teacher.encoder(large)
    grid = t.units.shape[2:]
    hidden = draw_mask(method.settings.mask, 4, grid, draws, t.attention)
    s = student.encoder(large, mask_units=hidden)
    z_s = by_view(student.head(s.pooled)) + by_view(
        student.head(student.encoder(small).pooled)
    )
    image = agreement(
        z_s, by_view(teacher.head(t.pooled)), method.image_targets.center.tolist()
    )
    patch = patch_term(method, hidden, s, t, student.patch_head, teacher.patch_head)
    assert hidden.any()
    assert found == pytest.approx({"image": image, "patch": patch}, rel=1e-3)
    shared = student.own_patch_head is None
    assert shared == (encoder == "vit")


def test_ibot_starts_masking_when_told(batch):
    method = tiny("ibot", mask={"probability": 1.0}, mask_start=0.5)
    method.step = 1
    assert method.loss(batch, rng()).terms["patch"].item() == 0
    method.step = 2
    assert method.loss(batch, rng()).terms["patch"].item() > 0


@pytest.mark.parametrize(
    ("tier", "encoder", "steps", "first"),
    [
        # METHODS 1.15: epoch 50 on a Swin, of 300: a sixth of 250,000 steps.
        ("paper", "swin", 250_000, 41_667),
        ("paper", "vit", 250_000, 0),
        ("demo", "swin", 3000, 500),
        ("small", "swin", 300, 0),
    ],
)
def test_on_a_swin_masks_of_ibot_begin_at_epoch_50_of_300(tier, encoder, steps, first):
    settings = resolve(kind("ibot").Settings, tier, {"encoder": encoder})
    assert (settings.steps, settings.first_masked) == (steps, first)


@torch.no_grad()
def test_mst_hides_what_is_attended_least_and_restores_the_whole(batch):
    with torch.enable_grad():
        method = trained("mst", batch, mask_chance=0.6)
    seen = []
    method.student.encoder.register_forward_pre_hook(
        lambda _m, _a, kwargs: seen.append(kwargs.get("mask_units")), with_kwargs=True
    )
    found = {k: v.item() for k, v in method.loss(batch, rng(9)).terms.items()}
    draws = rng(9)
    large, small = method.settings.cut_views(batch.volumes, draws)
    student, teacher = method.student, method.teacher.module
    t = teacher.encoder(large)
    rank = ranks(t.attention.flatten(1))
    drawn = uniform_scores(4, 64, draws) < 0.6
    hidden = ((rank < 8) & drawn).view(4, 4, 4, 4)  # the lowest eighth of 64
    assert torch.equal(seen[0], hidden)
    s = student.encoder(large, mask_units=hidden)
    z_s = by_view(student.head(s.cls)) + by_view(
        student.head(student.encoder(small).cls)
    )
    image = agreement(z_s, by_view(teacher.head(t.cls)), method.targets.center.tolist())
    gaps = (method.decoder(s.maps[-1]) - large).abs()
    restored = np.mean(gaps.flatten().tolist())
    assert found == pytest.approx({"image": image, "restored": restored}, rel=1e-4)


@torch.no_grad()
def test_3dino_is_agreement_hidden_patches_and_spread(batch):
    with torch.enable_grad():
        method = trained("dino3d", batch)
    loss = method.loss(batch, rng(9))
    found = {k: v.item() for k, v in loss.terms.items()}
    draws = rng(9)
    large, small = method.settings.cut_views(batch.volumes, draws)
    hidden = method._mask(4, large.shape[2:], draws)
    counts = sorted(hidden.flatten(1).sum(dim=1).tolist())
    assert counts[:2] == [0, 0]  # half of the large views
    assert (
        0.2 * 64 - 1 <= counts[2] <= 0.475 * 64 <= counts[3] <= 0.75 * 64
    )  # one a bin
    student, teacher = method.student, method.teacher.module
    t, s = teacher.encoder(large), student.encoder(large, mask_units=hidden)
    z_s = by_view(student.image_head(s.cls)) + by_view(
        student.image_head(student.encoder(small).cls)
    )
    image = agreement(
        z_s, by_view(teacher.image_head(t.cls)), method.image_targets.center.tolist()
    )
    patch = patch_term(method, hidden, s, t, student.patch_head, teacher.patch_head)
    koleo = 0.0
    for view in range(2):
        a, b = (c / c.norm() for c in s.cls[2 * view : 2 * view + 2].double())
        koleo -= math.log((a - b).norm().item() + 1e-8)  # each is the other's nearest
    want = {"image": image, "patch": patch, "koleo": koleo}
    assert found == pytest.approx(want, rel=1e-3)
    total = image + patch + 0.1 * koleo
    assert loss.total.item() == pytest.approx(total, rel=1e-3)


def test_3dino_s_mask_ratios_are_one_a_bin_and_dealt_at_random():
    method = tiny("dino3d")
    shares = []
    for seed in range(4):
        hidden = method._mask(16, torch.Size((48, 48, 48)), rng(seed)).flatten(1)
        share = hidden.float().mean(dim=1)  # of 216 patches
        assert (share == 0).sum() == 8  # half of the views stay whole
        bins = (share[share > 0] + 1 / 216 - 0.2) / ((0.75 - 0.2) / 8)
        assert sorted(bins.int().tolist()) == list(range(8))
        shares.append(share > 0)
    assert len({tuple(each.tolist()) for each in shares}) == 4


def test_3dino_s_published_settings():
    """METHODS 1.20; ViT-L: 24 blocks, width 1024, 16 heads, 216 tokens at 96³."""
    paper = resolve(kind("dino3d").Settings, "paper", {})
    encoder = paper.encoder
    assert (encoder.depth, encoder.width, encoder.heads) == (24, 1024, 16)
    assert (encoder.patch, encoder.layer_scale, encoder.drop_path) == (16, 1e-5, 0.3)
    assert encoder.intensity == (-1, 1)
    assert paper.lr == pytest.approx(2e-3 * math.sqrt(512 / 1024), rel=1e-2)
    assert (paper.local_crop, paper.local_crops) == ((48,) * 3, 8)
    assert (paper.balance, paper.prototypes, paper.momentum) == (
        "sinkhorn", 65_536, 0.992,
    )  # fmt: skip
    assert round(paper.freeze_last * paper.steps) == 1250
    assert round(paper.temp_warmup * paper.steps) == 30 * 1250


@pytest.mark.parametrize(
    ("name", "overrides", "words"),
    [
        ("ibot", {"mask": {"kind": "high"}}, "follow a class token"),
        ("mst", {"encoder": "swin"}, "follow a class token"),
        ("mae", {"mask_ratio": 0.999}, "the nearest is 0.984"),
        ("mae", {"decoder_heads": 5}, "must divide"),
    ],
)
def test_what_cannot_be_is_refused(name, overrides, words):
    with pytest.raises(ValidationError, match=words):
        resolve(kind(name).Settings, "tiny", overrides)


@pytest.mark.parametrize("balance", ["centre", "sinkhorn"])
def test_the_prototypes_rest_at_first(batch, balance):
    method = tiny("dino", freeze_last=0.5, balance=balance)
    method.loss(batch, rng()).total.backward()
    directions = method.student.head.directions
    assert directions.grad.abs().sum() == 0
    assert method.student.head.mlp[0].weight.grad.abs().sum() > 0
    method.step = 2
    method.loss(batch, rng()).total.backward()
    assert directions.grad.abs().sum() > 0
