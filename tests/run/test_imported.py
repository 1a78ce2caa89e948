"""An encoder from a file, from the benchmark file to the model that starts from it."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from harness.api import resolve
from harness.cli import main
from harness.nn.build import build_encoder
from harness.plan import make_plan
from harness.registry.methods import load_method
from harness.run.checkpoint import encoder_state
from harness.run.outputs import named_output
from harness.schema.errors import DataError, Exit

from .conftest import ROOT

SWIN = "{kind: swin, width: 12, depths: [2, 2], heads: [1, 2], window: 2}"
FINETUNE = "{finetune: {steps: 1, val_every: 1}}"


@pytest.fixture
def given(tiny):
    """A benchmark with a file of weights beside it, and those weights."""
    source = ROOT / "methods" / "checkpoint.py"
    tiny.bench.add("methods/checkpoint.py", source.read_text())
    kind = load_method([tiny.bench.root], "checkpoint")
    encoder = {
        "kind": "swin", "width": 12, "depths": (2, 2), "heads": (1, 2), "window": 2,
    }  # fmt: skip
    settings = resolve(kind.Settings, "tiny", {"encoder": encoder})
    generator = torch.Generator().manual_seed(5)
    state = encoder_state(build_encoder(settings.encoder, 1, generator))
    tiny.state = state
    tiny.file = tiny.bench.root / "given.safetensors"
    head = {"head.weight": torch.ones(7, 48), "head.bias": torch.zeros(7)}
    save_file({**{f"net.{n}": v for n, v in state.items()}, **head}, tiny.file)
    return tiny


def entry(more=""):
    return (
        f"checkpoint: {{weights: given.safetensors, strip: [net.], encoder: {SWIN}, "
        f"outputs: {{seven: head}}{more}}}"
    )


def test_a_file_becomes_a_published_encoder_that_adaptations_start_from(given):
    plan = given.plan(entry(), protocols=FINETUNE, seeds="0, 1")
    (pretraining,) = plan.pretrainings.values()
    assert pretraining.seed is None
    assert next(job.label for job in plan.jobs()) == "import checkpoint"
    assert plan.to_json()["naive_pretrainings"] == 0
    assert given.run(given.nodes(plan)) == Exit.DONE
    encoder = load_file(given.store.file(pretraining.key, "encoder.safetensors"))
    assert all(torch.equal(encoder[name], given.state[name]) for name in given.state)
    outputs = load_file(given.store.file(pretraining.key, "outputs.safetensors"))
    assert {name: tuple(each.shape) for name, each in outputs.items()} == {
        "seven.weight": (7, 48), "seven.bias": (7,),
    }  # fmt: skip
    head = named_output(given.store, pretraining.key, "seven")
    assert head(torch.full((1, 48), 0.5)).tolist() == [[24.0] * 7]
    with pytest.raises(
        DataError, match=r"no output 'sevn': it has seven\. Did you mean"
    ):
        named_output(given.store, pretraining.key, "sevn")
    about = json.loads(given.store.file(pretraining.key, "encoder.json").read_text())
    assert about["corpus"]["file"] == "given.safetensors"
    assert about["outputs"] == {"seven": {"width": 7, "reads": "pooled"}}
    assert (about["matched"], about["notes"]) == (1.0, [])
    models = [
        load_file(given.store.file(cell.adapt_key, "model.safetensors"))
        for cell in plan.cells
    ]
    assert all(f"encoder.{name}" in model for name in encoder for model in models)


def test_the_file_is_known_by_what_it_holds(given):
    (before,) = given.plan(entry()).pretrainings
    moved = given.bench.root / "elsewhere" / "other-name.safetensors"
    moved.parent.mkdir()
    given.file.rename(moved)
    text = entry().replace("given.safetensors", f"'{moved}'")
    assert set(given.plan(text).pretrainings) == {before}
    save_file({**load_file(moved), "more": torch.ones(1)}, moved)
    assert set(given.plan(text).pretrainings) != {before}


def test_a_missing_file_is_planned_without_and_refused_when_run(
    given, monkeypatch, capsys
):
    (known,) = given.plan(entry()).pretrainings
    digest = given.plan(entry()).spec(known)["identity"]["data"]["weights"]
    given.file.unlink()
    matrix = given.bench.load((given.bench.root / "benchmark.yaml").read_text())
    plan = make_plan(matrix, given.store)
    assert set(plan.pretrainings) != {known}
    with pytest.raises(DataError, match="the weights of checkpoint are missing"):
        plan.jobs()
    text = given.bench.path.read_text().replace(
        "weights:", f"sha256: {digest}, weights:"
    )
    stated = make_plan(given.bench.load(text), given.store)
    assert set(stated.pretrainings) == {known}
    monkeypatch.chdir(given.bench.root)
    assert main(["validate"]) == 2
    assert "the weights of checkpoint are missing" in capsys.readouterr().err


def test_a_file_that_changed_after_planning_is_refused_by_the_job(given):
    plan = given.plan(entry())
    (key,) = plan.pretrainings
    save_file({**load_file(given.file), "more": torch.ones(1)}, given.file)
    assert given.run([key]) == Exit.FAILED
    assert "has changed since this was planned" in given.last(key)["message"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (", share: 1.0, strip: []", "fills 0 of the encoder's"),
        (", sha256: abc", "expected 64 hexadecimal digits"),
        (", sha256: " + "f" * 64, "as stated"),
        (", weights: 7", "expected a path or URL"),
        (", source: organs", "learns from no labels"),
        (", weights: 's3://a/b'", "cannot be fetched"),
    ],
)
def test_mistakes_are_told_before_anything_is_planned(given, more, said):
    text = entry(more)
    for key in ("strip: [net.], ", "weights: given.safetensors, "):
        if key.split(":")[0] in more:
            text = text.replace(key, "", 1)
    given.plan()  # a benchmark file that is right
    whole = given.bench.path.read_text().replace("random: ", text)
    found = given.bench.mistakes(whole)
    assert any(said in message for _, message in found), found


def test_code_in_a_file_is_refused_at_validation(given):
    class Trap:
        def __reduce__(self):
            return print, ("run",)

    torch.save({"state_dict": given.state, "x": Trap()}, given.bench.root / "t.pt")
    given.plan()
    text = entry().replace("given.safetensors", "t.pt")
    whole = given.bench.path.read_text().replace("random: ", text)
    ((_, message),) = given.bench.mistakes(whole)
    assert "holds objects beside tensors" in message
