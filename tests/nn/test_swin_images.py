"""The Swin encoder on images, against MONAI's, and with semantic attention."""

import pytest
import torch
from pydantic import ValidationError

from harness.nn.build import build_encoder
from harness.nn.settings import SemanticSettings, SwinSettings

from .test_swin import monai_state, rng

SMALL = {"width": 8, "depths": (1, 2, 1), "heads": (1, 2, 2), "window": 2}


def swin(**settings):
    chosen = SwinSettings(**{**SMALL, "drop_path": 0.0, **settings})
    return build_encoder(chosen, 1, rng()).eval()


def test_images_agree_with_monai():
    monai = pytest.importorskip("monai.networks.nets.swin_unetr")
    ours = swin(
        dims=2, width=12, depths=(2,) * 4, heads=(3, 3, 6, 12), window=4,
        patch_norm=False,
    )  # fmt: skip
    theirs = monai.SwinTransformer(
        in_chans=1, embed_dim=12, window_size=(4, 4), patch_size=(2, 2),
        depths=(2,) * 4, num_heads=(3, 3, 6, 12), spatial_dims=2,
    )  # fmt: skip
    with torch.no_grad():
        noise = rng(3)
        for parameter in theirs.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=noise) * 0.1)
    state = monai_state(theirs.state_dict(), corners=4)
    missing, unexpected = ours.load_state_dict(state, strict=False)
    assert (missing, unexpected) == (["mask_token"], [])
    x = torch.rand(2, 1, 38, 51, generator=rng(4))
    with torch.no_grad():
        for got, want in zip(ours(x).merged, theirs(x)[1:], strict=True):
            torch.testing.assert_close(got, want, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("stage", [1, 2, 3, None])
def test_semantic_attention_follows_the_stage_it_is_given(stage, dims):
    semantic = SemanticSettings(stage=stage, heads=2)
    model = swin(semantic_attention=semantic, dims=dims)
    at = stage or 2  # the last but one
    features = model(torch.rand(2, 1, *(16,) * dims, generator=rng(1)))
    grid = (8 >> at,) * dims
    assert model.unit_stage == at
    assert model.unit == 2 * 2**at
    assert features.attention.shape == (2, *grid)
    assert features.units.shape == (2, 8 * 2**at, *grid)
    assert features.cls.shape == (2, 8 * 2**at)
    assert model.cls_width == model.unit_width == 8 * 2**at
    torch.testing.assert_close(features.attention.flatten(1).sum(1), torch.ones(2))
    assert not features.attention.requires_grad


def test_semantic_attention_feeds_the_next_stage_and_learns_from_it():
    model = swin(semantic_attention=SemanticSettings(heads=2))
    x = torch.rand(2, 1, 16, 16, 16, generator=rng(1))
    plain = model(x)
    with torch.no_grad():
        model.semantic.class_token.add_(3.0)
    assert not torch.allclose(model(x).maps[-1], plain.maps[-1])
    model(x).pooled.square().sum().backward()
    assert model.semantic.class_token.grad.abs().sum() > 0


def test_masks_may_be_filled_with_zeros_or_with_the_token():
    model = swin(dims=2)
    x = torch.rand(1, 1, 16, 16, generator=rng(1))
    hidden = torch.ones(1, 2, 2, dtype=torch.bool)
    token, zero = (model(x, mask_units=hidden, fill=f) for f in ("token", "zero"))
    assert not torch.allclose(token.maps[0], zero.maps[0])
    with torch.no_grad():
        model.mask_token.zero_()
    assert torch.equal(model(x, mask_units=hidden).maps[0], zero.maps[0])


def test_intensities_are_mapped_and_padding_is_background():
    plain = swin(patch_norm=False)
    mapped = swin(patch_norm=False, intensity=(-1.0, 1.0))
    x = torch.rand(1, 1, 15, 16, 16, generator=rng(1))
    padded = torch.nn.functional.pad(x, (0, 0, 0, 0, 0, 1))
    torch.testing.assert_close(mapped.embed(x), plain.embed(padded * 2 - 1))


@pytest.mark.parametrize(
    ("semantic", "words"),
    [
        ({"stage": 5, "heads": 2}, "stages 1 to 3; the nearest is 3"),
        ({"stage": 0, "heads": 2}, "the nearest is 1"),
        ({"stage": 1, "heads": 5}, "5 heads must divide it; the nearest is 4"),
    ],
)
def test_semantic_attention_that_cannot_be_is_refused(semantic, words):
    with pytest.raises(ValidationError, match=words):
        SwinSettings(**SMALL, semantic_attention=semantic)
