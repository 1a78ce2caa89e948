"""Windows, shift masks and the bias index, against coordinates worked out by hand."""

import itertools

import numpy as np
import pytest
import torch

from harness.nn.windows import (
    APART,
    cut,
    fit_window,
    offset_index,
    put_back,
    shift_masks,
)

CPU = torch.device("cpu")


def test_a_window_shrinks_to_its_grid_and_is_then_not_shifted():
    assert fit_window((3, 4, 9), 4) == ((3, 4, 4), (0, 0, 2))


@pytest.mark.parametrize("shift", [(0, 0, 0), (1, 1, 1), (0, 1, 0)])
@pytest.mark.parametrize("grid", [(4, 4, 4), (3, 5, 2)])
def test_put_back_undoes_cut(grid, shift):
    x = torch.rand(2, *grid, 3)
    windows = cut(x, (2, 2, 2), shift)
    assert windows.shape[1:] == (8, 3)
    assert torch.equal(put_back(windows, (2, 2, 2), shift, grid), x)


def test_cut_takes_neighbours_in_row_major_order():
    x = torch.arange(4 * 4 * 4.0).view(1, 4, 4, 4, 1)
    first, second = cut(x, (2, 2, 2), (0, 0, 0))[:2, :, 0].tolist()
    assert first == [0, 1, 4, 5, 16, 17, 20, 21]
    assert second == [2, 3, 6, 7, 18, 19, 22, 23]


@pytest.mark.parametrize(
    ("grid", "window", "shift"),
    [((4, 4, 4), (2, 2, 2), (1, 1, 1)), ((5, 2, 6), (3, 2, 3), (1, 0, 1))],
)
def test_only_tokens_that_were_neighbours_before_the_shift_may_attend(
    grid, window, shift
):
    """Each token carries its place; wrapped and unwrapped ones must not mix."""
    padded = [-(-side // n) * n for side, n in zip(grid, window, strict=True)]
    place = torch.tensor(list(itertools.product(*(range(p) for p in padded))))
    windows = cut(place.view(1, *padded, 3).float(), window, shift)
    kind, masks = shift_masks(grid, window, shift, CPU)
    assert len(kind) == len(windows)
    for which, tokens in zip(kind.tolist(), windows.numpy(), strict=True):
        for i, j in itertools.product(range(len(tokens)), repeat=2):
            near = np.all(np.abs(tokens[i] - tokens[j]) < window)
            assert masks[which, i, j] == (0 if near else APART)


def test_most_windows_need_no_mask():
    kind, masks = shift_masks((8, 8, 8), (2, 2, 2), (1, 1, 1), CPU)
    assert (kind == 0).sum() == 3**3
    assert masks.shape == (8, 8, 8)


@pytest.mark.parametrize("window", [(3, 3, 3), (2, 3, 1)])
def test_true_offsets_share_a_row_of_the_table(window):
    index = offset_index(window, 3, "offsets").view(-1, np.prod(window))
    tokens = list(itertools.product(*(range(side) for side in window)))
    for (i, a), (j, b) in itertools.product(enumerate(tokens), repeat=2):
        row = 0
        for left, right in zip(a, b, strict=True):
            row = row * 5 + (left - right + 2)
        assert index[i, j] == row


def test_published_index_of_a_shrunk_window_is_that_of_the_first_tokens():
    full = offset_index((3, 3, 3), 3, "first_tokens").view(27, 27)
    assert torch.equal(full.flatten(), offset_index((3, 3, 3), 3, "offsets"))
    shrunk = offset_index((2, 2, 2), 3, "first_tokens").view(8, 8)
    assert torch.equal(shrunk, full[:8, :8])
    assert not torch.equal(shrunk.flatten(), offset_index((2, 2, 2), 3, "offsets"))
