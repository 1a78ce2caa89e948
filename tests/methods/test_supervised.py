"""Supervised pretraining: what is cut from images and labels, and its two losses."""

import pytest
import torch
from torch.nn import functional

from harness.api import Batch, LabelledSource, resolve
from harness.nn import collective, draws
from harness.nn.objectives import dice_ce

from ..ranks import in_ranks
from .conftest import kind, rng


def made(source, **overrides):
    found = kind("supervised")
    settings = resolve(found.Settings, "tiny", overrides)
    return found(settings, 1, rng(1), source).train()


@pytest.mark.parametrize("dims", [2, 3])
def test_labels_stay_on_their_voxels_through_cut_and_flip(dims):
    method = made(
        LabelledSource("segmentation", 9), encoder={"dims": dims}, flip=0.5,
        scale_shift=0.0,
    )  # fmt: skip
    labels = torch.randint(0, 9, (4, *[40] * dims), generator=rng(0), dtype=torch.uint8)
    x, y = method._crops(labels.unsqueeze(1) / 8, labels, rng(3))
    assert x.shape == (4, 1, *[32] * dims)
    assert y.shape == (4, *[32] * dims)
    assert torch.equal((x[:, 0] * 8).round().long(), y)
    plain = made(LabelledSource("segmentation", 9), encoder={"dims": dims})
    unturned, _ = plain._crops(labels.unsqueeze(1) / 8, labels, rng(3))
    assert not torch.equal(x, unturned)


@pytest.mark.parametrize("kind_of_source", ["segmentation", "classification"])
def test_the_loss_is_that_of_its_logits(kind_of_source):
    source = LabelledSource(kind_of_source, 3)
    method = made(source, scale_shift=0.0, crop=(32,) * 3, region=(32,) * 3)
    x = torch.rand(2, 1, 32, 32, 32, generator=rng(0))
    if kind_of_source == "segmentation":
        y = torch.randint(0, 3, (2, 32, 32, 32), generator=rng(2))
        logits = method.top(x, method.student(x))
        want = dice_ce(logits, y)
    else:
        y = torch.tensor([2, 0])
        logits = method.top(method.student(x).pooled)
        want = functional.cross_entropy(logits, y)
    found = method.loss(Batch(x, ("a", "b"), y), rng(5))
    torch.testing.assert_close(found.total, want)
    with pytest.raises(ValueError, match="needs labels"):
        method.loss(Batch(x, ("a", "b")), rng(5))


def losses():
    """The loss of four regions, of which this rank has its share."""
    method = made(LabelledSource("segmentation", 2), flip=0.5)
    volumes = torch.rand(4, 1, 40, 40, 40, generator=rng(9))
    labels = (volumes[:, 0] > 0.5).to(torch.uint8)
    world, rank = collective.world_size(), collective.rank()
    mine = slice(rank * 4 // world, (rank + 1) * 4 // world)
    batch = Batch(volumes[mine], tuple("abcd")[mine], labels[mine])
    with draws.share(draws.Share(rank, world, 4 // world)), torch.no_grad():
        loss = method.loss(batch, rng(4)).total
    return collective.mean_over_ranks(loss.double()).item()


def test_two_ranks_see_what_one_does(tmp_path):
    assert in_ranks(2, tmp_path, losses)[0] == pytest.approx(losses(), abs=1e-5)
