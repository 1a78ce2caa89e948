"""Rates that fall and trainings that end when validations no longer improve."""

import json

import pytest
import torch

from harness.run import training
from harness.run.adapt import batches
from harness.run.curves import Curves
from harness.run.patience import Patience
from harness.schema.errors import Exit
from harness.schema.protocols import Finetune, LinearDecoder


def after(*validations, plateau=None, early_stop=None):
    """Patience after validations, each a score and a loss."""
    curves = Curves("k", 10, 1.0)
    for number, (score, loss) in enumerate(validations):
        curves.val(number + 1, {"score": score, "loss": loss})
    return Patience(curves, plateau=plateau, early_stop=early_stop)


SCORES = (0.5, 0.6, 0.6, 0.4, 0.7, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)


@pytest.mark.parametrize("patience", [0, 1, 2])
def test_it_falls_as_reduce_lr_on_plateau_of_torch_does(patience):
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimiser, mode="max", factor=0.1, patience=patience, threshold=0
    )
    for count, score in enumerate(SCORES, start=1):
        theirs.step(score)
        ours = after(*((s, 1.0) for s in SCORES[:count]), plateau=patience)
        assert ours.share() == pytest.approx(optimiser.param_groups[0]["lr"])


def test_it_ends_after_so_many_that_are_not_the_best():
    ends = [
        after(*((s, 1.0) for s in SCORES[:count]), early_stop=3).is_over()
        for count in range(len(SCORES) + 1)
    ]
    assert ends == [False] * 8 + [True] * 4
    assert not after(early_stop=1).is_over()
    assert not after(*((s, 1.0) for s in SCORES)).is_over()


def test_a_lower_loss_counts_where_scores_tie_or_are_undefined():
    assert not after((0.5, 1.0), (0.5, 0.9), early_stop=1).is_over()
    assert after((0.5, 1.0), (0.5, 1.1), early_stop=1).is_over()
    assert not after((None, 1.0), (None, 0.9), early_stop=1).is_over()
    assert after((0.5, 1.0), (None, 0.1), early_stop=1).is_over()


def test_epochs_are_steps_by_the_number_of_cases():
    settings = Finetune(epochs=3, batch=4)
    assert (settings.on(9).steps, settings.on(9).val_every) == (9, 3)
    assert (settings.on(1).steps, settings.on(1).val_every) == (3, 1)
    assert Finetune().on(9) == Finetune()


def test_what_is_not_used_is_no_part_of_a_key():
    new = {"optimiser", "epochs", "plateau", "early_stop", "balanced"}
    for settings in (Finetune(), LinearDecoder()):
        assert not new & set(settings.model_dump(mode="json"))
    used = Finetune(
        optimiser="adam", epochs=2, plateau=5, early_stop=10, balanced=True
    ).model_dump(mode="json")
    assert new <= set(used)
    assert Finetune.model_validate(used).optimiser.kind == "adam"


def test_classes_of_a_segmentation_cannot_be_balanced(bench):
    text = (
        "tier: tiny\ncorpus: [organs]\nmethods: [plain]\n"
        "protocols: {%s: {balanced: true}}\ntasks: [organs]\n"
    )
    reason = "balanced is about the classes of a classification: remove it"
    for protocol, where in {
        "finetune": "plain is run with finetune on organs",
        "linear_decoder": "linear_decoder",
    }.items():
        found = [message for _, message in bench.mistakes(text % protocol)]
        assert found == [f"{where}: {reason}"]


PUBLISHED = (
    "{finetune: {freeze: encoder, optimiser: adam, lr: 10, warmup: 0, epochs: 9, "
    "batch: 4, plateau: 0, early_stop: 2, balanced: true}}"
)


def test_a_cell_that_falls_and_stops_resumes_to_the_same_end(tiny, monkeypatch):
    """METHODS 2.7, in small: the bits of an uninterrupted training."""
    plan = tiny.plan(
        protocols=PUBLISHED, tasks="{nodules: }", methods="random: {encoder: resnet}"
    )
    keys = tiny.nodes(plan)
    assert tiny.run(keys) == Exit.DONE
    curves = tiny.table(keys[0], "curves")
    steps = curves[curves.split == "val"].step.unique().tolist()
    assert steps == list(range(2, steps[-1] + 2, 2))  # 8 cases, an epoch is 2 steps
    assert steps[-1] < 18  # it was stopped early
    about = json.loads(tiny.store.file(keys[0], "model.json").read_text())
    assert about["best_step"] <= steps[-1] - 4

    rates = []
    honest = training.Training._step

    def step(self, *args):
        found = honest(self, *args)
        rates.append(self._optimiser.param_groups[0]["lr"])
        assert isinstance(self._optimiser, torch.optim.Adam)
        assert not isinstance(self._optimiser, torch.optim.AdamW)
        if self.done == 2 and not self.node.folder.joinpath("stopped").exists():
            self.node.folder.joinpath("stopped").touch()
            self.done += 1
            self.save()
            self.done -= 1
            message = "a fault of the machine"
            raise OSError(message)
        return found

    monkeypatch.setattr(training.Training, "_step", step)
    again = tiny.bench.root / "again"
    plan.write_specs(type(tiny.store)(again), plan.jobs())
    assert tiny.run(keys, results=again) == Exit.FAILED
    assert tiny.run(keys, results=again) == Exit.DONE
    first, second = (
        type(tiny.store)(results).manifest(keys[0]).files["model.safetensors"].sha256
        for results in (tiny.results, again)
    )
    assert first == second
    assert rates[0] == 10
    assert rates[-1] == pytest.approx(rates[0] * 0.1)


def test_classes_are_drawn_equally_often():
    class Data:
        classes = {"a": 0, "b": 1, "c": 1, "d": 1}  # noqa: RUF012

        def target(self, case_id):
            return self.classes[case_id]

    assert batches._balancing(Data(), list("abcd")) == [1, 1 / 3, 1 / 3, 1 / 3]
