"""Masks by rule: counts, places and hints, against plain loops and hand-made cases."""

import math

import pytest
import torch
from pydantic import ValidationError

from harness.nn.mask_rules import MaskSettings, draw_mask
from harness.nn.masking import attended_units, block_units, ranks, reveal

GRID = (4, 4, 4)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def attention(batch=3, grid=GRID, seed=1):
    score = torch.rand(batch, *grid, generator=rng(seed))
    return score / score.flatten(1).sum(1).view(-1, *[1] * len(grid))


def slow_attended(row, first, last):
    """Places of the ranks first + 1 to last, the most attended being rank 1."""
    order = sorted(range(len(row)), key=lambda i: -row[i])
    return {order[rank] for rank in range(first, last)}


def test_high_masks_with_hints_are_the_ranks_between():
    score = attention()
    how = MaskSettings(kind="high", ratio=0.7, hints=0.1)
    hidden = draw_mask(how, 3, GRID, rng(), score).flatten(1)
    for own, row in zip(hidden, score.flatten(1).tolist(), strict=True):
        want = slow_attended(row, 6, 45)  # floor(0.1 * 64), ceil(0.7 * 64)
        assert set(own.nonzero().flatten().tolist()) == want
        hints = slow_attended(row, 0, 6)
        assert not hints & want


def test_low_masks_hide_what_is_attended_least():
    score = attention()
    hidden = draw_mask(MaskSettings(kind="low", ratio=0.25), 3, GRID, rng(), score)
    for own, row in zip(hidden.flatten(1), score.flatten(1).tolist(), strict=True):
        assert set(own.nonzero().flatten().tolist()) == slow_attended(row, 48, 64)


@pytest.mark.parametrize(("rounding", "hidden"), [("up", 23), ("down", 22)])
@pytest.mark.parametrize("kind", ["high", "low", "block", "random"])
def test_the_number_of_hidden_units_is_rounded_as_asked(kind, rounding, hidden):
    """METHODS 1.27: up as in SimMIM and SMIT, down as in AttMask; 0.35 of 64 is 22.4."""
    how = MaskSettings(kind=kind, ratio=0.35, rounding=rounding)
    counts = draw_mask(how, 3, GRID, rng(), attention()).flatten(1).sum(dim=1)
    if kind == "block":  # blocks may fall short, and never hide more
        assert counts.max() <= hidden
    else:
        assert counts.tolist() == [hidden] * 3


def test_guided_masks_by_hand():
    score = torch.tensor([[0.1, 0.4, 0.2, 0.3]]).view(1, 2, 2)
    three = torch.tensor([3])
    assert attended_units(score, three).int().tolist() == [[[0, 1], [1, 1]]]
    assert attended_units(score, three, hints=1).int().tolist() == [[[0, 0], [1, 1]]]
    assert attended_units(score, three, low=True).int().tolist() == [[[1, 0], [1, 1]]]
    none = attended_units(score, torch.tensor([0]))
    assert not none.any()


def test_a_bright_blob_that_is_attended_is_hidden():
    score = torch.full((1, 4, 4, 4), 0.001)
    score[0, 1:3, 1:3, 1:3] = 1.0
    hidden = draw_mask(MaskSettings(kind="high", ratio=0.125), 1, GRID, rng(), score)
    assert hidden[0, 1:3, 1:3, 1:3].all()
    assert hidden.sum() == 8


def test_drawn_hints_stay_visible_and_come_from_the_first_tenth():
    score = attention(batch=64)
    hidden = attended_units(score, torch.full((64,), 20))
    shown = reveal(hidden, score, torch.full((64,), 3), rng(), top=0.1)
    revealed = (hidden & ~shown).flatten(1)
    assert (revealed.sum(dim=1) == 3).all()
    rank = ranks(-score.flatten(1))
    assert rank[revealed].max() < 7  # ceil(0.1 * 64)
    assert len(rank[revealed].unique()) == 7  # any of them
    how = MaskSettings(kind="high", ratio=0.7, hints=0.1, hint_rule="drawn")
    drawn = draw_mask(how, 64, GRID, rng(), score).flatten(1)
    assert (drawn.sum(dim=1) == 45 - 4).all()  # floor(0.1 * 0.7 * 64) hints


