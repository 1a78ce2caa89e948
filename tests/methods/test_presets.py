"""Presets of public checkpoints: names and shapes of those files, at published size.

No tensor is ever filled: networks lie on the meta device. What a file's numbers become
is in test_checkpoint.py, at small size.
"""

import json
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from harness.api import resolve
from harness.matrix import load
from harness.nn.build import build_encoder
from harness.nn.foreign import fit, stripped
from harness.nn.layouts import arranged
from harness.registry import child, describe
from harness.schema.errors import Mistakes

from ..nn import foreign_files as files
from .conftest import kind

ROOT = Path(__file__).resolve().parents[2]
PRESETS = sorted(
    path.stem
    for path in (ROOT / "methods").glob("*.yaml")
    if "extends: checkpoint\n" in path.read_text()
)
RESERVED = ("extends", "about", "weights", "sha256")


def settings_of(name):
    body = yaml.safe_load((ROOT / "methods" / f"{name}.yaml").read_text())
    own = {key: value for key, value in body.items() if key not in RESERVED}
    return resolve(kind("checkpoint").Settings, "tiny", own)


def tang():
    network = files.monai_swin(width=48, heads=(3, 6, 12, 24), window=7)
    return files.as_tang(network)["state_dict"]


def smit():
    network = files.monai_swin(
        width=48, heads=(4, 4, 4, 4), window=4, patch_norm=True, qkv_bias=False,
        depths=(2, 2, 4, 2),
    )  # fmt: skip
    return files.as_smit(network)


def timm(width, depth, patch, tokens, dims, channels, *, scale=False, chunk=0):
    """Names and shapes of DINO's and DINOv2's vision transformers, written out."""
    shapes = {
        "cls_token": (1, 1, width), "pos_embed": (1, 1 + tokens, width),
        "patch_embed.proj.weight": (width, channels, *[patch] * dims),
        "patch_embed.proj.bias": (width,), "norm.weight": (width,),
        "norm.bias": (width,),
    }  # fmt: skip
    block = {
        "norm1.weight": (width,), "norm1.bias": (width,), "norm2.weight": (width,),
        "norm2.bias": (width,), "attn.qkv.weight": (3 * width, width),
        "attn.qkv.bias": (3 * width,), "attn.proj.weight": (width, width),
        "attn.proj.bias": (width,), "mlp.fc1.weight": (4 * width, width),
        "mlp.fc1.bias": (4 * width,), "mlp.fc2.weight": (width, 4 * width),
        "mlp.fc2.bias": (width,),
    }  # fmt: skip
    if scale:
        block |= {"ls1.gamma": (width,), "ls2.gamma": (width,)}
    for number in range(depth):
        where = f"{number // chunk}.{number}" if chunk else str(number)
        shapes |= {f"blocks.{where}.{name}": shape for name, shape in block.items()}
    return {name: torch.empty(shape) for name, shape in shapes.items()}


def dino3d():
    state = timm(1024, 24, 16, 343, 3, 1, scale=True, chunk=6)
    state["mask_token"] = torch.empty(1, 1024)
    return {f"backbone.{name}": value for name, value in state.items()}


def monai_vit():
    from monai.networks.nets.vit import ViT

    state = ViT(
        in_channels=1, img_size=(96,) * 3, patch_size=(16,) * 3, hidden_size=1024,
        mlp_dim=4096, num_layers=1, num_heads=16, classification=True,
        post_activation="",
    ).state_dict()  # fmt: skip
    block = {k: v for k, v in state.items() if k.startswith("blocks.0.")}
    for number in range(1, 24):  # all are alike, and each takes half a second to build
        state |= {f"blocks.{number}.{k[9:]}": v for k, v in block.items()}
    return state


