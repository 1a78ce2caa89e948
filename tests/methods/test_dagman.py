"""DAGMaN: SMIT as its special case, each loss against plain loops, and its ablations."""

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from harness.api import resolve
from harness.nn.masking import random_units
from harness.nn.views import random_view
from harness.run.optimise import make_optimiser

from .conftest import kind, rng, stirred, tiny
from .test_smit import cross_entropy

AS_SMIT = {
    "encoder": {"semantic_attention": None},
    "mask": {"kind": "random", "hints": 0.0},
    "noisy_teacher": False,
    "losses": {"gitd": 0.0},
    "image_token": "average",
    "image_head": "prototype",
}


def train(method, batch, steps):
    optimiser = make_optimiser(method, 1e-2, weight_decay=0.0)
    values = []
    for step in range(steps):
        method.step = step
        loss = method.loss(batch, rng(step)).total
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        method.after_step(step, 10)
        values.append(loss.item())
    return values


def test_without_its_changes_it_is_smit(batch):
    assert train(tiny("dagman", **AS_SMIT), batch, 3) == train(tiny("smit"), batch, 3)


@torch.no_grad()
def reference(method, batch, seed):
    """DAGMaN's losses from METHODS 1.19, one token and one voxel at a time."""
    draws, unit = rng(seed), method.student.encoder.unit
    x = torch.cat([random_view(batch.volumes, (32,) * 3, draws) for _ in range(2)])
    grid = (32 // unit,) * 3
    dropped = random_units(4, grid, 0.7, draws)
    teacher, student = method.teacher.module, method.student
    t = teacher.encoder(x, mask_units=dropped, fill="zero")
    hidden = torch.zeros(4, *grid, dtype=torch.bool)
    n = math.prod(grid)
    for b in range(4):
        row = t.attention[b].flatten().tolist()
        order = sorted(range(n), key=lambda i: -row[i])
        for place in order[int(0.1 * n) : math.ceil(0.7 * n)]:
            hidden[(b, *np.unravel_index(place, grid))] = True
    s = student.encoder(x, mask_units=hidden)

    amip, voxels = 0.0, 0
    x_hat = method.voxel_head(s.maps[-1])
    ampd, tokens = 0.0, 0
    for b in range(4):
        for place in np.ndindex(*grid):
            if not hidden[(b, *place)]:
                continue
            box = (b, 0, *(slice(i * unit, (i + 1) * unit) for i in place))
            amip += (x_hat[box] - x[box]).abs().double().sum().item()
            voxels += unit**3
            at = (b, slice(None), *place)
            z_s = student.patch_head(s.merged[1][at]).tolist()
            z_t = teacher.patch_head(t.merged[1][at]).tolist()
            center = method.patch_targets.center.tolist()
            ampd += cross_entropy(z_s, z_t, center, 0.1, 0.07)
            tokens += 1
    aitd, gitd = 0.0, 0.0
    for own, other in [(0, 2), (1, 3), (2, 0), (3, 1)]:
        z_s = student.image_head(s.cls[own]).tolist()
        z_t = teacher.image_head(t.cls[other]).tolist()
        aitd += cross_entropy(z_s, z_t, method.image_targets.center.tolist(), 0.1, 0.07)
        z_s = student.overall_head(s.maps[-1][own].mean(dim=(1, 2, 3))).tolist()
        z_t = teacher.overall_head(t.maps[-1][other].mean(dim=(1, 2, 3))).tolist()
        center = method.overall_targets.center.tolist()
        gitd += cross_entropy(z_s, z_t, center, 0.1, 0.07)
    return {
        "amip": amip / voxels, "ampd": ampd / tokens, "aitd": aitd / 4, "gitd": gitd / 4,
    }  # fmt: skip


def test_the_losses_are_those_of_a_slow_reference(batch):
    method = tiny("dagman")
    train(method, batch, 2)
    method.step = 3  # past the warm-up of the temperatures
    loss = stirred(method).loss(batch, rng(9))
    want = reference(method, batch, 9)
    have = {k: v.item() for k, v in loss.terms.items() if k != "overlap"}
    assert have == pytest.approx(want, rel=1e-3)
    total = want["amip"] + 0.1 * (want["ampd"] + want["aitd"] + want["gitd"])
    assert loss.total.item() == pytest.approx(total, rel=1e-4)


def watched(method, batch, step=1):
    """What student and teacher are shown: (views, hidden, fill) of each pass."""
    seen = []
    method.settings = method.settings.model_copy(update={"steps": 100})
    method.step = step  # of two, one has a point of the curve `overlap`
    for part in (method.teacher.module.encoder, method.student.encoder):
        part.register_forward_pre_hook(
            lambda _m, args, kwargs: seen.append(
                (args[0], kwargs["mask_units"], kwargs["fill"])
            ),
            with_kwargs=True,
        )
    method.loss(batch, rng())
    return seen


def test_the_teacher_misses_patches_and_the_student_sees_hints(batch):
    teacher, student = watched(tiny("dagman"), batch)
    assert torch.equal(teacher[0], student[0])
    assert teacher[2] == "zero"
    assert student[2] == "token"
    assert teacher[1].flatten(1).sum(dim=1).tolist() == [45] * 4  # ceil(0.7 * 64)
    assert student[1].flatten(1).sum(dim=1).tolist() == [45 - 6] * 4


def test_attention_may_come_from_a_clean_pass(batch):
    noisy, clean, student = watched(tiny("dagman", attention_source="clean"), batch)
    assert noisy[1] is not None
    assert clean[1] is None
    assert student[1].any()


def test_the_noisy_teacher_may_miss_single_tokens(batch):
    teacher, _ = watched(tiny("dagman", patch_dropout_unit="stem_token"), batch)
    assert teacher[1].shape[1:] == (16, 16, 16)  # 32 voxels in patches of 2
    assert teacher[1].flatten(1).sum(dim=1).tolist() == [2868] * 4  # ceil(0.7 * 4096)


def test_a_curve_shows_how_much_of_the_noisy_attention_a_clean_pass_shares(batch):
    """METHODS 1.19, pitfalls: of the ceil(0.7 * 64) = 45 most attended units."""
    method = tiny("dagman")
    noisy, clean, _ = watched(method, batch, step=0)
    assert clean[1] is None
    encoder = method.teacher.module.encoder
    both = [
        encoder(views, mask_units=hidden, fill=fill).attention.flatten(1)
        for views, hidden, fill in (noisy, clean)
    ]
    tops = [[set(row.topk(45).indices.tolist()) for row in each] for each in both]
    want = sum(len(a & b) for a, b in zip(*tops, strict=True)) / (4 * 45)
    assert 0.5 < want < 1
    assert method.loss(batch, rng()).terms["overlap"].item() == pytest.approx(want)
    method.step = 1
    assert "overlap" not in method.loss(batch, rng()).terms
    method = tiny("dagman", noisy_teacher=False)
    assert "overlap" not in method.loss(batch, rng()).terms


def test_the_student_may_see_one_view_only(batch):
    teacher, student = watched(tiny("dagman", symmetric=False), batch)
    assert len(teacher[0]) == 4
    assert len(student[0]) == 2
    assert torch.equal(student[0], teacher[0][:2])


def test_planted_attention_is_masked_and_its_hints_are_not(batch, monkeypatch):
    method = tiny("dagman", mask={"kind": "high", "ratio": 0.25, "hints": 0.0})
    blob = torch.full((4, 4, 4, 4), 1e-4)
    blob[:, 1:3, 1:3, 1:3] = 1.0
    taught = method._teach

    def with_a_blob(x, draws):
        seen = taught(x, draws)
        object.__setattr__(seen.features, "attention", blob)
        return seen

    monkeypatch.setattr(method, "_teach", with_a_blob)
    student = watched(method, batch)[-1]
    assert student[1][:, 1:3, 1:3, 1:3].all()
    method.settings = method.settings.model_copy(
        update={"mask": method.settings.mask.model_copy(update={"hints": 8 / 64})}
    )
    student = watched(method, batch)[-1]
    assert not student[1][:, 1:3, 1:3, 1:3].any()


def test_a_loss_of_weight_zero_has_neither_head_nor_term(batch):
    method = tiny("dagman", losses={"amip": 0.0, "ampd": 0.0})
    assert method.voxel_head is None
    assert method.student.patch_head is None
    loss = method.loss(batch, rng())
    assert loss.terms.keys() == {"aitd", "gitd", "overlap"}
    loss.total.backward()
    assert not [
        n for n, p in method.named_parameters() if p.requires_grad and p.grad is None
    ]


def test_raw_channels_can_be_distilled_without_a_head(batch):
    method = tiny("dagman", patch_head="none")
    assert method.student.patch_head is None
    assert method.patch_targets.center.shape == (48,)
    assert method.loss(batch, rng()).terms["ampd"].isfinite()


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_attention_at_another_stage_has_units_of_its_tokens(batch, stage):
    method = tiny(
        "dagman", encoder={"semantic_attention": {"stage": stage, "heads": 4}}
    )
    hidden = watched(method, batch)[-1][1]
    assert hidden.shape[1:] == (16 >> stage,) * 3


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"encoder": {"semantic_attention": {"stage": 5}}}, "the nearest is 3"),
        ({"encoder": {"semantic_attention": None}}, "follow a class token"),
        ({"mask": {"ratio": 1.0}}, "the nearest is 0.95"),
        ({"losses": {"amip": 0, "ampd": 0, "aitd": 0, "gitd": 0}}, "above 0"),
        ({"crop": (16, 16, 16), "region": (20, 20, 20), "mask": {"ratio": 0.9}},
         "cannot be masked"),
        ({"region": (64, 64, 64)}, "less than twice the crop"),
        ({"losses": {"ampc": 0.1}}, "Extra inputs"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(overrides, words):
    with pytest.raises(ValidationError, match=words):
        resolve(kind("dagman").Settings, "tiny", overrides)


def test_published_settings():
    """METHODS 1.19: 128³ crops, r 0.7, s 0.1, AdamW 8e-4, 80 of 800 epochs warm-up."""
    paper = resolve(kind("dagman").Settings, "paper", {})
    assert paper.crop == (128,) * 3
    assert (paper.mask.ratio, paper.mask.hints, paper.patch_dropout) == (0.7, 0.1, 0.7)
    assert (paper.lr, paper.prototypes, paper.encoder.drop_path) == (8e-4, 8192, 0.1)
    assert paper.encoder.semantic_attention is not None
    assert (paper.encoder.unit_stage, paper.encoder.unit) == (3, 16)
    assert paper.warmup / paper.steps == 80 / 800
    vit = resolve(kind("dagman").Settings, "paper", {"encoder": "vit"})
    assert (vit.encoder.heads, vit.encoder.patch) == (8, 16)
