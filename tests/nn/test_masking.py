"""Masks over units: counts, constancy inside a unit, chance."""

import math

import pytest
import torch

from harness.nn.masking import random_units, shared_ranks, upsample_units


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("grid", "ratio", "hidden"),
    [
        ((6, 6, 6), 0.7, 152),  # 151.2 rounded up: 96 voxels at units of 16
        ((8, 8, 8), 0.7, 359),  # 358.4
        ((2, 3, 5), 0.1, 3),  # 0.1 * 30 is a little more than 3 in binary
        ((4, 4, 8), 0.6, 77),
        ((2, 2, 2), 0.0, 0),
        ((2, 2, 2), 1.0, 8),
    ],
)
def test_every_sample_hides_the_exact_number_of_units(grid, ratio, hidden):
    mask = random_units(5, grid, ratio, rng())
    assert mask.shape == (5, *grid)
    assert mask.dtype == torch.bool
    assert mask.flatten(1).sum(dim=1).tolist() == [hidden] * 5


def test_samples_differ_and_the_seed_decides():
    mask = random_units(3, (4, 4, 4), 0.5, rng())
    assert torch.equal(mask, random_units(3, (4, 4, 4), 0.5, rng(), device="cpu"))
    assert not torch.equal(mask, random_units(3, (4, 4, 4), 0.5, rng(1)))
    assert not torch.equal(mask[0], mask[1])


def test_every_unit_is_hidden_equally_often():
    share = random_units(4000, (2, 2, 2), 0.5, rng()).float().mean(dim=0)
    spread = 4 * math.sqrt(0.25 / 4000)
    assert (share - 0.5).abs().max() < spread


@pytest.mark.parametrize("ratio", [-0.1, 1.1])
def test_ratio_outside_0_to_1_is_refused(ratio):
    with pytest.raises(ValueError, match="between 0 and 1"):
        random_units(1, (2, 2, 2), ratio, rng())


def test_voxels_of_a_unit_share_its_decision():
    mask = random_units(2, (2, 3, 4), 0.4, rng())
    voxels = upsample_units(mask, 4)
    assert voxels.shape == (2, 1, 8, 12, 16)
    assert voxels.dtype == torch.bool
    for b in range(2):
        for d in range(8):
            for h in range(12):
                for w in range(16):
                    assert voxels[b, 0, d, h, w] == mask[b, d // 4, h // 4, w // 4]


def test_shared_ranks_of_two_maps_by_hand():
    one = torch.tensor([[[4.0, 3.0], [2.0, 1.0]]] * 3)
    other = torch.tensor(
        [[[4.0, 3.0], [2.0, 1.0]], [[4.0, 1.0], [3.0, 2.0]], [[1.0, 2.0], [3.0, 4.0]]]
    )
    assert shared_ranks(one, other, 0.5).tolist() == [1.0, 0.5, 0.0]
    assert shared_ranks(one, other, 0.51).tolist() == pytest.approx([1, 2 / 3, 2 / 3])
    assert shared_ranks(one, other, 1.0).tolist() == [1.0, 1.0, 1.0]
