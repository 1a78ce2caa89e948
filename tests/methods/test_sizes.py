"""Numbers of parameters that METHODS names, of networks that are built on no memory."""

import pytest
import torch

from harness.nn.build import build_encoder
from harness.nn.decoder import build_decoder
from harness.nn.fusion import Fusion
from harness.nn.settings import SwinSettings

from .test_paper import built, millions
from .test_presets import settings_of


def encoder_of(preset):
    cfg = settings_of(preset)
    with torch.device("meta"):
        return build_encoder(cfg.encoder, cfg.channels, torch.Generator("cpu"))


def segmentation_net(settings):
    draws = torch.Generator("cpu")
    with torch.device("meta"):
        encoder = build_encoder(settings, 1, draws)
        return torch.nn.ModuleList([encoder, build_decoder(encoder, 1, 14, draws)])


@pytest.mark.parametrize(
    ("settings", "published"),
    [
        (SwinSettings(), 64.7),  # SMIT's, depths (2, 2, 8, 2)
        (settings_of("swinunetr_tang").encoder, 62.1),  # SwinUNETR-48
    ],
)
def test_segmentation_networks_are_of_the_published_size(settings, published):
    """METHODS 0."""
    assert millions(segmentation_net(settings)) == pytest.approx(published, rel=0.003)


def test_extractors_and_their_fusion_are_of_the_published_size():
    """METHODS 4.10: 23.5 M, 21.7 M, DVME with all three 72.4 M; probes 10.2 K, 7.7 K."""
    resnet, vit = encoder_of("resnet50_simclr"), encoder_of("dino_vits8")
    assert millions(resnet) == pytest.approx(23.5, abs=0.05)
    assert millions(vit) == pytest.approx(21.7, abs=0.05)
    with torch.device("meta"):
        fusion = Fusion((2048, 2048, 1536), 5, torch.Generator("cpu"), tokens="scalar")
    whole = 2 * millions(resnet) + millions(vit) + millions(fusion)
    assert whole == pytest.approx(72.4, abs=0.05)
    assert resnet.pooled_width * 5 + 5 == 10_245
    assert 4 * vit.pooled_width * 5 + 5 == 7_685  # class tokens of four blocks


def test_simmims_head_paints_a_cube_of_32_from_768_channels():
    """METHODS 1.13: 25 M parameters."""
    assert millions(built("simmim").head) == pytest.approx(25, abs=0.25)
