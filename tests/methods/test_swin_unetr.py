"""Tang's pretraining: each term against a reference, corruption, and the heads."""

import math

import pytest
import torch

from harness.api import resolve
from harness.nn.corrupt import cut_out
from harness.nn.orient import in_plane, turn_each

from .conftest import kind, rng, tiny


def only(term):
    names = ("inpainting", "contrast", "rotation")
    return {f"{name}_weight": float(name == term) for name in names}


@pytest.fixture
def seen(batch):
    """Encoder input, targets and turns of one loss with seed 3."""
    method = tiny("swin_unetr", cut=0.0, encoder="resnet").eval()
    inputs = []
    method.student.register_forward_pre_hook(lambda _, x: inputs.append(x[0]))
    loss = method.loss(batch, rng(3))
    return method, inputs[0], loss


def test_views_are_turned_copies_of_one_place(seen):
    _, x, _ = seen
    one, two = x.chunk(2)
    for a, b in zip(one, two, strict=True):
        turned = [torch.rot90(a, k, dims=(2, 3)) for k in range(4)]
        assert any(torch.equal(each, b) for each in turned)


def test_the_terms_against_references_without_corruption(seen):
    method, x, loss = seen
    features = method.student(x)
    gap = (method.restore(features.maps[-1]) - x).abs().mean()
    assert loss.terms["inpainting"].item() == pytest.approx(gap.item(), rel=1e-5)
    codes = method.code_head(features.pooled)
    codes = (codes / codes.norm(dim=1, keepdim=True)).tolist()
    total = 0.0
    for i in range(4):
        e = [
            math.exp(sum(a * b for a, b in zip(codes[i], other, strict=True)) / 0.5)
            for other in codes
        ]
        total -= math.log(e[(i + 2) % 4] / (sum(e) - e[i]))
    assert loss.terms["contrast"].item() == pytest.approx(total / 4, rel=1e-4)
    # Which turn each view had is one of four, so its cross-entropy is one of 4^4 sums.
    log_p = method.turn_head(features.pooled).log_softmax(dim=1)
    sums = {
        round(-sum(log_p[i, k].item() for i, k in enumerate(ks)) / 4, 4)
        for ks in torch.cartesian_prod(*[torch.arange(4)] * 4).tolist()
    }
    assert round(loss.terms["rotation"].item(), 4) in sums


def test_what_is_restored_is_the_turned_view_before_corruption(batch, monkeypatch):
    method = tiny("swin_unetr", encoder="resnet", cut=0.5).eval()
    corrupt, given = method.corrupt, []

    def watched(x, draws):
        given.extend([x.clone(), corrupt(x, draws)])
        return given[1]

    monkeypatch.setattr(method, "corrupt", watched)
    loss = method.loss(batch, rng(3))
    clean, corrupted = given
    assert (clean != corrupted).float().mean() > 0.05
    restored = method.restore(method.student(corrupted).maps[-1])
    want = (restored - clean).abs().mean().item()
    assert loss.terms["inpainting"].item() == pytest.approx(want, rel=1e-5)


def test_weights_choose_the_terms(batch):
    for term in ("inpainting", "contrast", "rotation"):
        loss = tiny("swin_unetr", **only(term)).loss(batch, rng(3))
        assert torch.equal(loss.total, loss.terms[term])


def test_the_turn_that_was_made_is_the_label(batch):
    method = tiny("swin_unetr", cut=0.0, **only("rotation")).eval()
    inputs = []
    method.student.register_forward_pre_hook(lambda _, x: inputs.append(x[0]))
    # Bright at the start of the last axis, so that a turn can be read off the view.
    volumes = torch.zeros_like(batch.volumes)
    volumes[..., :20] = 1.0
    volumes[..., :20, :20] = 0.5
    asked = []
    method.turn_head.register_forward_hook(lambda *io: asked.append(io[2]))
    loss = method.loss(type(batch)(volumes, batch.case_ids), rng(3))
    labels = []
    for view in inputs[0]:
        corner = [
            view[0, 0, i, j].item() for i, j in ((0, 0), (0, -1), (-1, -1), (-1, 0))
        ]
        labels.append(corner.index(0.5))
    # rot90 once brings the first corner to the last row: corners walk against the list.
    labels = torch.tensor([{0: 0, 3: 1, 2: 2, 1: 3}[each] for each in labels])
    want = torch.nn.functional.cross_entropy(asked[0], labels)
    assert loss.terms["rotation"].item() == pytest.approx(want.item(), rel=1e-5)


def test_corruption_changes_at_most_twice_its_share_and_pastes_clean_donors():
    method = tiny("swin_unetr")
    x = torch.rand(8, 1, 32, 32, 32, generator=rng())
    y = method.corrupt(x, rng())
    changed = (y != x).flatten(1).float().mean(dim=1)
    assert changed.max() <= 0.6
    assert changed.max() > 0.05
    donors = torch.cat([view.roll(1, dims=0) for view in x.chunk(2)])
    noise = (y != x) & (y != donors)
    pasted = (y != x) & (y == donors)
    assert pasted.any()
    assert noise.any()
    draws = rng()
    how = {"most": 0.3, "low": 0.05, "high": 0.25}  # METHODS 1.10
    _, over = (cut_out(8, (32, 32, 32), draws, **how) for _ in range(2))
    assert torch.equal(y[over], donors[over])  # a donor is not corrupted itself
    assert y.min() >= 0
    assert y.max() <= 1


def test_token_heads_read_two_tokens_as_released(batch):
    method = tiny("swin_unetr", token_heads=True, encoder="vit").eval()
    read = {}
    method.turn_head.register_forward_pre_hook(lambda _, x: read.update(turn=x[0]))
    method.code_head.register_forward_pre_hook(lambda _, x: read.update(code=x[0]))
    maps = []
    method.student.register_forward_hook(lambda *io: maps.append(io[2].maps[-1]))
    method.loss(batch, rng(3))
    assert torch.equal(read["turn"], maps[0].flatten(2)[..., 0])
    assert torch.equal(read["code"], maps[0].flatten(2)[..., 1])


def test_a_vits_heads_read_its_class_token(batch):
    method = tiny("swin_unetr", encoder="vit").eval()
    read, cls = [], []
    method.turn_head.register_forward_pre_hook(lambda _, x: read.append(x[0]))
    method.student.register_forward_hook(lambda *io: cls.append(io[2].cls))
    method.loss(batch, rng(3))
    assert torch.equal(read[0], cls[0])


def test_a_crop_that_cannot_be_turned_is_refused():
    with pytest.raises(ValueError, match="equal last two sides"):
        resolve(
            kind("swin_unetr").Settings, "tiny",
            {"crop": (32, 32, 16), "region": (32, 32, 16)},
        )  # fmt: skip


def test_turns_in_the_plane_are_the_ones_of_the_paper():
    x = torch.rand(4, 1, 4, 4, 4)
    label = torch.tensor([0, 1, 2, 3])
    for k, each in enumerate(turn_each(x, label, in_plane(3))):
        assert torch.equal(each, torch.rot90(x[k], k, dims=(2, 3)))
