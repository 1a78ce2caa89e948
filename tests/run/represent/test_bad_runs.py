"""What cannot be analysed, from the command line: one sentence, and the others go on."""

import json
import re
from pathlib import Path
from textwrap import dedent

import pytest
import torch

from harness.cli import main
from harness.matrix import load
from harness.plan import make_plan
from harness.store import Store

ROOT = Path(__file__).resolve().parents[3]
TEXT = """
tier: tiny
content: [{root}]
methods: [random]
protocols: {{finetune: {{steps: 1, warmup: 0, val_every: 1, overlap: 0}}}}
tasks:
  phantom_organs:
    cases: {cases}
    format: {{settings: {{train: 1, val: 1, test: {test}}}}}
    preprocess: {{spacing: [8, 8, 10]}}
label_budgets: [100%]
analyses:
"""


class Session:
    """A benchmark file whose analyses change, and what the command line says."""

    def __init__(self, home, capsys, test):
        self.path, self.results, self._capsys = (
            home / "b.yaml",
            home / "results",
            capsys,
        )
        self._head = dedent(TEXT).format(root=ROOT, cases=test + 2, test=test)

    def harness(self, *words):
        """Run a command; return (exit code, stdout, stderr)."""
        self._capsys.readouterr()
        words = ["-b", str(self.path), "--results", str(self.results), *words]
        code = main(words)
        return code, *self._capsys.readouterr()

    def run(self, **analyses):
        """Run the benchmark with these analyses."""
        lines = [f"  {name}: {{{body}}}" for name, body in analyses.items()]
        self.path.write_text("\n".join([self._head, *lines]) + "\n")
        code, out, err = self.harness("run", "--cluster", "inline")
        assert "Traceback" not in out + err
        return code, out, err

    def states(self):
        """Return the state of every analysis by its name."""
        _, out, _ = self.harness("status", "--json")
        return {one["analysis"]: one["state"] for one in json.loads(out)["analyses"]}

    @property
    def checkpoint(self):
        """The file of the adapted network."""
        (cell,) = make_plan(load(self.path), Store(self.results)).cells
        return Store(self.results).file(cell.adapt_key, "model.safetensors")


def test_too_few_samples_are_counted_and_the_others_go_on(tmp_path, capsys):
    user = Session(tmp_path, capsys, test=3)
    code, _, err = user.run(
        reuse="samples: 4, batch: 4", transfer="samples: 4", pca="samples: 4",
        embedding="samples: 4, planes: [tsne]", attention="samples: 2",
    )  # fmt: skip
    assert code == 1
    assert user.states() == {
        "reuse": "failed", "transfer": "failed", "pca": "failed",
        "embedding": "failed", "attention": "done",
    }  # fmt: skip
    for said in (
        "the 3 test cases of phantom_organs give 3 crops, and CKA takes 4 or more",
        "the 3 test cases of phantom_organs give 3 crops, and 4 or more have a spectrum",
        "phantom_organs has 3 test cases, and components of tokens",
        "the test cases of phantom_organs give 3 crops, and 4 or more can be drawn",
    ):
        assert said in err
    code, out, _ = user.harness("report", "--table", "attention")
    assert code == 0
    assert "before fine-tuning" in out
    code, out, _ = user.harness("why", "transfer", "random")
    assert code == 1
    assert "give 3 crops, and 4 or more have a spectrum" in out
    assert "Traceback" not in out
    (log,) = re.findall(r"log: (.*)", out)
    assert "Traceback" in Path(log).read_text()
    # A network that was damaged after it was published: of its old size, not its bytes.
    file = user.checkpoint
    file.chmod(0o600)
    file.write_bytes(b"\xff" * file.stat().st_size)
    code, _, err = user.run(attention="samples: 1")
    assert code == 1
    assert f"{file} is damaged, its weights cannot be read" in err
    # One that is gone is made again, and looked at.
    file.unlink()
    code, _, err = user.run(attention="samples: 1")
    assert code == 0, err
    assert user.checkpoint.exists()
    assert user.states() == {"attention": "done"}


def test_networks_with_different_inputs_are_told_apart_by_name(tmp_path, capsys):
    """Their other analyses go on."""
    user = Session(tmp_path, capsys, test=4)
    user._head = user._head.replace(
        "methods: [random]",
        "corpus: [phantom_organs]\nmethods: {random: , simmim: {crop: [32, 32, 16], "
        "steps: 1, warmup: 0, batch: 1}}",
    ).replace("{steps: 1, w", "{steps: 1, batch: 1, crop: pretrained, w")
    code, _, err = user.run(
        similarity="samples: 4, batch: 4, between: [methods]",
        lost="extends: reuse, samples: 4, batch: 4, layers: [stage1.blok1]",
        reuse="samples: 4, batch: 4, methods: [simmim], layers: [stem]",
    )
    assert code == 1
    states = user.states()
    assert states["reuse"] == "done"
    assert (states["similarity"], states["lost"]) == ("failed", "failed")
    for said in (
        "random and simmim have different inputs and cannot be compared: crops of "
        "32 x 32 x 32 voxels, channels: 1 and crops of 32 x 32 x 16 voxels, channels: 1",
        "the network of simmim has no layer 'stage1.blok1'. Did you mean "
        "'stage1.block1'?",
    ):
        assert said in err


def test_features_that_are_constant_are_said(tmp_path, capsys, monkeypatch):
    """Images without content: every crop is empty."""
    user = Session(tmp_path, capsys, test=4)
    for name in ("alignment", "embedding", "pca", "attention"):
        monkeypatch.setattr(
            f"harness.run.represent.{name}.batches",
            lambda *args: iter([torch.zeros(len(args[2]), 1, *args[3])]),
        )
    code, _, err = user.run(
        reuse="samples: 4, batch: 4", pca="samples: 4", attention="samples: 2",
        embedding="samples: 4, planes: [tsne]",
    )  # fmt: skip
    assert code == 1
    assert user.states() == {
        "reuse": "done", "pca": "failed", "attention": "done", "embedding": "failed",
    }  # fmt: skip
    assert "gives the same vector for all 4 crops of phantom_organs" in err
    assert "gives the same token everywhere on phantom_organs" in err


@pytest.mark.parametrize(
    ("name", "encoder", "said"),
    [
        ("attention", "{kind: resnet}", "a resnet has no attention to look at"),
        ("attention_maps", "{kind: swin}",
         "a swin without semantic attention has no class token"),
    ],
)  # fmt: skip
def test_a_method_without_attention_is_refused_before_anything_runs(
    tmp_path, capsys, name, encoder, said
):
    user = Session(tmp_path, capsys, test=1)
    user._head = user._head.replace(
        "methods: [random]", f"methods: {{random: {{encoder: {encoder}}}}}"
    )
    code, _, err = user.run(**{name: "samples: 1"})
    assert code == 2
    assert f"{name} of random: {said}" in err
    assert len(err.strip().splitlines()) == 1
    assert not user.results.exists()
