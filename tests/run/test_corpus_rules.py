"""What a corpus says of voxels is followed where pretraining opens them."""

import numpy as np
import pytest
import torch

from harness.plan.prepare import prepare_data
from harness.run.node import Node
from harness.run.regions import Regions, open_sources
from harness.schema.errors import Exit
from harness.volumes.cache import open_cache
from harness.volumes.crops import CropSampler

SIMMIM = "simmim: {steps: 2, crop: [16, 16, 16], region: [20, 20, 20]}"


def corpus(tiny, text, task="organs"):
    tiny.bench.add(
        "corpora/painted.yaml", f"title: T\nsources: [{{task: {task}}}]\n{text}"
    )
    return tiny.plan(SIMMIM)


def test_volumes_of_no_task_are_pretrained_on_as_the_corpus_reads_them(tiny):
    text = (
        # the painter knows no seed: its images are those of the task
        "title: T\nallow_overlap: true\n"
        "preprocess: {intensity: {kind: percentiles}, spacing: [2, 2, 2]}\n"
        "sources: [{task: organs}, {volumes: {name: more, modality: none, cases: 14, "
        "format: {kind: generated, generator: toy, seed: 5}, channels: [a], "
        "source: {page: p, licence: l}}}]"
    )
    tiny.bench.add("corpora/painted.yaml", text)
    plan = tiny.plan(SIMMIM)
    key = plan.cells[0].pretrain_key
    prepare_data(plan, plan.jobs(), tiny.results)
    (more, every), (organs, some) = opened(tiny, plan)
    assert (organs.name, more.name) == ("organs@painted", "more@painted")
    assert (len(some), len(every)) == (8, 14)
    assert organs.cached.spacing(0) == more.cached.spacing(0) == (2, 2, 2)
    assert tiny.run([key]) == Exit.DONE
    assert tiny.store.manifest(key).labels["n_train"] == 22
    labels = plan.spec(plan.cells[0].evaluate_key)["labels"]
    assert labels["overlap"] == "seen in pretraining"


def opened(tiny, plan):
    key = plan.cells[0].pretrain_key
    with tiny.store.begin(key, {}, made_by={}) as attempt:
        node = Node(tiny.store, tiny.store.spec(key), attempt, torch.device("cpu"))
        return open_sources(node)


def test_thin_volumes_are_left_out(tiny):
    """Slices run along the axis of 1.5 mm, of which volumes have 18."""
    ((data, ids),) = opened(tiny, corpus(tiny, "min_slices: 18"))
    assert len(ids) == 8
    assert {data.cached.slices(i) for i in range(len(data.cached))} == {18}
    assert (
        tiny.run([corpus(tiny, "min_slices: 19").cells[0].pretrain_key]) == Exit.FAILED
    )


def test_images_are_left_out_by_their_content(tiny):
    ((data, ids),) = opened(tiny, corpus(tiny, ""))
    digests = [data.cached.contents(data.cached.index_of(each))[0] for each in ids[:2]]
    plan = corpus(tiny, f"exclude_content: ['{digests[0]}', '{digests[1]}']")
    ((_, kept),) = opened(tiny, plan)
    assert kept == ids[2:]


@pytest.mark.parametrize("task", ["pairs", "organs"])
def test_one_channel_is_drawn_at_a_time(tiny, task):
    plan = corpus(tiny, "channels: split", task)
    sources = opened(tiny, plan)
    data, ids = sources[0]
    sampler = CropSampler(data.cached, ids[:1], (20, 24, 18), one_channel=True)
    crops = sampler.sample(40, torch.Generator().manual_seed(0)).images
    assert crops.shape == (40, 1, 20, 24, 18)
    whole = CropSampler(data.cached, ids[:1], (20, 24, 18), labels=False)
    channels = whole.sample(1, torch.Generator().manual_seed(0)).images[0]
    drawn = [
        int(np.flatnonzero([(one == each).all() for each in channels])[0])
        for one in crops[:, 0]
    ]
    assert set(drawn) == set(range(len(channels)))
    assert min(drawn.count(each) for each in set(drawn)) > 10
    assert tiny.run(tiny.nodes(plan)) == Exit.DONE
    assert open_cache(data.cached.folder).channels == len(channels)


def test_regions_of_one_channel_are_a_batch_of_one_channel(tiny):
    from harness.api import resolve
    from harness.registry.methods import load_method

    sources = opened(tiny, corpus(tiny, "channels: split", "pairs"))
    kind = load_method([tiny.bench.root], "simmim")
    sizes = {"crop": (16,) * 3, "region": (20,) * 3}
    settings = resolve(kind.Settings, "tiny", sizes)
    regions = Regions(sources, settings, None, one_channel=True)
    drawn = regions.sample(5, slice(1, 4), torch.Generator().manual_seed(0))
    assert drawn.batch.volumes.shape == (3, 1, 20, 20, 20)
