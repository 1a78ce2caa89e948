import pytest
import torch
from monai.inferers import sliding_window_inference

from harness.run.inference import Windows, centre_crop, sliding_window, softmax_


def network(x: torch.Tensor) -> torch.Tensor:
    """Two classes that depend on where in the window a voxel lies."""
    ramp = torch.arange(x.shape[-1]).float()
    return torch.cat([x * ramp, x.roll(1, dims=2) - ramp], dim=1)


PADDED = {"zero": "constant", "edge": "replicate"}


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.75])
@pytest.mark.parametrize(
    "shape", [(9, 13, 20), (8, 8, 8), (5, 17, 7), (3, 4, 5), (9, 5)]
)
@pytest.mark.parametrize(
    ("weights", "padding"),
    [("constant", "zero"), ("gaussian", "zero"), ("gaussian", "edge")],
)
def test_the_logits_are_those_of_monai(shape, overlap, weights, padding):
    volume = torch.rand(1, *shape, generator=torch.Generator().manual_seed(0))
    size = (8, 6, 8)[: len(shape)]
    windows = Windows(size, overlap, weights, padding)
    seen = []

    def watched(x):
        seen.append(len(x))
        assert x.shape[2:] == size  # every window has the size of the training crop
        return network(x)

    ours = sliding_window(watched, volume, windows, batch=3)
    theirs = sliding_window_inference(
        volume[None], size, 3, network, overlap=overlap, mode=weights,
        padding_mode=PADDED[padding],
    )[0]  # fmt: skip
    assert ours.shape == (2, *shape)
    assert torch.allclose(ours, theirs, atol=1e-5)
    assert sum(seen) == windows.count(shape)


def test_a_gaussian_trusts_the_middle_of_a_window_more():
    """Two windows say 0 and 1: their mean follows the nearer middle."""
    answers = iter([0.0, 1.0])

    def network(x):
        return torch.full_like(x, next(answers))

    windows = Windows((8,), 0.5, "gaussian")
    found = sliding_window(network, torch.zeros(1, 12), windows, batch=1)[0]
    assert found[:4].eq(0).all()
    assert found[8:].eq(1).all()
    assert (found[4:8].diff() > 0).all()
    assert torch.allclose(found[4:8] + found[4:8].flip(0), torch.ones(4))


def test_logits_become_shares_where_they_lie():
    logits = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0)) * 30
    want = logits.softmax(dim=0)
    found = softmax_(logits)
    assert found is logits
    assert torch.allclose(found, want, atol=1e-6)


def test_the_centre_is_cut_or_padded():
    volume = torch.arange(7.0).view(1, 7, 1, 1).expand(1, 7, 2, 4)
    crop = centre_crop(volume, (3, 4, 4))
    assert crop.shape == (1, 3, 4, 4)
    assert crop[0, :, 1, 0].tolist() == [2.0, 3.0, 4.0]
    assert not crop[0, :, 0].any()
    assert not crop[0, :, 3].any()
