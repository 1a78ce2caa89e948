import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from harness.api import resolve
from harness.nn.masking import random_units
from harness.run.optimise import make_optimiser

from .conftest import kind, rng, stirred, tiny


def trained(batch, steps=3):
    """A method whose teacher, centres and student have moved apart."""
    method = tiny("smit")
    optimiser = make_optimiser(method, 1e-2, weight_decay=0.0)
    for step in range(steps):
        method.loss(batch, rng(step)).total.backward()
        optimiser.step()
        optimiser.zero_grad()
        method.after_step(step, 10)
    return stirred(method)


def cross_entropy(student, teacher, center, t_s, t_t):
    """H(P_t, P_s) of two lists of logits, in plain Python."""

    def softmax(values):
        top = max(values)
        powers = [math.exp(v - top) for v in values]
        total = sum(powers)
        return [p / total for p in powers]

    p_s = softmax([z / t_s for z in student])
    p_t = softmax([(z - c) / t_t for z, c in zip(teacher, center, strict=True)])
    return -sum(t * math.log(s) for t, s in zip(p_t, p_s, strict=True))


@torch.no_grad()
def reference(method, batch, seed, t_t):
    """SMIT's loss from METHODS 1.18, one token and one voxel at a time."""
    draws, side, unit = rng(seed), 32, method.student.encoder.unit
    views = []
    for _ in range(2):
        starts = [torch.randint(0, 9, (2,), generator=draws).tolist() for _ in range(3)]
        views += [
            batch.volumes[b][
                :,
                starts[0][b] : starts[0][b] + side,
                starts[1][b] : starts[1][b] + side,
                starts[2][b] : starts[2][b] + side,
            ]
            for b in range(2)
        ]
    x = torch.stack(views)  # u of a, u of b, v of a, v of b
    grid = (side // unit,) * 3
    hidden = random_units(4, grid, 0.7, draws)
    s = method.student.encoder(x, mask_units=hidden)
    teacher = method.teacher.module
    t = teacher.encoder(x)

    mip, voxels = 0.0, 0
    x_hat = method.voxel_head(s.merged[-1])
    for b in range(4):
        for place in np.ndindex(*grid):
            if hidden[(b, *place)]:
                box = (b, 0, *(slice(i * unit, (i + 1) * unit) for i in place))
                mip += (x_hat[box] - x[box]).abs().double().sum().item()
                voxels += unit**3

    mpd, count = 0.0, 0
    center = method.patch_targets.center.tolist()
    for b in range(4):
        for place in np.ndindex(*grid):
            if hidden[(b, *place)]:
                token = (b, slice(None), *place)
                z_s = method.student.patch_head(s.merged[1][token]).tolist()
                z_t = teacher.patch_head(t.merged[1][token]).tolist()
                mpd += cross_entropy(z_s, z_t, center, 0.1, t_t)
                count += 1

    itd = 0.0
    center = method.image_targets.center.tolist()
    for own, other in [(0, 2), (1, 3), (2, 0), (3, 1)]:
        z_s = method.student.image_head(s.merged[1][own].mean(dim=(1, 2, 3)))
        z_t = teacher.image_head(t.merged[1][other].mean(dim=(1, 2, 3)))
        itd += cross_entropy(z_s.tolist(), z_t.tolist(), center, 0.1, t_t) / 4
    return {"mip": mip / voxels, "mpd": mpd / count, "itd": itd}


def test_the_loss_is_that_of_a_slow_reference(batch):
    method = trained(batch)
    loss = method.loss(batch, rng(9))
    want = reference(method, batch, 9, t_t=0.07)  # 3 steps of 4 are past the warm-up
    assert {k: v.item() for k, v in loss.terms.items()} == pytest.approx(want, rel=1e-4)
    total = want["mip"] + 0.1 * want["mpd"] + 0.1 * want["itd"]
    assert loss.total.item() == pytest.approx(total, rel=1e-5)


def test_the_centres_move_after_the_step_and_not_in_the_loss(batch):
    method = tiny("smit")
    teacher_logits = {}
    for head in ("patch_head", "image_head"):
        getattr(method.teacher.module, head).register_forward_hook(
            lambda _m, _i, out, head=head: teacher_logits.update({head: out})
        )
    method.loss(batch, rng())
    assert not method.patch_targets.center.any()
    method.after_step(0, 10)
    for head, targets in (
        ("patch_head", method.patch_targets),
        ("image_head", method.image_targets),
    ):
        mean = teacher_logits[head].flatten(0, -2).mean(dim=0)
        assert torch.allclose(targets.center, 0.1 * mean, atol=1e-6)


def test_temperatures_rise_by_the_global_step_and_the_patches_later():
    method = tiny("smit", steps=100)
    seen = {}
    for step in (0, 3, 6, 9, 12):
        cfg = method.settings
        seen[step] = (cfg.temperature(step), cfg.temperature(step, delay=0.06))
    assert seen[0] == (0.04, 0.04)
    assert seen[3] == pytest.approx((0.055, 0.04))
    assert seen[6] == pytest.approx((0.07, 0.04))
    assert seen[9] == pytest.approx((0.07, 0.055))
    assert seen[12] == pytest.approx((0.07, 0.07))


def test_the_teacher_sees_clean_views_and_the_student_each_its_own_mask(batch):
    method = tiny("smit")
    seen = []
    for part in (method.student.encoder, method.teacher.module.encoder):
        part.register_forward_pre_hook(
            lambda _m, args, kwargs: seen.append((args[0], kwargs["mask_units"])),
            with_kwargs=True,
        )
    method.loss(batch, rng())
    (student_x, hidden), (teacher_x, clean) = seen
    assert clean is None
    assert torch.equal(student_x, teacher_x)
    assert hidden.flatten(1).sum(dim=1).tolist() == [math.ceil(0.7 * 64)] * 4
    assert not torch.equal(hidden[:2], hidden[2:])


def test_views_that_might_not_overlap_are_refused():
    with pytest.raises(ValidationError, match="less than twice the crop"):
        resolve(kind("smit").Settings, "tiny", {"region": (64, 64, 64)})
    encoder = {"depths": (2,), "heads": (1,)}
    with pytest.raises(ValidationError, match="needs two stages"):
        resolve(kind("smit").Settings, "tiny", {"encoder": encoder})