def test_how_many_hints_are_drawn_is_a_draw_of_its_own():
    """METHODS 1.16: the ratios of what is hidden and of what is shown again."""
    score = attention(batch=256)
    how = MaskSettings(kind="high", ratio=(0.2, 0.8), hints=0.1, hint_rule="drawn")
    drawn = draw_mask(how, 256, GRID, rng(), score).flatten(1)
    shown = (~drawn & (ranks(-score.flatten(1)) < 7)).sum(dim=1)  # of the first tenth
    assert set(shown.tolist()) == {1, 2, 3, 4, 5}  # floor(0.1 * r * 64)
    ratio = (drawn.sum(dim=1) + shown) / 64
    assert abs(torch.corrcoef(torch.stack([ratio, shown.float()]))[0, 1]) < 0.2


@pytest.mark.parametrize("kind", ["random", "block"])
@pytest.mark.parametrize("grid", [(6, 5), (4, 4, 6)])
def test_ratios_are_drawn_per_sample_or_per_batch_and_some_samples_stay_whole(
    kind, grid
):
    units = math.prod(grid)
    how = MaskSettings(kind=kind, ratio=(0.1, 0.5), probability=0.5, rounding="down")
    hidden = draw_mask(how, 400, grid, rng())
    counts = hidden.flatten(1).sum(dim=1)
    whole = (counts == 0).float().mean().item()
    assert whole == pytest.approx(0.5, abs=0.1)
    assert counts.max() <= 0.5 * units
    assert len(counts.unique()) > 5
    one = how.model_copy(update={"ratio_per": "batch", "kind": "random"})
    counts = draw_mask(one, 50, grid, rng()).flatten(1).sum(dim=1)
    assert len(counts[counts > 0].unique()) == 1


def neighbours(hidden):
    """Mean number of hidden neighbours along the axes of a hidden unit."""
    total = torch.zeros(hidden.shape)
    for axis in range(1, hidden.ndim):
        for step in (1, -1):
            moved = hidden.roll(step, axis).float()
            edge = [slice(None)] * hidden.ndim
            edge[axis] = 0 if step == 1 else -1
            moved[tuple(edge)] = 0
            total += moved
    return total[hidden].mean().item()


@pytest.mark.parametrize("grid", [(10, 10), (6, 6, 6)])
def test_blocks_hang_together_and_never_hide_more_than_asked(grid):
    counts = torch.full((64,), int(0.4 * math.prod(grid)))
    hidden = block_units(grid, counts, rng())
    sums = hidden.flatten(1).sum(dim=1)
    assert (sums <= counts).all()
    assert sums.float().mean() > 0.8 * counts[0]
    scattered = torch.rand(hidden.shape, generator=rng(1)) < 0.4
    assert neighbours(hidden) > 1.3 * neighbours(scattered)
    assert not block_units(grid, torch.zeros(2, dtype=torch.long), rng()).any()


def test_blocks_leave_the_generator_in_one_state():
    one, two = rng(), rng()
    block_units((4, 4), torch.tensor([1]), one)
    block_units((4, 4), torch.tensor([12]), two)
    assert torch.equal(one.get_state(), two.get_state())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ratio": 1.0}, "the nearest is 0.95"),
        ({"ratio": 0.0}, "nothing hidden there is nothing to predict"),
        ({"ratio": (0.5, 0.1)}, "must lie between 0 and 1"),
        ({"kind": "low", "hints": 0.1}, "hints are for masks of kind high, not low"),
        ({"kind": "high", "ratio": 0.3, "hints": 0.4}, "leave nothing"),
        ({"kind": "atention"}, "Input should be"),
    ],
)
def test_masks_that_cannot_be_are_refused(settings, words):
    with pytest.raises(ValidationError, match=words):
        MaskSettings(**settings)
