"""Draws per sample: shares of a batch get their rows of the whole batch's draws."""

import pytest
import torch

from harness.nn.draws import Share, rows, share


def draw(number, views=1):
    rng = torch.Generator().manual_seed(3)
    return rows(number * views, lambda n: torch.rand(n, 2, generator=rng))


def test_without_a_share_the_draw_is_untouched():
    rng = torch.Generator().manual_seed(3)
    assert torch.equal(draw(4), torch.rand(4, 2, generator=rng))


@pytest.mark.parametrize("count", [2, 3, 6])
def test_shares_put_together_are_the_whole_draw(count):
    whole, regions = draw(6), 6 // count
    parts = []
    for index in range(count):
        with share(Share(index, count, regions)):
            parts.append(draw(regions))
    assert torch.equal(torch.cat(parts), whole)


def test_views_are_shared_out_view_by_view():
    whole = draw(4, views=2).view(2, 4, 2)  # (view, region, ...)
    with share(Share(1, 2, 2)):
        mine = draw(2, views=2).view(2, 2, 2)
    assert torch.equal(mine, whole[:, 2:])


def test_rows_that_no_share_explains_are_refused():
    with share(Share(0, 2, 4)), pytest.raises(ValueError, match="3 rows"):
        draw(3)


def test_a_share_ends_with_its_block():
    with share(Share(0, 2, 4)):
        pass
    assert len(draw(3)) == 3
