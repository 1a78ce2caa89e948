"""SimCLR, BYOL, MoCo v3 and their views: objectives against references written out."""

import math

import pytest
import torch

from harness.api import Batch, resolve

from .conftest import kind, rng, tiny


def two_views(method, batch, seed):
    g, cfg = rng(seed), method.settings
    return [cfg.views(batch.volumes, cfg.crop, g) for _ in range(2)]


def unit(x):
    return x / x.square().sum(dim=1, keepdim=True).sqrt()


def found_by_name(codes_q, codes_k, temperature):
    """Mean over i of -log softmax_j(q_i·k_j / T)[i], by a loop."""
    q, k = unit(codes_q).tolist(), unit(codes_k).tolist()
    total = 0.0
    for i, one in enumerate(q):
        scores = [
            math.exp(sum(a * b for a, b in zip(one, other, strict=True)) / temperature)
            for other in k
        ]
        total -= math.log(scores[i] / sum(scores))
    return total / len(q)


def test_views_are_cut_from_the_region_and_differ(batch):
    method = tiny("simclr")
    one, two = two_views(method, batch, 0)
    assert one.shape == two.shape == (2, 1, 32, 32, 32)
    assert not torch.equal(one, two)


@pytest.mark.parametrize("name", ["simclr", "byol", "moco_v3"])
def test_crops_that_may_share_too_little_are_refused(name):
    with pytest.raises(ValueError, match="may share less than 50% of an axis"):
        resolve(kind(name).Settings, "tiny", {"region": (64, 64, 64)})
    with pytest.raises(ValueError, match="equal last two sides"):
        resolve(
            kind(name).Settings, "tiny", {"crop": (32, 32, 16), "region": (40, 40, 20)}
        )
    with pytest.raises(ValueError, match="the nearest batch is 2"):
        resolve(kind(name).Settings, "tiny", {"batch": 1})


def test_simclr_is_nt_xent_of_the_codes_of_both_views(batch):
    method = tiny("simclr")
    x = torch.cat(two_views(method, batch, 3))
    codes = unit(method.head(method.student(x).pooled)).tolist()
    total = 0.0
    for i in range(4):
        e = [
            math.exp(sum(a * b for a, b in zip(codes[i], other, strict=True)) / 0.5)
            for other in codes
        ]
        total -= math.log(e[(i + 2) % 4] / (sum(e) - e[i]))
    assert method.loss(batch, rng(3)).total.item() == pytest.approx(total / 4, rel=1e-4)


def test_byol_predicts_the_target_of_the_other_view(batch):
    method = tiny("byol")
    one, two = two_views(method, batch, 3)
    q1, q2 = (method.predict(method.online(x)) for x in (one, two))
    z1, z2 = (method.teacher(x) for x in (one, two))
    want = sum(
        (2 - 2 * (unit(q) * unit(z)).sum(dim=1)).mean() for q, z in ((q1, z2), (q2, z1))
    )
    assert method.loss(batch, rng(3)).total.item() == pytest.approx(
        want.item(), rel=1e-5
    )


def test_byols_second_view_may_be_changed_otherwise(batch):
    plain = {"mirror": 0, "turn": False, "jitter": {"blur_chance": 1.0}}
    method = tiny("byol", second_views=plain)
    assert "second_views" not in tiny("byol").settings.model_dump()  # keys stay
    seen = []
    method.online.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    method.loss(batch, rng(3))
    draws, cfg = rng(3), method.settings
    one = cfg.views(batch.volumes, cfg.crop, draws)
    two = cfg.second_views(batch.volumes, cfg.crop, draws)
    assert torch.equal(seen[0], one)
    assert torch.equal(seen[1], two)
    with pytest.raises(ValueError, match="equal last two sides"):
        tiny("byol", views={"turn": False}, second_views={}, crop=(32, 32, 16),
             region=(40, 40, 20))  # fmt: skip


def test_moco_v3_finds_its_key_among_the_batch(batch):
    method = tiny("moco_v3")
    one, two = two_views(method, batch, 3)
    q1, q2 = (method.predict(method.query(x)) for x in (one, two))
    k1, k2 = (method.teacher(x) for x in (one, two))
    want = 0.4 * (found_by_name(q1, k2, 0.2) + found_by_name(q2, k1, 0.2))
    assert method.loss(batch, rng(3)).total.item() == pytest.approx(want, rel=1e-4)


def test_the_target_normalises_by_its_own_batch(batch):
    method = tiny("byol")
    x, _ = two_views(method, batch, 0)
    hidden = method.teacher.module.project.layers[:2](
        method.teacher.module.encoder(x).pooled
    )
    assert hidden.mean(dim=0).abs().max() < 1e-4


def test_moco_v3_leaves_a_vits_patch_embedding_as_drawn(batch):
    method = tiny("moco_v3")
    assert method.settings.encoder.kind == "vit"
    assert not any(p.requires_grad for p in method.query.encoder.stem.parameters())
    method.loss(batch, rng()).total.backward()
    assert all(p.grad is None for p in method.query.encoder.stem.parameters())
    other = tiny("moco_v3", encoder="resnet")
    assert all(p.requires_grad for p in other.query.encoder.stem.parameters())


@pytest.mark.parametrize("name", ["simclr", "byol", "moco_v3"])
def test_images_work_too(name):
    method = tiny(name, encoder={"kind": "resnet", "dims": 2})
    images = Batch(torch.rand(3, 1, 40, 40, generator=rng()), ("a", "b", "c"))
    assert method.loss(images, rng()).total.isfinite()
