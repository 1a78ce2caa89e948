"""Rotation prediction: which turns there are, and that they can be told apart."""

import pytest
import torch

from harness.api import Batch, resolve

from .conftest import kind, rng, tiny


@pytest.mark.parametrize("ways", [4, 10, 24])
def test_the_loss_is_the_cross_entropy_of_the_turn(ways, batch):
    method = tiny("rotation", ways=ways, encoder="resnet")
    assert len(method.turns) == ways
    loss = method.loss(batch, rng())
    with torch.no_grad():
        method.head.linear.weight.zero_()  # every turn equally likely
    chance = method.loss(batch, rng()).total
    assert chance.item() == pytest.approx(torch.tensor(float(ways)).log().item())
    assert not torch.equal(loss.total, chance)


def test_all_turns_show_each_crop_in_every_turn():
    method = tiny("rotation", all_turns=True, encoder="resnet").eval()
    seen = []
    method.student.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    volumes = torch.rand(1, 1, 32, 32, 32, generator=rng())
    method.settings = method.settings.model_copy(update={"region": (32, 32, 32)})
    method.loss(Batch(volumes, ("a",)), rng())
    for k in range(4):
        assert torch.equal(seen[0][k : k + 1], torch.rot90(volumes, k, dims=(3, 4)))


def test_what_cannot_be_turned_is_refused():
    settings = kind("rotation").Settings
    with pytest.raises(ValueError, match="an image has 4 quarter turns"):
        resolve(settings, "tiny", {"ways": 10, "encoder": {"dims": 2}})
    with pytest.raises(ValueError, match="equal last two sides"):
        resolve(settings, "tiny", {"crop": (32, 32, 16)})
    with pytest.raises(ValueError, match="equal sides of the crop"):
        resolve(settings, "tiny", {"crop": (16, 32, 32), "ways": 24})