def resnet(dims, channels, prefix="", head="fc"):
    from monai.networks.nets import ResNet
    from monai.networks.nets.resnet import ResNetBottleneck

    network = ResNet(
        ResNetBottleneck, (3, 4, 6, 3), [64, 128, 256, 512], spatial_dims=dims,
        n_input_channels=channels, conv1_t_stride=2, bias_downsample=False,
    )  # fmt: skip
    network.fc = nn.Linear(2048, 1000)
    state = network.state_dict()
    return {prefix + name.replace("fc.", f"{head}."): v for name, v in state.items()}


# What is not part of the encoder in each, by our layout's names.
FILES = {
    "swinunetr_tang": (tang, set()),
    "smit_public": (smit, set()),
    "dino3d_public": (dino3d, set()),
    "monai_vit_public": (monai_vit, {"classification_head"}),
    "resnet50_imagenet": (lambda: resnet(2, 3), set()),
    "resnet50_swav": (
        lambda: {
            **resnet(2, 3, "module."),
            "module.prototypes.weight": torch.empty(3000, 128),
        },
        {"prototypes"},
    ),
    "resnet50_simclr": (lambda: resnet(2, 3, "_feature_blocks."), set()),
    "resnet50_med3d": (lambda: resnet(3, 1, "module.", "conv_seg"), set()),
    "dino_vits8": (lambda: timm(384, 12, 8, 784, 2, 3), set()),
    "dino_vits16": (lambda: timm(384, 12, 16, 196, 2, 3), set()),
}


def test_every_preset_is_tested():
    assert set(FILES) == set(PRESETS)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_places_every_tensor_of_its_file(name):
    make, others = FILES[name]
    cfg = settings_of(name)
    # MONAI's Swin computes with tensors while it is built, and is small
    with torch.device("cpu" if cfg.layout == "swin" else "meta"):
        theirs = make()
    with torch.device("meta"):
        encoder = build_encoder(cfg.encoder, cfg.channels, torch.Generator("cpu"))
    outputs = tuple(f"{prefix}." for prefix in cfg.outputs.values())
    names = stripped(theirs, cfg.strip, cfg.rules)
    plain = {k: v for k, v in names.items() if not k.startswith(outputs or ("\0",))}
    found = fit(arranged(plain, cfg.layout, cfg.encoder, cfg.merging), encoder)
    assert (found.share, found.missing, found.notes) == (1.0, (), ())
    left = {each for each in found.unused if "cross_attn" not in each}
    assert {each.split(".")[0] for each in left} - others <= {"stem_norm", "stages"}
    assert all(each.endswith("num_batches_tracked") for each in left if "." in each
               and each.split(".")[0] not in others)  # fmt: skip
    if cfg.outputs:
        assert plain.keys() < names.keys()


def test_presets_say_where_their_weights_are_to_be_had_and_under_what_licence():
    for name in PRESETS:
        body = yaml.safe_load((ROOT / "methods" / f"{name}.yaml").read_text())
        about = body["about"]
        assert any(
            word in about
            for word in ("Apache", "MIT", "BSD", "CC BY", "No licence", "not given out")
        ), name
        found = "weights" in body or any(
            word in about for word in ("github.com", "huggingface.co", "not given out")
        )
        assert found, name


def test_a_preset_whose_file_was_not_fetched_plans_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(
        describe,
        "_ask_child",
        lambda asked: child.answer(json.loads(json.dumps(asked))),
    )
    monkeypatch.setenv("MEDSSL_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "benchmark.yaml"
    text = (
        f"tier: tiny\ncontent: ['{ROOT}']\nmethods: [{{}}]\ntasks:\n  phantom_organs:\n"
        "protocols:\n  finetune:\nlabel_budgets: [100%]\nseeds: [0]\n"
    )
    path.write_text(text.format("swinunetr_tang"))
    (entry,) = load(path).methods
    assert entry.weights.url.endswith("model_swinvit.pt")
    assert "`harness data fetch swinunetr_tang`" in entry.weights.problem
    path.write_text(text.format("smit_public"))
    with pytest.raises(Mistakes, match="has no file to read: set 'weights: PATH'"):
        load(path)
