"""At tier paper every method is built on the meta device, in its published size."""

import pytest
import torch

from harness.api import resolve

from .conftest import NAMES, kind

# Encoders, millions of parameters. Swin-MSK with depths (2, 2, 8, 2) is what makes SMIT's
# segmentation network one of 64.7 M (METHODS 0; tests/nn/test_decoder.py): its blocks
# have 12 C² + 13 C + 343 heads, its merges 16 C² + 16 C. ViT-S1 and ViT-L-3D are worked
# out from their settings in tests/nn/test_vit.py.
ENCODERS = {"smit": 10.572, "mae": 88.37, "dino3d": 306.78}


def built(name, **overrides):
    settings = resolve(kind(name).Settings, "paper", overrides)
    with torch.device("meta"):
        return kind(name)(settings, 1, torch.Generator("cpu"))


def millions(module):
    return sum(p.numel() for p in module.parameters()) / 1e6


@pytest.mark.parametrize("name", NAMES)
def test_the_published_settings_can_be_built(name):
    method = built(name)
    assert all(p.is_meta for p in method.parameters())
    if name in ENCODERS:
        assert millions(method.encoder()) == pytest.approx(ENCODERS[name], abs=0.02)


def test_a_published_prototype_head_has_three_layers_and_its_prototypes():
    """METHODS 0: in -> 2048 -> 2048 -> 256, K = 65536 of length 1, for ViT-L of 1024."""
    student = built("dino3d").student
    layers = 1024 * 2048 + 2048 + 2048 * 2048 + 2048 + 2048 * 256 + 256
    for head in (student.image_head, student.patch_head):
        assert sum(p.numel() for p in head.parameters()) == layers + 65_536 * 256


def test_semantic_attention_adds_two_blocks_of_width_384_and_a_token():
    random = {"mask": {"kind": "random", "hints": 0}, "image_token": "average"}
    plain = built("dagman", encoder={"semantic_attention": None}, **random)
    with_it = millions(built("dagman").student.encoder)
    without = millions(plain.student.encoder)
    width = 384
    assert (with_it - without) * 1e6 == pytest.approx(
        2 * (12 * width**2 + 13 * width) + width, abs=1
    )
