"""The template of `harness new method`, broken in eight ways: which clause says what."""

from importlib import resources

import pytest

from harness.registry.methods import load_method
from harness.run.contract import CLAUSES, Subject, judge

TEXT = resources.files("harness.templates").joinpath("method.py.template").read_text()
LOSS = 'return Loss(loss, {"denoising": loss.detach()})'
HEAD = "self.head = VoxelHead.of(self.student, channels, rng)"
SAME, EXPORT = "return self.student", '"""Return the network to export."""'

# way: (what is replaced, by what), code, what is said, what the hint names
WAYS = {
    "a loss without gradient": (
        (LOSS, LOSS.replace("Loss(loss", "Loss(loss.detach()")),
        "M02", "the loss has no gradient", "outside torch.no_grad()",
    ),
    "a loss that is NaN": (
        (LOSS, LOSS.replace("Loss(loss", "Loss(loss / 0 * 0")),
        "M02", "the loss is nan, not one finite number", "a division by 0",
    ),
    "noise that ignores the generator": (
        (", generator=rng, device=rng.device),", "),"),
        "M03", "one seed gave", "give every torch.rand* call generator=rng",
    ),
    "a teacher with gradients": (
        (HEAD, f"{HEAD}\n        import copy\n        self.teacher = copy.deepcopy("
         "self.student).eval()"),
        "M07", "the teacher is trained by the optimiser", "harness.nn.ema.Teacher",
    ),
    "an encoder that is none of ours": (
        (SAME, "return nn.Sequential(self.student)"),
        "M10", "AttributeError: 'Sequential' object has no attribute",
        "return the network of harness.nn.build from encoder()",
    ),
    "a count that a checkpoint does not hold": (
        (EXPORT, f'{EXPORT}\n        return self.student\n\n'
         "    seen = 0\n\n    def after_step(self, step, total):\n"
         '        """Count."""\n        self.seen += 1\n'
         "        self.settings = self.settings.model_copy(\n"
         '            update={"noise": 0.2 * (1 + self.seen)}\n        )\n\n'
         "    def unused(self):"),
        "M09", "without a break", "registered buffers",
    ),
    "a setting without a source": (
        (', description="sd of the noise; chosen here"', ""),
        "M01", "without a source in the description: noise", "or 'chosen here'",
    ),
    "a parameter that nothing uses": (
        (HEAD, f"{HEAD}\n        self.spare = nn.Linear(2, 2)\n"
         "        nn.init.zeros_(self.spare.weight)"),
        "M06", "no gradient for spare.weight, spare.bias", "or remove it",
    ),
    "a mask token that nothing hides": (
        ("self.student.hide_nothing()", "pass"),
        "M06", "no gradient for student.mask_token", "encoder.hide_nothing()",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One content folder for all: Python knows one place for a module `methods`."""
    root = tmp_path_factory.mktemp("content")
    for kind in ("methods", "tasks"):  # a folder with both is left by what follows
        (root / kind).mkdir()
    for number, ((old, new), *_) in enumerate(WAYS.values()):
        assert TEXT.count(old) == 1
        text = TEXT.replace(old, new).replace("CLASS", "Mine").replace("NAME", "mine")
        (root / "methods" / f"mine{number}.py").write_text(text)
    return root


@pytest.mark.parametrize("way", WAYS)
def test_a_broken_template_is_told_by_code_sentence_and_hint(way, folder):
    _, code, said, hint = WAYS[way]
    kind = load_method([folder], f"mine{list(WAYS).index(way)}")
    (clause,) = [each for each in CLAUSES if each.code == code]
    verdict = judge(clause, Subject(kind))
    assert verdict.state in {"broken", "error"}
    assert said in verdict.said
    assert hint in verdict.hint
