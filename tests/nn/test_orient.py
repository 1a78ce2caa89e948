"""Quarter turns against torch.rot90 and the group they form."""

import pytest
import torch

from harness.nn.orient import about_axes, in_plane, of_the_cube, turn, turn_each


@pytest.mark.parametrize("dims", [2, 3])
def test_turns_in_the_plane_are_those_of_rot90(dims):
    x = torch.randn(2, 1, *range(3, 3 + dims))
    for k, how in enumerate(in_plane(dims)):
        assert torch.equal(turn(x, how), torch.rot90(x, k, dims=(-2, -1)))


def test_ten_turns_about_the_axes_are_those_of_rot90():
    x = torch.randn(1, 2, 3, 4, 5)
    turns = about_axes()
    assert torch.equal(turn(x, turns[0]), x)
    place = 1
    for plane in ((3, 4), (2, 4), (2, 3)):
        for k in (1, 2, 3):
            assert torch.equal(turn(x, turns[place]), torch.rot90(x, k, dims=plane))
            place += 1
    assert place == len(turns) == 10


def test_the_cube_has_24_rotations_and_no_reflection():
    x = torch.arange(27.0).view(1, 1, 3, 3, 3)
    turns = of_the_cube()
    seen = {tuple(turn(x, how).flatten().tolist()) for how in turns}
    assert len(turns) == len(seen) == 24
    assert torch.equal(turn(x, turns[0]), x)
    assert set(about_axes()) <= set(turns)
    assert tuple(x.flip(2).flatten().tolist()) not in seen
    # closed: a turn after a turn is one of them
    twice = {
        tuple(turn(turn(x, a), b).flatten().tolist()) for a in turns for b in turns
    }
    assert twice == seen


def test_each_sample_gets_its_own_turn():
    x = torch.randn(5, 2, 4, 4, 4)
    label = torch.tensor([3, 0, 9, 3, 5])
    turned = turn_each(x, label, about_axes())
    for i, k in enumerate(label.tolist()):
        assert torch.equal(turned[i : i + 1], turn(x[i : i + 1], about_axes()[k]))
