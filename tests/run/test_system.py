"""A method without an encoder trains and predicts by itself, on everybody's cases."""

import json

import pytest

from harness.plan.cost import STEP_S
from harness.run import cell, interrupts
from harness.schema.errors import Exit
from harness.store.records import CHECKPOINTS

# Labels are what is brighter than the mean of a structure in the training cases.
SYSTEM = '''
"""A system of the tests."""
import json
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import Field

from harness.api import OwnSettings, System


class Settings(OwnSettings):
    rounds: int = Field(3, ge=1, description="chosen here")
    dies_after: int = Field(0, description="chosen here")


class Bright(System):
    """Thresholds."""

    Settings = Settings
    version: ClassVar[int] = 2

    def fit(self, work):
        path = work.draft / "state.json"
        done = json.loads(path.read_text()) if path.exists() else 0
        work.begins(2.0, done)
        for number in range(done, self.settings.rounds):
            work.curve("train", number + 1, {"loss": 1.0 / (number + 1)})
            path.write_text(json.dumps(number + 1))
            work.saved()
            if number + 1 == self.settings.dies_after and not (done or number > 3):
                raise OSError("the node is gone")
        found = [work.read(case_id) for case_id in work.train]
        cuts = [
            float(np.mean([case.image[0][case.label == k].mean() for case in found]))
            for k in (1, 2)
        ]
        (work.model / "model.safetensors").write_text(json.dumps(cuts))
        work.say(f"seed {work.seed}, {len(work.val)} to validate with")
        return {"trainable_params": len(cuts)}

    def segmenter(self, model, draft, machine):
        return Cut(json.loads((model / "model.safetensors").read_text()), draft)


class Cut:
    def __init__(self, cuts, draft):
        self.cuts, self.draft = cuts, draft
        (draft / "open").touch()

    def labels(self, image):
        ball, plate = self.cuts
        found = (image.image[0] > (ball + plate) / 2).astype(np.uint8)
        found[(image.image[0] > (plate + 0.2) / 2) & (found == 0)] = 2
        return found

    def close(self):
        (self.draft / "open").unlink()
'''


@pytest.fixture
def bright(tiny):
    tiny.bench.add("methods/bright.py", SYSTEM)
    tiny.bench.add("methods/_bright_program.py", "")
    return tiny


def test_a_system_is_run_scored_and_shown_like_every_method(bright):
    task = "{organs: {preprocess: {spacing: [2, 2, 3]}}}"
    plan = bright.plan("bright: ", tasks=task)
    adapt, evaluate = bright.nodes(plan)
    assert bright.run([adapt, evaluate]) == Exit.DONE

    spec = bright.store.spec(adapt)
    assert spec["identity"]["implementation"] == "methods.bright"
    assert spec["identity"]["version"] == 2
    assert spec["identity"]["settings"]["system"] == {"rounds": 3, "dies_after": 0}
    assert spec["labels"]["encoder"] == "none"
    assert spec["labels"]["protocol"] == "finetune"
    manifest = bright.store.manifest(adapt)
    assert manifest.run["trainable_params"] == 2
    assert manifest.run["n_train"] == 8
    assert {"methods/bright.py", "methods/_bright_program.py"} <= set(
        manifest.run["sources"]
    )
    assert set(manifest.files) == {"model.json", "model.safetensors", "curves.parquet"}
    curves = bright.table(adapt, "curves")
    assert list(curves.step) == [1, 2, 3]
    assert list(curves.epoch) == [0.5, 1.0, 1.5]

    cases = bright.table(evaluate, "cases")
    dice = cases[cases.metric == "dice"]
    assert len(dice) == 2 * 4
    # On the files' own grid, where the thresholds were found: noise alone is wrong.
    assert dice[dice.structure == "big"].value.min() > 0.85
    assert not (bright.store.node_dir(adapt) / CHECKPOINTS).exists()


def test_a_system_goes_on_from_what_an_earlier_attempt_left(bright, monkeypatch):
    progress = interrupts.Progress()
    monkeypatch.setattr(interrupts, "progress", progress)
    plan = bright.plan("bright: {dies_after: 2}")
    adapt, evaluate = bright.nodes(plan)
    assert bright.run([adapt, evaluate]) == Exit.FAILED
    assert progress.made
    (left,) = (bright.store.node_dir(adapt) / CHECKPOINTS).iterdir()
    assert json.loads((left / "state.json").read_text()) == 2

    assert bright.run([adapt, evaluate]) == Exit.DONE
    run = bright.store.manifest(adapt).run
    assert run["resumed_at"] == 2
    assert list(bright.table(adapt, "curves").step) == [1, 2, 3]  # each row once
    assert not (bright.store.node_dir(adapt) / CHECKPOINTS).exists()


def test_the_weights_of_a_system_go_where_nothing_is_kept(bright):
    plan = bright.plan("bright: ", more="keep: {adapt: none}")
    adapt, evaluate = bright.nodes(plan)
    assert bright.run([adapt, evaluate]) == Exit.DONE
    assert set(bright.store.manifest(adapt).removed) == {"model.safetensors"}


def test_a_system_is_one_node_under_every_protocol(bright):
    plan = bright.plan(
        "bright: ", protocols="{finetune: {}, longer: {extends: finetune, steps: 9}}"
    )
    cells = plan.cells
    assert [each.protocol for each in cells] == ["finetune", "longer"]
    assert len({each.adapt_key for each in cells}) == 1
    assert len({each.evaluate_key for each in cells}) == 1


def test_rank_0_alone_trains_a_system(bright):
    plan = bright.plan("bright: ")
    adapt, _ = bright.nodes(plan)

    class Stub:
        identity = bright.store.spec(adapt)["identity"]

    assert not cell._on_every_rank(Stub())


def test_the_cost_of_a_system_is_forecast_from_its_own_schedule(bright):
    plan = bright.plan("bright: ")
    assert plan.cost_table[0].cost.hours == 0  # it names no schedule
    more = "epochs: int = Field(9, description='.')\n    "
    more += "iterations: int = Field(4, description='.')\n    rounds: int"
    text = SYSTEM.replace("rounds: int", more)
    bright.bench.add("methods/brighter.py", text)
    plan = bright.plan("brighter: ")
    (row,) = (row for row in plan.cost_table if row.phase == "adapt")
    assert row.cost.hours == pytest.approx(9 * 4 * STEP_S["tiny"] / 3600)
