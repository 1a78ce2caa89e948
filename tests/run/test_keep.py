"""`keep:` which weights stay once an evaluation is published, and what comes after."""

import nibabel as nib
import numpy as np
import pytest

from harness.plan import make_plan
from harness.registry.modules import load_module
from harness.schema.errors import Exit
from harness.store import Store

METHOD = "random: "
SHORT = "{finetune: {steps: 2, val_every: 1}}"


def planned(tiny, keep, **more):
    line = f"keep: {{adapt: {keep}}}"
    return tiny.plan(METHOD, protocols=SHORT, more=line, **more)


@pytest.mark.parametrize(
    ("keep", "left"),
    [
        ("best", {"model.safetensors"}),
        ("last", {"last.safetensors"}),
        ("none", set()),
    ],
)
def test_weights_go_once_they_are_evaluated(tiny, keep, left):
    plan = planned(tiny, keep)
    adapt, evaluate = tiny.nodes(plan)
    assert tiny.run([adapt]) == Exit.DONE
    assert "model.safetensors" in tiny.store.manifest(adapt).files  # still needed
    before = tiny.store.manifest(adapt)
    assert tiny.run([adapt, evaluate]) == Exit.DONE
    manifest = tiny.store.manifest(adapt)
    assert manifest.attempt == before.attempt
    weights = {name for name in manifest.files if name.endswith(".safetensors")}
    on_disk = {path.name for path in tiny.store.node_dir(adapt).rglob("*.safetensors")}
    assert weights == on_disk == left
    gone = set(before.files) - set(manifest.files)
    assert manifest.removed == {name: before.files[name] for name in gone}
    assert tiny.store.is_done(adapt)
    assert tiny.store.done()[adapt] == manifest  # through the index, too
    assert not make_plan(plan.matrix, tiny.store).todo
    assert not tiny.store.verify()
    assert {"model.json", "curves.parquet"} <= manifest.files.keys()


def test_a_later_evaluation_trains_the_model_anew(tiny):
    first = planned(tiny, "none")
    adapt, old = tiny.nodes(first)
    assert tiny.run([adapt, old]) == Exit.DONE
    before = tiny.store.manifest(adapt)
    again = planned(tiny, "none", tasks="{organs: {metrics: [dice]}}")
    assert [cell.adapt_key for cell in again.cells] == [adapt]
    (job,) = again.jobs()
    assert job.nodes[0] == adapt  # planned again, since its weights were not kept
    assert tiny.run(job.nodes) == Exit.DONE
    now = tiny.store.manifest(adapt)
    assert now.attempt != before.attempt
    assert now.removed["model.safetensors"] == before.removed["model.safetensors"]
    assert [run["state"] for run in tiny.store.attempts(adapt)] == ["duplicate", "done"]
    assert all(Store(tiny.results).is_done(key) for key in (old, *job.nodes))


def test_weights_stay_while_another_cell_of_the_job_needs_them(tiny, monkeypatch):
    plan = planned(tiny, "none")
    adapt, evaluate = tiny.nodes(plan)
    other = planned(tiny, "none", tasks="{organs: {metrics: [dice]}}").cells[0]
    seen = []
    honest = Store.remove

    def remove(self, key, names):
        seen.append((self.is_done(evaluate), self.is_done(other.evaluate_key)))
        return honest(self, key, names)

    monkeypatch.setattr(Store, "remove", remove)
    assert tiny.run([adapt, evaluate, other.evaluate_key]) == Exit.DONE
    assert seen == [(True, True)]


def test_predictions_stay_where_they_are_asked_for(tiny):
    """As files that a viewer lays over the images, with windows that trust middles."""
    line = "{finetune: {steps: 1, val_every: 1, window_weights: gaussian}}"
    task = "{organs: {preprocess: {spacing: [2, 2, 2]}}}"
    plan = tiny.plan(
        METHOD, protocols=line, tasks=task, more="keep: {predictions: yes}"
    )
    adapt, evaluate = tiny.nodes(plan)
    assert tiny.run([adapt, evaluate]) == Exit.DONE
    settings = tiny.store.spec(evaluate)["identity"]["settings"]
    assert settings["window_weights"] == "gaussian"
    assert tiny.store.manifest(evaluate).run["windows"] >= 4
    names = [
        n for n in tiny.store.manifest(evaluate).files if n.startswith("predictions")
    ]
    tests = tiny.store.spec(evaluate)["where"]["cases"]["test"]
    assert names == [
        f"predictions/{i:05d}_{case}.nii.gz" for i, case in enumerate(tests)
    ]
    mask = nib.load(tiny.store.file(evaluate, names[0]))
    assert mask.shape == (20, 24, 18)
    assert mask.header.get_zooms() == (1.0, 1.0, 1.5)
    # What lies there is what was scored.
    cases = tiny.table(evaluate, "cases")
    row = cases[(cases.case_id == tests[0]) & (cases.metric == "dice")].iloc[0]
    toy = load_module([tiny.bench.root], "tasks", "toy")
    case = next(each for each in toy.cases(0) if each.case_id == tests[0])
    truth, found = toy.make(case, 0).label == 1, np.asarray(mask.dataobj) == 1
    want = 2 * (truth & found).sum() / (truth.sum() + found.sum())
    assert row.structure == "big"
    assert row.value == pytest.approx(want)
