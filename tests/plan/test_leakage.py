"""Pretraining must not have seen test images: by id, by voxels, or as files declare."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.cli import main
from harness.plan import make_plan
from harness.plan.data import Data
from harness.plan.overlap import Overlaps
from harness.plan.prepare import prepare_data
from harness.registry.weights import Weights
from harness.schema.errors import DataError
from harness.volumes.preprocess import content

from ..conftest import GENERATOR, ORGANS, TASK

TEXT = """
tier: tiny
corpus: {corpus}
methods: {{{methods}}}
protocols: [finetune]
tasks: [organs]
seeds: [0]
"""
# Images by number of the case, of one value elsewhere than in one voxel.
PAINTER = GENERATOR.replace(
    "    raise NotImplementedError",
    """    import numpy as np
    from harness.volumes.raw import RawCase
    number = int(case.case_id[-5:]) + 1000 * (seed % 5)
    image = np.zeros((1, 8, 8, 8), np.float32)
    image.reshape(-1)[number % 512] = 1 + number
    label = np.zeros((8, 8, 8), np.uint8)
    label[0, 0, :2] = [1, 2]
    return RawCase(image, label, np.eye(4))""",
)


def planned(bench, corpus="others", methods="masked: "):
    return make_plan(bench.load(TEXT.format(corpus=corpus, methods=methods)))


def corpus_of(bench, name, text):
    bench.add(f"corpora/{name}.yaml", text)


@pytest.fixture
def bench(bench):
    # the same folder under another name and split: ids meet
    again = TASK.format(**{**ORGANS, "title": "The same images"})
    bench.add("tasks/again.yaml", again.replace("kind: publisher", "kind: hash"))
    bench.add("tasks/others.yaml", TASK.format(**{**ORGANS, "seed": 7}))
    bench.add("corpora/others.yaml", "title: o\nsources: [{task: others}]\n")
    return bench


def marks(plan):
    return {
        plan.spec(key)["labels"].get("overlap")
        for cell in plan.cells
        for key in (cell.adapt_key, cell.evaluate_key)
    }


def test_a_tasks_own_training_side_is_no_leak(bench):
    assert marks(planned(bench, "[organs]")) == {None}
    assert marks(planned(bench)) == {None}


def test_patients_of_the_test_side_are_refused_or_marked(bench):
    with pytest.raises(DataError, match="are in the test side of organs too") as caught:
        planned(bench, "[again]")
    assert "masked is pretrained on again" in str(caught.value)
    assert "'allow_overlap: true' for masked" in str(caught.value)
    plan = planned(bench, "[again]", "masked: {allow_overlap: true}")
    assert marks(plan) == {"seen in pretraining"}


def test_a_corpus_can_allow_it_or_leave_the_cases_out(bench):
    corpus_of(
        bench, "open", "title: o\nallow_overlap: true\nsources: [{task: again}]\n"
    )
    assert marks(planned(bench, "open")) == {"seen in pretraining"}
    test = [f"patient{i:05d}" for i in range(20) if i % 10 > 7]
    corpus_of(
        bench, "apart", f"title: o\nexclude: {test}\nsources: [{{task: again}}]\n"
    )
    assert marks(planned(bench, "apart")) == {None}


@pytest.mark.parametrize("declarer", ["organs", "others"])
def test_what_files_declare_is_refused(bench, declarer, monkeypatch, capsys):
    other = {"organs": "others", "others": "organs"}[declarer]
    text = (bench.root / f"tasks/{declarer}.yaml").read_text()
    bench.add(f"tasks/{declarer}.yaml", f"{text}\noverlaps: {{{other}: same scans}}\n")
    with pytest.raises(DataError, match=r"share images with organs \(same scans\)"):
        planned(bench)
    monkeypatch.chdir(bench.root)
    bench.write(TEXT.format(corpus="others", methods="masked: "))
    assert main(["validate"]) == 2
    assert "same scans" in capsys.readouterr().err
    plan = planned(bench, methods="masked: {allow_overlap: true}")
    assert marks(plan) == {"seen in pretraining"}


def test_equal_voxels_are_found_where_ids_differ(bench, tmp_path):
    """seed 7 and 2 paint the same images; their ids have nothing in common."""
    bench.add("tasks/painter.py", PAINTER)
    for name, seed in (("organs", 2), ("others", 7), ("apart", 3)):
        text = TASK.format(**{**ORGANS, "seed": seed})
        text = text.replace("generator: toy", "generator: painter")
        bench.add(f"tasks/{name}.yaml", text.replace("kind: publisher", "kind: hash"))
    bench.add("corpora/apart.yaml", "title: a\nsources: [{task: apart}]\n")
    plan = planned(bench)
    assert marks(plan) == {None}  # nothing is known before the voxels are read
    with pytest.raises(DataError, match="are those of the test side of organs, voxel"):
        prepare_data(plan, plan.jobs(), tmp_path)
    plan = planned(bench, methods="masked: {allow_overlap: true}")
    prepare_data(plan, plan.jobs(), tmp_path)
    assert marks(plan) == {"seen in pretraining"}
    plan = planned(bench, "apart")
    prepare_data(plan, plan.jobs(), tmp_path)
    assert marks(plan) == {None}


def test_imported_encoders_are_known_by_their_weights(bench):
    """An entry that extends a file of methods/ may have any name."""
    text = (bench.root / "tasks/organs.yaml").read_text()
    bench.add("tasks/organs.yaml", f"{text}\noverlaps: {{public: same scans}}\n")
    bench.add("methods/public.yaml", "extends: masked\nweights: https://a.org/w.pt\n")
    matrix = bench.load(TEXT.format(corpus="others", methods="masked: "))
    overlaps = Overlaps(matrix, Data(matrix))
    for name, url, seen in (
        ("renamed", "https://a.org/w.pt", ("same scans",)),
        ("public", "https://a.org/v.pt", ("same scans",)),
        ("renamed", "https://a.org/v.pt", ()),
        ("renamed", None, ()),
    ):
        entry = replace(
            matrix.methods[0], name=name, role="checkpoint", corpus=None,
            weights=Weights(Path("w.pt"), url, None),
        )  # fmt: skip
        assert overlaps.seen(entry, "organs").declared == seen


def test_digests_of_content_tell_voxels_apart_and_nothing_else():
    image = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    assert content(image) == content(np.asfortranarray(image))
    assert content(image * 0) == content(image * -0.0)
    others = [image + 1, image.reshape(2, 4, 3), image[::-1]]
    assert len({content(each) for each in (image, *others)}) == 4
