"""What intensities an encoder is shown, and that plain settings are written as before."""

import pytest
import torch

from harness.nn.build import build_encoder
from harness.nn.features import network_input
from harness.nn.settings import ResNetSettings, SwinSettings, ViTSettings
from harness.schema.errors import DataError


def shown(x, multiple=1, **settings):
    return network_input(x, multiple, ResNetSettings(**settings))


def test_channels_are_standardised_each_by_its_own_numbers():
    x = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    got = shown(x, dims=2, normalise={"kind": "per_channel", "mean": mean, "std": std})
    for channel in range(3):
        want = (x[:, channel] - mean[channel]) / std[channel]
        assert torch.allclose(got[:, channel], want)
    with pytest.raises(DataError, match="normalises 3 channels, and the image has 1"):
        shown(x[:, :1], dims=2,
              normalise={"kind": "per_channel", "mean": mean, "std": std})  # fmt: skip


def test_the_foreground_gets_mean_0_and_spread_1_and_the_rest_stays_0():
    x = torch.rand(2, 2, 6, 6, 6, generator=torch.Generator().manual_seed(0))
    x[:, :, :2] = 0
    x[1] *= 3
    got = shown(x, normalise={"kind": "foreground"})
    assert (got[:, :, :2] == 0).all()
    for image in range(2):
        for channel in range(2):
            seen = got[image, channel, 2:]
            assert seen.mean().abs() < 1e-5
            assert seen.std(correction=0) == pytest.approx(1, abs=1e-4)
    flat = torch.zeros(1, 1, 4, 4, 4)
    flat[..., 1] = 0.5
    assert (shown(flat, normalise={"kind": "foreground"}).abs() < 1e-3).all()
    assert (shown(flat * 0, normalise={"kind": "foreground"}) == 0).all()


def test_intensity_and_padding_come_first():
    x = torch.rand(1, 1, 5, 5, 5, generator=torch.Generator().manual_seed(0))
    got = shown(x, 4, intensity=(-1, 1))
    assert got.shape == (1, 1, 8, 8, 8)
    assert torch.allclose(got[..., :5, :5, :5], x * 2 - 1)
    assert (got[..., 5:] == -1).all()


@pytest.mark.parametrize("kind", [SwinSettings, ViTSettings, ResNetSettings])
def test_settings_that_are_not_used_are_not_written(kind):
    """Else every result from before they were there would get another key."""
    written = kind().model_dump(mode="json")
    assert not {"normalise", "merging", "norm_eps"} & set(written)
    scaled = kind(normalise={"kind": "foreground"}).model_dump(mode="json")
    assert scaled["normalise"] == {"kind": "foreground"}
    assert kind.model_validate(scaled).normalise is not None


def test_a_vits_norms_all_take_the_epsilon():
    small = ViTSettings(width=12, depth=4, heads=3, patch=4, norm_eps=1e-3)
    encoder = build_encoder(small, 1, torch.Generator().manual_seed(0))
    norms = [each for each in encoder.modules() if isinstance(each, torch.nn.LayerNorm)]
    assert len(norms) == 9
    assert {each.eps for each in norms} == {1e-3}
