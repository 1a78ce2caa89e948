"""Supervised pretraining in the engine: labels reach the method, the encoder goes on."""

import pytest
import torch
from safetensors.torch import load_file

from harness.schema.errors import Exit

from .conftest import ROOT

SMALL = "steps: 3, crop: [16, 16, 16], region: [18, 18, 18]"


@pytest.fixture
def taught(tiny):
    source = ROOT / "methods" / "supervised.py"
    tiny.bench.add("methods/supervised.py", source.read_text())
    return tiny


@pytest.mark.parametrize(
    ("source", "target", "term"),
    [("nodules", "organs", "accuracy"), ("organs", "nodules", "dice_ce")],
)
def test_a_source_of_either_kind_gives_an_encoder_to_a_target(
    taught, source, target, term
):
    protocols = "{finetune: {steps: 1, val_every: 1}}"
    plan = taught.plan(
        f"supervised: {{source: {source}, {SMALL}}}",
        protocols=protocols, tasks=f"{{{target}: }}",
    )  # fmt: skip
    assert taught.run(taught.nodes(plan)) == Exit.DONE
    (cell,) = plan.cells
    curves = taught.table(cell.pretrain_key, "curves")
    found = curves[curves.quantity == term].value
    assert len(found) == 3
    assert found.notna().all()
    assert taught.last(cell.pretrain_key)["measured"]["n_train"] == 8
    encoder = load_file(taught.store.file(cell.pretrain_key, "encoder.safetensors"))
    model = load_file(taught.store.file(cell.adapt_key, "model.safetensors"))
    assert {f"encoder.{name}" for name in encoder} <= set(model)


def test_its_labels_are_those_of_the_regions_that_come_with_them(taught):
    from harness.api import LabelledSource, resolve
    from harness.registry.methods import load_method
    from harness.run.node import Node
    from harness.run.regions import Regions, open_sources

    plan = taught.plan(f"supervised: {{source: organs, {SMALL}}}", tasks="{nodules: }")
    (cell,) = plan.cells
    store = taught.store
    with store.begin(cell.pretrain_key, {}, made_by={}) as attempt:
        node = Node(store, store.spec(cell.pretrain_key), attempt, torch.device("cpu"))
        kind = load_method([taught.bench.root], "supervised")
        settings = resolve(
            kind.Settings, "tiny",
            {"crop": (16,) * 3, "region": (18,) * 3, "foreground": 1.0},
        )  # fmt: skip
        source = LabelledSource("segmentation", 3)
        regions = Regions(open_sources(node), settings, source)
        drawn = regions.sample(6, slice(2, 6), torch.Generator().manual_seed(0)).batch
    assert drawn.labels.shape == (4, 18, 18, 18)
    images, labels = drawn.volumes[:, 0], drawn.labels
    assert (labels > 0).flatten(1).any(dim=1).all()  # foreground: 1.0
    # the painter makes structures brighter than the rest of the same voxels
    assert images[labels == 1].mean() > images[labels == 0].mean() + 0.2
    assert images[labels == 2].mean() > images[labels == 0].mean() + 0.1
