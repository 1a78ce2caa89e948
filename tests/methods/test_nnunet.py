"""nnU-Net itself, from plans to scores; minutes, so `make test-nnunet` runs it."""

import json
import signal
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from harness.cli import main
from harness.matrix import load
from harness.metrics.overlap import dice
from harness.plan import make_plan
from harness.run import interrupts
from harness.run.cell import run_nodes
from harness.schema.errors import Exit
from harness.store import Store
from harness.store.records import CHECKPOINTS
from harness.store.tables import read_tables
from harness.volumes.formats import list_cases, open_dataset, read_case

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.nnunet
pytest.importorskip("nnunetv2")
# Anisotropic, and small enough for a network of four features.
BENCHMARK = f"""
tier: tiny
content: ['{ROOT}']
methods:
  nnunet: {{epochs: 2, iterations: 2}}
protocols: [finetune]
tasks:
  phantom_organs:
    cases: 8
    format: {{settings: {{train: 4, val: 2, test: 2}}}}
    preprocess: {{spacing: [6, 6, 8]}}
label_budgets: [100%]
seeds: [0]
training: {{checkpoint_steps: 2}}
"""


def start(folder, text=BENCHMARK):
    folder.mkdir(exist_ok=True)
    path = folder / "benchmark.yaml"
    path.write_text(text)
    store = Store(folder / "results")
    plan = make_plan(load(path), store)
    plan.write_specs(store, plan.jobs())
    adapt, evaluate = (key for job in plan.jobs() for key in job.nodes)
    return store, adapt, evaluate


def run(store, *keys):
    return run_nodes(str(store.root), list(keys), threads=1)


def log_of(store, key):
    node = store.node_dir(key)
    return "".join(path.read_text() for path in sorted(node.glob("attempts/*/log.txt")))


def mirrored_axes(store, key):
    """Of the trainer, which asks for them once, before it makes its transforms."""
    return json.loads(store.file(key, "about.json").read_text())["mirroring_axes"]


def test_nnunet_plans_trains_and_is_scored_on_the_native_grid(tmp_path, capsys):
    store, adapt, evaluate = start(tmp_path)
    assert run(store, adapt, evaluate) == Exit.DONE, log_of(store, adapt)
    manifest = store.manifest(adapt)
    assert manifest.run["n_train"] == 4
    assert manifest.run["trainable_params"] > 10_000
    assert manifest.run["peak_mem_bytes"] > 100e6
    folder = store.file(adapt, "plans.json").parent
    fingerprint = json.loads((folder / "plans.json").read_text())
    assert "3d_fullres" in fingerprint["configurations"]
    assert mirrored_axes(store, adapt) == [0, 1, 2]
    curves = read_tables("curves", [store.file(adapt, "curves.parquet")]).to_pandas()
    losses = curves[curves.quantity == "loss"]
    assert list(losses.step) == [2, 4]
    assert np.isfinite(losses.value).all()
    cases = read_tables("cases", [store.file(evaluate, "cases.parquet")]).to_pandas()
    assert cases.case_id.nunique() == 2
    assert not (store.node_dir(adapt) / CHECKPOINTS).exists()  # gigabytes otherwise
    predicts_new_images(tmp_path, evaluate, cases, capsys)


def predicts_new_images(folder, evaluate, cases, capsys):
    """`harness predict` marks a test case, turned on disk, as the evaluation did."""
    matrix = load(folder / "benchmark.yaml")
    spec = matrix.tasks[0].spec
    generator = matrix.content.generator(spec)
    dataset = open_dataset("phantom_organs", spec, [], generator)
    ref = next(ref for ref in list_cases(dataset) if ref.case_id in set(cases.case_id))
    raw = read_case(dataset, ref)
    turned = raw.affine @ np.array(
        [[0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]]
    )
    (folder / "images").mkdir()
    image = nib.Nifti1Image(raw.image[0].transpose(2, 0, 1), turned)
    nib.save(image, folder / "images/new.nii.gz")
    code = main(
        [
            "-b", str(folder / "benchmark.yaml"), "--results", str(folder / "results"),
            "predict", evaluate[:12], "--input", str(folder / "images"),
            "--output", str(folder / "masks"),
        ]
    )  # fmt: skip
    assert code == 0, capsys.readouterr().err
    mask = nib.load(folder / "masks/new.nii.gz")
    np.testing.assert_allclose(mask.affine, turned)
    found = np.asarray(mask.dataobj).transpose(1, 2, 0)
    mine = cases[(cases.case_id == ref.case_id) & (cases.metric == "dice")]
    want = mine.set_index("structure").value
    names = sorted(spec.structures, key=spec.structures.get)
    for name, score in zip(names, dice(found, raw.label, spec.classes), strict=True):
        if score.value is None:
            assert np.isnan(want[name])
        else:
            assert score.value == pytest.approx(want[name], abs=0.02)


class StopsAtTheFirstCheckpoint(interrupts.Progress):
    """A signal that arrives when a checkpoint has been written, once."""

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        if value:
            raise interrupts.Interrupted(signal.SIGTERM)


def test_a_stopped_training_goes_on_from_its_last_epoch(tmp_path, monkeypatch):
    """Of regions that overlap and without mirroring, so that these are run, too."""
    (tmp_path / "own/tasks").mkdir(parents=True)
    (tmp_path / "own/tasks/parts.yaml").write_text(
        (ROOT / "tasks/phantom_organs.yaml").read_text()
        + "regions: {inside: [liver, liver_tumour], tumour: [liver_tumour]}\n"
    )
    text = BENCHMARK.replace("phantom_organs:", "parts:")
    text = text.replace("epochs: 2", "epochs: 2, mirrored_training: false")
    text = text.replace("content: [", "content: [own, ")
    store, adapt, evaluate = start(tmp_path, text)
    monkeypatch.setattr(interrupts, "progress", StopsAtTheFirstCheckpoint())
    with pytest.raises(interrupts.Interrupted):
        run(store, adapt)
    monkeypatch.undo()
    assert run(store, adapt, evaluate) == Exit.DONE, log_of(store, adapt)
    assert store.manifest(adapt).run["resumed_at"] == 2
    assert log_of(store, adapt).count("plans and preprocesses") == 1
    assert mirrored_axes(store, adapt) is None
    curves = read_tables("curves", [store.file(adapt, "curves.parquet")]).to_pandas()
    assert list(curves[curves.quantity == "loss"].step) == [2, 4]
    about = json.loads(store.file(adapt, "dataset.json").read_text())
    assert about["labels"] == {"background": 0, "inside": [1, 10], "tumour": [10]}
    cases = read_tables("cases", [store.file(evaluate, "cases.parquet")]).to_pandas()
    assert set(cases.structure) == {"inside", "tumour"}
