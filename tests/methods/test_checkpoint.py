"""Encoders from files of public layouts: every tensor placed, equal features, refusals."""

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file
from torch import nn

from harness.api import resolve
from harness.schema.errors import DataError

from ..nn import foreign_files as files
from .conftest import kind, rng

SWIN = {
    "kind": "swin", "width": 12, "depths": (2, 2, 2, 2), "heads": (3, 3, 6, 12),
    "window": 4, "patch_norm": False,
}  # fmt: skip
VIT = {
    "kind": "vit", "width": 12, "depth": 4, "heads": 3, "patch": 4, "positions": 2,
    "qkv_bias": False,
}  # fmt: skip
TANG = {
    "layout": "swin", "merging": "monai", "strip": ("module.", "swinViT."),
    "encoder": SWIN, "outputs": {"contrast": "contrastive_head"},
}  # fmt: skip


def made(**settings):
    found = kind("checkpoint")
    resolved = resolve(found.Settings, "tiny", settings)
    return found(resolved, resolved.channels, rng(1)).eval()


def saved(folder, state):
    path = folder / "weights.pt"
    torch.save(state, path)
    return path


@pytest.mark.parametrize("prefix", ["module.", "module.swinViT.", "swinViT."])
def test_tangs_file_gives_monais_features_and_keeps_its_contrastive_head(
    prefix, tmp_path
):
    theirs = files.monai_swin()
    path = saved(tmp_path, files.as_tang(theirs, prefix))
    method = made(**TANG)
    found = method.load(path)
    assert (found.share, found.notes) == (1.0, ())
    assert found.outputs["contrast.weight"].shape == (512, 12 * 16)
    assert found.outputs["contrast.bias"].shape == (512,)
    x = torch.rand(1, 1, 32, 32, 32, generator=rng(4))
    with torch.no_grad():
        for ours, want in zip(method.encoder()(x).merged, theirs(x)[1:], strict=True):
            torch.testing.assert_close(ours, want, atol=2e-5, rtol=1e-4)


