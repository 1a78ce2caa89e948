import pytest
import torch
from monai.inferers import sliding_window_inference

from harness.run.inference import centre_crop, sliding_window


def network(x: torch.Tensor) -> torch.Tensor:
    """Two classes that depend on where in the window a voxel lies."""
    ramp = torch.arange(x.shape[-1]).float()
    return torch.cat([x * ramp, x.roll(1, dims=2) - ramp], dim=1)


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.75])
@pytest.mark.parametrize("shape", [(9, 13, 20), (8, 8, 8), (5, 17, 7), (3, 4, 5)])
def test_the_logits_are_those_of_monai(shape, overlap):
    volume = torch.rand(1, *shape, generator=torch.Generator().manual_seed(0))
    ours = sliding_window(network, volume, (8, 8, 8), overlap=overlap, batch=3)
    theirs = sliding_window_inference(
        volume[None], (8, 8, 8), 3, network, overlap=overlap, mode="constant"
    )[0]
    assert ours.shape == (2, *shape)
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_every_window_has_the_size_of_the_training_crop():
    seen = []

    def watching(x):
        seen.append(tuple(x.shape[1:]))
        return x

    sliding_window(watching, torch.zeros(1, 11, 4, 9), (6, 6, 6), overlap=0.5)
    assert set(seen) == {(1, 6, 6, 6)}


def test_the_centre_is_cut_or_padded():
    volume = torch.arange(7.0).view(1, 7, 1, 1).expand(1, 7, 2, 4)
    crop = centre_crop(volume, (3, 4, 4))
    assert crop.shape == (1, 3, 4, 4)
    assert crop[0, :, 1, 0].tolist() == [2.0, 3.0, 4.0]
    assert not crop[0, :, 0].any()
    assert not crop[0, :, 3].any()
