"""Foreign checkpoints: reading without pickle, renaming, resizing, counting."""

import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from harness.nn.foreign import fit, read_tensors, stripped
from harness.schema.errors import DataError


def net():
    module = nn.Module()
    module.stem = nn.Conv2d(1, 4, 2)
    module.positions = nn.Parameter(torch.zeros(1, 4, 3, 3))
    module.mask_token = nn.Parameter(torch.zeros(4))
    return module


@pytest.fixture
def theirs():
    g = torch.Generator().manual_seed(0)
    return {
        "net.proj.weight": torch.randn(4, 1, 2, 2, generator=g),
        "net.proj.bias": torch.randn(4, generator=g),
        "net.pos": torch.randn(1, 9, 4, generator=g),
        "head.weight": torch.randn(2, 4, generator=g),
    }


def placed(theirs, module, rules):
    return fit(stripped(theirs, (), rules), module)


RULES = [(r"^net\.proj\.", "stem."), (r"^net\.pos$", "positions"), (r"^head\..*", "")]


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_tensors_are_found_in_every_usual_place(name, wrapped, theirs, tmp_path):
    path = tmp_path / name
    if name.endswith("safetensors"):
        save_file(theirs, path)
    else:
        torch.save({"epoch": 3, "state_dict": theirs} if wrapped else theirs, path)
    found = read_tensors(path)
    assert found.keys() == theirs.keys()
    assert all(torch.equal(found[name], theirs[name]) for name in theirs)


def test_the_place_can_be_named(theirs, tmp_path):
    path = tmp_path / "w.pt"
    torch.save({"student": {"a": torch.ones(1)}, "teacher": {"b": theirs}}, path)
    assert read_tensors(path, "teacher.b").keys() == theirs.keys()
    with pytest.raises(DataError, match="has no 'c' at its level"):
        read_tensors(path, "teacher.c")


class Trap:
    def __reduce__(self):
        import os

        return os.mkdir, ("trapped",)


def test_code_in_a_checkpoint_is_not_run(theirs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": theirs, "extra": Trap()}, "trap.pth")
    with pytest.raises(DataError, match="holds objects beside tensors"):
        read_tensors(tmp_path / "trap.pth")
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(DataError):
        read_tensors(tmp_path / "plain.pkl")
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut off"])
def test_damaged_files_are_named(content, tmp_path):
    for name in ("w.pth", "w.safetensors"):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(DataError, match=name):
            read_tensors(path)
    with pytest.raises(DataError, match="no checkpoint"):
        read_tensors(tmp_path / "none.pth")


def test_a_file_without_tensors_is_refused(tmp_path):
    torch.save({"epoch": 3}, tmp_path / "w.pth")
    with pytest.raises(DataError, match="holds no tensors by name"):
        read_tensors(tmp_path / "w.pth")


def test_rules_give_every_tensor_its_place(theirs):
    module = net()
    found = placed(theirs, module, RULES)
    assert found.share == 1.0
    assert found.missing == found.unused == found.notes == ()
    module.load_state_dict(found.state, strict=False)
    assert torch.equal(module.stem.weight, theirs["net.proj.weight"])
    # token n lies at row n // 3, column n % 3
    want = theirs["net.pos"][0].T.reshape(4, 3, 3)
    assert torch.equal(module.positions[0], want)


def test_what_is_missing_and_unused_is_counted(theirs):
    del theirs["net.pos"]
    found = placed(theirs, net(), RULES[:1])
    assert found.share == pytest.approx(2 / 3)
    assert found.missing == ("positions",)
    assert found.unused == ("head.weight",)


def test_positions_of_another_grid_are_resized_and_said(theirs):
    theirs["net.pos"] = torch.ones(1, 25, 4)
    found = placed(theirs, net(), RULES)
    assert torch.allclose(found.state["positions"], torch.ones(1, 4, 3, 3))
    assert found.notes == ("positions resized from (5, 5) to (3, 3), linearly",)
    theirs["net.pos"] = torch.ones(1, 10, 4)
    with pytest.raises(DataError, match="form no cube or square"):
        placed(theirs, net(), RULES)


def test_an_input_of_more_channels_keeps_its_answer_to_equal_ones(theirs):
    theirs["net.proj.weight"] = torch.randn(4, 3, 2, 2)
    found = placed(theirs, net(), RULES)
    assert "made for 3 channels: averaged for 1" in found.notes[0]
    x = torch.rand(1, 1, 5, 5)
    bias = theirs["net.proj.bias"]
    three = nn.functional.conv2d(x.expand(1, 3, 5, 5), theirs["net.proj.weight"], bias)
    one = nn.functional.conv2d(x, found.state["stem.weight"], bias)
    assert torch.allclose(three, one, atol=1e-5)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (
            torch.ones(3, dtype=torch.int8),
            "bias holds int8, not real numbers: .*quantised",
        ),
        (torch.ones(3, dtype=torch.complex64), "bias holds complex64, not real"),
        (torch.tensor([0.0, float("nan"), 1.0]), "bias holds NaN or infinite"),
        (torch.tensor([float("-inf")] * 3), "bias holds NaN or infinite"),
    ],
)
def test_weights_that_are_no_finite_real_numbers_are_refused(value, said):
    with pytest.raises(DataError, match=said):
        fit({"bias": value}, nn.Linear(2, 3))


def test_half_precision_becomes_ours():
    half = torch.tensor([0.5, 1.0, -2.0], dtype=torch.bfloat16)
    found = fit({"bias": half}, nn.Linear(2, 3)).state["bias"]
    assert (found.dtype, found.tolist()) == (torch.float32, [0.5, 1.0, -2.0])


def test_clashes_and_other_shapes_are_refused(theirs):
    with pytest.raises(DataError, match=r"two tensors become stem\.bias"):
        placed({**theirs, "again.bias": theirs["net.proj.bias"]}, net(),
               [*RULES, (r"^again\.", "stem.")])  # fmt: skip
    theirs["net.proj.bias"] = torch.ones(5)
    with pytest.raises(DataError, match=r"stem.bias has shape \(5,\)"):
        placed(theirs, net(), RULES)