class LegacyMerge(nn.Module):
    """A merge of MONAI before 1.5, slice by slice."""

    def __init__(self, other):
        super().__init__()
        self.norm, self.reduction = other.norm, other.reduction

    def forward(self, x):
        starts = [
            (0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (0, 1, 0), (0, 0, 1),
            (1, 1, 1),
        ]  # fmt: skip
        corners = [x[:, i::2, j::2, k::2] for i, j, k in starts]
        return self.reduction(self.norm(torch.cat(corners, dim=-1)))


def test_weights_from_before_monai_1_5_are_used_as_they_were_trained(tmp_path):
    theirs = files.monai_swin()
    path = saved(tmp_path, files.as_tang(theirs))
    x = torch.rand(1, 1, 32, 32, 32, generator=rng(4))
    with torch.no_grad():
        current = theirs(x)[-1]
    for stage in (theirs.layers1, theirs.layers2, theirs.layers3, theirs.layers4):
        stage[0].downsample = LegacyMerge(stage[0].downsample)
    legacy = {**SWIN, "merging": "legacy"}
    method = made(**{**TANG, "merging": "monai_legacy", "encoder": legacy})
    method.load(path)
    with torch.no_grad():
        want, got = theirs(x)[1:], method.encoder()(x).merged
        for mine, their in zip(got, want, strict=True):
            torch.testing.assert_close(mine, their, atol=2e-5, rtol=1e-4)
    assert not torch.allclose(current, got[-1], atol=1e-2)


def test_smits_file_gives_the_same_features_through_other_corners(tmp_path):
    theirs = files.monai_swin(patch_norm=True, qkv_bias=False)
    encoder = {**SWIN, "patch_norm": True, "qkv_bias": False}
    method = made(
        layout="swin", merging="transmorph", strip=("module.", "transformer."),
        encoder=encoder,
    )  # fmt: skip
    found = method.load(saved(tmp_path, files.as_smit(theirs)))
    assert (found.share, found.notes) == (1.0, ())
    x = torch.rand(1, 1, 32, 32, 32, generator=rng(4))
    with torch.no_grad():
        want, got = theirs(x)[-1], method.encoder()(x).merged[-1]
    torch.testing.assert_close(got, want, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("proj_type", ["conv", "perceptron"])
@pytest.mark.parametrize("channels", [1, 2])
def test_monais_vit_gives_its_features(proj_type, channels, tmp_path):
    theirs = files.monai_vit(proj_type=proj_type, in_channels=channels)
    encoder = {**VIT, "norm_eps": 1e-5}
    method = made(layout="vit", channels=channels, encoder=encoder)
    found = method.load(saved(tmp_path, theirs.state_dict()))
    assert (found.share, found.notes) == (1.0, ())
    x = torch.rand(2, channels, 8, 8, 8, generator=rng(4))
    theirs.classification_head = nn.Identity()
    with torch.no_grad():
        torch.testing.assert_close(
            method.encoder()(x).cls, theirs(x)[0], atol=1e-5, rtol=1e-4
        )


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("chunks", [False, True])
def test_dinos_names_and_class_position_come_to_their_places(dims, chunks, tmp_path):
    encoder = {**VIT, "dims": dims, "qkv_bias": True, "layer_scale": 0.1}
    source = files.randomise(made(layout="vit", encoder=encoder)).encoder()
    state = files.as_dino(source.state_dict(), chunks)
    whole = {"teacher": {f"backbone.{name}": value for name, value in state.items()}}
    whole["teacher"]["dino_head.mlp.0.weight"] = torch.ones(3, 12)
    method = made(layout="vit", strip=("backbone.",), inside="teacher", encoder=encoder)
    found = method.load(saved(tmp_path, whole))
    assert (found.share, found.notes) == (1.0, ())
    for name, value in source.state_dict().items():
        if name != "mask_token":
            assert torch.equal(method.encoder().state_dict()[name], value), name
    # tokens in a row are the grid's rows, last axis fastest
    last = state["pos_embed"][0, -1]
    assert torch.equal(method.encoder().positions[(0, slice(None), *[-1] * dims)], last)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("prefix", ["", "module.", "_feature_blocks."])
def test_residual_networks_of_torchvision_vissl_and_medicalnet(dims, prefix, tmp_path):
    theirs = files.monai_resnet(dims, channels=3)
    state = {prefix + name: value for name, value in theirs.state_dict().items()}
    encoder = {"kind": "resnet", "width": 4, "depths": (1, 2, 1, 1), "dims": dims}
    method = made(layout="resnet", strip=("module.",), encoder=encoder, channels=3)
    found = method.load(saved(tmp_path, {"state_dict": state}))
    assert (found.share, found.notes) == (1.0, ())
    x = torch.rand(2, 3, *[32] * dims, generator=rng(1))
    pooled = []
    theirs.avgpool.register_forward_hook(lambda *io: pooled.append(io[2]))
    with torch.no_grad():
        theirs(x)
        got = method.encoder()(x).pooled
    torch.testing.assert_close(got, pooled[0].flatten(1), atol=1e-5, rtol=1e-4)


def test_an_encoder_of_this_harness_is_read_back(tmp_path):
    source = files.randomise(made(encoder=SWIN)).encoder()
    save_file(source.state_dict(), tmp_path / "encoder.safetensors")
    method = made(encoder=SWIN)
    assert method.load(tmp_path / "encoder.safetensors").share == 1.0
    x = torch.rand(1, 1, 32, 32, 32, generator=rng(4))
    assert torch.equal(method.encoder()(x).pooled, source(x).pooled)


def test_what_is_resized_is_said(tmp_path):
    theirs = files.monai_vit(in_channels=3, qkv_bias=True)
    encoder = {**VIT, "qkv_bias": True, "positions": 3}
    found = made(layout="vit", encoder=encoder).load(
        saved(tmp_path, theirs.state_dict())
    )
    assert found.notes == (
        "positions resized from (2, 2, 2) to (3, 3, 3), linearly",
        "the input convolution was made for 3 channels: averaged for 1",
    )


def test_too_few_tensors_are_refused_with_the_nearest(tmp_path):
    state = files.as_tang(files.monai_swin())
    path = saved(tmp_path, state)
    with pytest.raises(DataError) as caught:
        made(**{**TANG, "strip": ()}).load(path)
    text = str(caught.value)
    assert "fills 0 of the encoder's" in text
    assert "stages.0.blocks.0.attention.offset_bias (343, 3) is missing" in text
    assert "module." in text
    assert "Correct 'layout', 'strip', 'rules'" in text
    name = "module.layers3.0.blocks.1.mlp.fc2.bias"
    del state["state_dict"][name]
    with pytest.raises(DataError, match=r"stages\.2\.blocks\.1\.mlp\.2\.bias \(48,\)"):
        made(**TANG).load(saved(tmp_path, state))
    found = made(**TANG, share=0.95).load(saved(tmp_path, state))
    assert 0.95 < found.share < 1
    assert any("drawn at random" in note for note in found.notes)


def test_another_width_and_another_window_are_refused_by_name(tmp_path):
    path = saved(tmp_path, files.as_tang(files.monai_swin()))
    for changed in ({"width": 24}, {"window": 7}):
        with pytest.raises(DataError, match="set the encoder's settings to those"):
            made(**{**TANG, "encoder": {**SWIN, **changed}}).load(path)


def test_a_head_that_is_not_there_is_left_out_and_said(tmp_path):
    state = files.as_tang(files.monai_swin())["state_dict"]
    kept = {name: value for name, value in state.items() if "head" not in name}
    found = made(**TANG).load(saved(tmp_path, kept))
    assert found.outputs == {}
    assert found.notes == (
        "weights.pt has no contrastive_head.weight: no output contrast",
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({**TANG, "merging": None}, "no file tells how its merges join corners"),
        ({**TANG, "merging": "monai_legacy"}, "need encoder: {merging: legacy}"),
        ({**TANG, "encoder": {**SWIN, "merging": "legacy"}}, "must not have it"),
        ({**TANG, "encoder": VIT}, "layout swin needs encoder swin"),
        ({"layout": "vit", "merging": "transmorph", "encoder": VIT}, "is of layout swin"),
        ({"rules": (("(", ""),)}, "is no regular expression"),
        ({"encoder": {**SWIN, "intensity": (-1, 1),
                      "normalise": {"kind": "foreground"}}}, "remove one"),
        ({"encoder": {**SWIN, "normalise": {"kind": "per_channel", "mean": [0.5],
                                            "std": [0]}}}, "a positive std"),
        ({"encoder": {**SWIN, "dims": 2, "merging": "legacy"}}, "is of volumes"),
    ],
)  # fmt: skip
def test_settings_that_contradict_are_refused(settings, said):
    with pytest.raises(ValidationError, match=said):
        made(**settings)


def test_a_tier_changes_nothing_of_a_file():
    settings = [
        resolve(kind("checkpoint").Settings, tier, {"encoder": {"kind": "resnet"}})
        for tier in ("tiny", "paper")
    ]
    assert settings[0] == settings[1]
    assert settings[0].encoder.width == 64
