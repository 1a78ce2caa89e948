"""Maps of class tokens: the network's own row, rollout by loops, places in space."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from harness.nn.build import build_encoder
from harness.nn.settings import SwinSettings, ViTSettings
from harness.run.represent.attention_maps import (
    crops_about_structures,
    label_of,
    planes_of,
    scores_of,
    slices_of,
    structure_masks,
    structures_of,
)
from harness.run.represent.class_maps import (
    class_maps,
    maps_of,
    over_voxels,
    rolled_out,
)
from harness.schema.analyses import AttentionMaps
from harness.schema.errors import DataError

VIT = ViTSettings(patch=4, width=12, depth=4, heads=3, drop_path=0.0, positions=2)
PLAIN = SwinSettings(width=8, depths=(2, 2), heads=(1, 2), window=2, drop_path=0.0)
SWIN = PLAIN.model_copy(
    update={
        "semantic_attention": SwinSettings(
            width=8, depths=(2, 2), heads=(1, 2), window=2, drop_path=0.0,
            semantic_attention={"stage": 1, "heads": 2},
        ).semantic_attention
    }
)  # fmt: skip


def _encoder(settings):
    encoder = build_encoder(settings, 1, torch.Generator().manual_seed(0)).eval()
    noise = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=noise) * 0.3)
    return encoder


@pytest.mark.parametrize("settings", [VIT, SWIN], ids=["vit", "semantic"])
@pytest.mark.parametrize("sides", [(8, 12, 16), (10, 9, 8)])
def test_the_mean_is_the_row_that_the_network_itself_gives(settings, sides):
    encoder = _encoder(settings)
    x = torch.rand(2, 1, *sides, generator=torch.Generator().manual_seed(2))
    maps = class_maps(encoder, x)
    with torch.no_grad():
        row = encoder(x).attention
    heads = 3 if settings is VIT else 2
    assert maps.shape == (2, 1 + heads, *sides)
    expected = over_voxels(row[:, None], encoder.unit, sides)
    assert torch.allclose(maps[:, :1], expected, atol=1e-5)


def test_rollout_is_that_of_a_plain_loop():
    rng = np.random.default_rng(0)
    blocks = [rng.dirichlet(np.ones(5), size=(1, 5)) for _ in range(3)]
    whole = np.eye(5)
    for block in blocks:
        new = np.zeros((5, 5))
        for i in range(5):
            for j in range(5):
                for k in range(5):
                    new[i, j] += (0.5 * block[0, i, k] + 0.5 * (i == k)) * whole[k, j]
        whole = new
    found = rolled_out([torch.from_numpy(block) for block in blocks])[0].numpy()
    assert np.allclose(found, whole)
    assert np.allclose(found.sum(axis=1), 1)
    x = torch.rand(1, 1, 8, 8, 8, generator=torch.Generator().manual_seed(2))
    assert class_maps(_encoder(VIT), x, rollout=True).shape == (1, 1, 8, 8, 8)


def test_a_token_lies_over_its_own_voxels_on_every_axis():
    tokens = torch.zeros(1, 1, 2, 3, 4)
    tokens[0, 0, 1, 0, 2] = 1
    wide = over_voxels(tokens, 4, (8, 11, 16))[0, 0]
    assert wide.shape == (8, 11, 16)
    peak = np.argwhere((wide == wide.max()).numpy())
    assert (peak // 4 == [1, 0, 2]).all()


def test_blocks_and_encoders_that_cannot_be_drawn():
    x = torch.zeros(1, 1, 8, 8, 8)
    with pytest.raises(DataError, match="no block 5, the encoder attends in 4"):
        class_maps(_encoder(VIT), x, block=5)
    with pytest.raises(DataError, match="this swin has no class token"):
        class_maps(_encoder(PLAIN), x)
    vit, swin = {"kind": "vit", "depth": 4}, {"kind": "swin"}
    semantic = {"kind": "swin", "semantic_attention": {"blocks": 2}}
    assert AttentionMaps(block=4).unfit(vit) is None
    assert AttentionMaps(block=2).unfit(semantic) is None
    assert "no block 3, it attends in 2" in AttentionMaps(block=3).unfit(semantic)
    assert "the analysis attention takes it" in AttentionMaps().unfit(swin)
    assert "a conv has no class token" in AttentionMaps().unfit({"kind": "conv"})


def _data(label):
    cached = SimpleNamespace(
        index_of=lambda _: 0, shape=lambda _: (20, 6, 12), label=lambda _: label
    )
    return SimpleNamespace(cached=cached)


def test_crops_lie_about_the_structure_and_inside_the_volume():
    label = np.zeros((20, 6, 12), dtype=np.uint8)
    label[17, 2:4, 5] = 2
    data, sides = _data(label), (8, 8, 4)
    (crop,) = crops_about_structures(data, ["a"], sides, 4)
    assert crop.start == (12, 0, 4)  # at the far end; a small axis is padded
    found = label_of(data, crop, sides)
    assert np.argwhere(found == 2).tolist() == [[5, 2, 1], [5, 3, 1]]
    assert planes_of(np.zeros(sides), found > 0) == (5, 2, 1)
    assert label_of(_data(None), crop, sides) is None
    (middle,) = crops_about_structures(_data(None), ["a"], sides, 4)
    assert middle.start == (6, 0, 4)


def test_masks_of_structures_and_of_regions_that_overlap():
    label = np.array([0, 1, 2, 3, 2], dtype=np.uint8)
    plain = SimpleNamespace(
        structures={"b": 2, "a": 1, "c": 3}, regions={}, scored=("a", "b", "c")
    )
    masks = structure_masks(label, structures_of(plain))
    assert [np.flatnonzero(m).tolist() for m in masks] == [[1], [2, 4], [3]]
    regions = SimpleNamespace(
        regions={"whole": ("a", "b"), "core": ("b",)}, scored=("whole", "core"),
        region_values=((1, 2), (2,)),
    )  # fmt: skip
    masks = structure_masks(label, structures_of(regions))
    assert [np.flatnonzero(m).tolist() for m in masks] == [[1, 2, 4], [2, 4]]
    assert not any(m.any() for m in structure_masks(None, structures_of(plain)))


def test_slices_pass_through_the_map_s_highest_where_there_is_no_mask():
    values = np.full((4, 5, 6), 0.001, dtype=np.float32)
    values[1, 2, 3] = 0.02
    planes = planes_of(values, None)
    assert planes == (1, 2, 3)
    image = np.random.default_rng(0).random((4, 5, 6)).astype(np.float32)
    found = slices_of("after", 0, planes, image, values, None)
    for axis, shape in enumerate([(5, 6), (4, 6), (4, 5)]):
        assert found[f"after.0_{axis}"].shape == shape
        peak = float(found[f"after.0_{axis}"].max())
        assert peak == pytest.approx(0.02 / values.mean(), rel=1e-3)
    assert found["0_1_image"][0, 0] == round(float(image[0, 2, 0]) * 255)
    auc, inside, mass = scores_of(values[None], None)
    assert np.isnan([auc[0], inside[0]]).all()
    assert mass[0] == pytest.approx((0.02 + 11 * 0.001) / values.sum(), rel=1e-4)


def test_maps_of_channels_that_pass_alone_are_averaged():
    encoder, x = _encoder(VIT), torch.rand(2, 3, 8, 8, 8)
    network = SimpleNamespace(encoder=encoder, takes=1, separate=3)
    each = [class_maps(encoder, x[:, [channel]]) for channel in range(3)]
    found = maps_of(network, x)
    assert found.shape == (2, 1 + 3, 8, 8, 8)
    assert found.numpy() == pytest.approx(sum(each).numpy() / 3, rel=1e-5)
