"""At tier paper every method is built on the meta device, in its published size."""

import pytest
import torch
from pydantic import ValidationError

from harness.api import build_method, resolve
from harness.run.contract.subject import VOXELS
from harness.schema.optimiser import OptimiserSettings

from .conftest import NAMES, kind

# Encoders, millions of parameters. Swin-MSK with depths (2, 2, 8, 2) is what makes SMIT's
# segmentation network one of 64.7 M (METHODS 0; test_sizes.py): its blocks
# have 12 C² + 13 C + 343 heads, its merges 16 C² + 16 C. ViT-S1 and ViT-L-3D are worked
# out from their settings in tests/nn/test_vit.py.
ENCODERS = {"smit": 10.572, "mae": 88.37, "dino3d": 306.78}


def built(name, **overrides):
    own = kind(name)
    settings = resolve(own.Settings, "paper", overrides)
    source = VOXELS if own.role == "supervised" else None
    with torch.device("meta"):
        return build_method(own, settings, 1, torch.Generator("cpu"), source)


def millions(module):
    return sum(p.numel() for p in module.parameters()) / 1e6


# A system has no network of its own to build: it plans one from the data.
BUILT = [name for name in NAMES if kind(name).role != "system"]


@pytest.mark.parametrize("name", BUILT)
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


# METHODS 1.3 to 1.9 and 1.12: the optimiser of each paper; rates by the rule of theirs
# at this project's batch of 32 regions.
OPTIMISERS = {
    "simclr": ("lars", 0.3 * 32 / 256), "swav": ("lars", 0.6 * 32 / 256),
    "byol": ("lars", 0.2 * 32 / 256), "rotation": ("sgd", 0.2),
    "models_genesis": ("sgd", 1.0), "moco_v3": ("adamw", 1.5e-4 * 32 / 256),
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_published_optimiser_is_of_tier_paper_alone(name):
    paper = resolve(kind(name).Settings, "paper", {})
    assert (paper.optimiser.kind, paper.lr) == (
        OPTIMISERS[name][0],
        pytest.approx(OPTIMISERS[name][1]),
    )
    for tier in ("tiny", "small", "demo"):
        own = resolve(kind(name).Settings, tier, {})
        assert (own.optimiser.kind, own.lr_drops) == ("adamw", ())


@pytest.mark.parametrize(
    ("name", "per_256"),
    [("dino", 5e-4), ("ibot", 5e-4), ("mst", 5e-4), ("mae", 1.5e-4)],
)
def test_a_rate_that_is_given_per_256_images_is_that_of_the_batch(name, per_256):
    """METHODS 1.12, 1.14 to 1.17."""
    paper = resolve(kind(name).Settings, "paper", {})
    assert paper.lr == pytest.approx(per_256 * paper.batch / 256)


def test_models_genesis_has_no_decay_at_its_published_rate():
    """At a rate of 1, SGD with the usual 0.05 halves all weights in 14 steps."""
    own = kind("models_genesis").Settings
    assert resolve(own, "paper", {}).weight_decay == 0
    assert resolve(own, "small", {}).weight_decay == 0.05


@pytest.mark.parametrize(
    ("name", "asked", "said"),
    [
        (
            "simmim",
            {"mask_ratio": 1.0},
            "nothing to predict it from; the nearest is 0.95",
        ),
        ("smit", {"mask_ratio": 0.0}, "nothing to predict, .*the nearest is 0.05"),
        ("mae", {"mask_ratio": 1.0}, "the nearest is 0.95"),
        ("dino", {"prototypes": 1}, "1 is too few, since with one prototype .* is 2"),
        ("smit", {"prototypes": 1}, "the nearest is 2"),
        ("simclr", {"batch": 1}, "leaves 1 of the 2 regions .* batch is 2"),
        (
            "byol",
            {"batch": 4, "accumulate": 4},
            "each of 4 micro-batches .* batch is 8",
        ),
        ("swin_unetr", {"batch": 2, "accumulate": 2}, "the nearest batch is 4"),
        ("dino3d", {"batch": 1}, "the nearest batch is 2"),
        (
            "dino",
            {"batch": 1},
            "1 is too few, since targets are balanced .*nearest is 2",
        ),
        ("ibot", {"batch": 1}, "one has no other: the nearest is 2"),
        ("mst", {"batch": 0}, "0 is too few, .*the nearest is 2"),
        ("swav", {"batch": 1}, "balanced over the regions of a batch.*nearest is 2"),
        ("ibot", {"shared_head": True}, "shared_head: no, or use a vit"),
    ],
)
def test_what_a_loss_cannot_be_made_of_is_refused_with_the_reason(name, asked, said):
    with pytest.raises(ValidationError, match=said):
        resolve(kind(name).Settings, "tiny", asked)


def test_an_optimiser_is_merged_and_another_one_starts_anew():
    mae, simclr = kind("mae").Settings, kind("simclr").Settings
    assert resolve(mae, "small", {}).optimiser.betas == (0.9, 0.95)
    assert resolve(simclr, "paper", {"optimiser": {"momentum": 0.5}}).optimiser == (
        OptimiserSettings(kind="lars", momentum=0.5)
    )
    for asked in ("sgd", {"kind": "sgd"}):
        own = resolve(mae, "small", {"optimiser": asked}).optimiser
        assert own == OptimiserSettings(kind="sgd")
