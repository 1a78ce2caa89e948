"""What two networks cannot be compared on: one sentence each; constant layers have none."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from harness.run.represent import alignment
from harness.run.represent.cka import CKA, gram
from harness.run.represent.networks import Crop
from harness.schema.analyses import Reuse
from harness.schema.errors import DataError

ROLES = ("adapt.0", "adapt.1")


class Network(nn.Module):
    """An encoder of one named layer, `stem`, scaled."""

    def __init__(self, scale=1.0, width=3):
        super().__init__()
        self.encoder = nn.Module()
        self.encoder.stem = nn.Linear(4, width)
        self.encoder.stem.weight.data = torch.eye(width, 4) * scale

    def forward(self, x):
        return self.encoder.stem(x.flatten(1))


@pytest.fixture
def align(monkeypatch, tmp_path):
    """Align two networks on made-up crops; return the rows by quantity and layer."""
    rows = []
    monkeypatch.setattr(
        alignment, "write_features", lambda _, found: rows.extend(found)
    )

    def aligned(
        first, second, *, crops=8, shapes=(((2, 2), 1), ((2, 2), 1)), **settings
    ):
        rows.clear()
        chosen = Reuse(samples=8, batch=4, draws=20, **settings)
        shape = {
            role: SimpleNamespace(crop=crop, channels=channels)
            for role, (crop, channels) in zip(ROLES, shapes, strict=True)
        }
        x = torch.rand(crops, 1, 2, 2, generator=torch.Generator().manual_seed(0))
        monkeypatch.setattr(alignment, "settings_of", lambda _: chosen)
        monkeypatch.setattr(alignment, "shape_of", lambda _, role: shape[role])
        monkeypatch.setattr(
            alignment,
            "method_of",
            lambda _, role: {"adapt.0": "a", "adapt.1": "b"}[role],
        )
        listed = [Crop(f"c{number}", (0, 0)) for number in range(crops)]
        monkeypatch.setattr(alignment, "choose_crops", lambda *_: listed)
        monkeypatch.setattr(alignment, "batches", lambda *_: iter(x.split(4)))
        node = SimpleNamespace(
            key="ab" * 32, where={"cases": {"test": ["a", "b"]}}, log=lambda _: None,
            data=lambda: SimpleNamespace(check=lambda ids: ids, name="organs"),
            attempt=SimpleNamespace(path=tmp_path.joinpath),
        )  # fmt: skip
        alignment.align(node, first, second, ROLES)
        return {(row.layer, row.quantity): row for row in rows}

    return aligned


def test_networks_with_different_inputs_are_refused(align):
    with pytest.raises(
        DataError, match=r"a and b have different inputs.*: crops of 2 x 2"
    ):
        align(Network(), Network(), shapes=(((2, 2), 1), ((4, 4), 1)))
    with pytest.raises(DataError, match=r"channels: 1 and .* channels: 4; give both"):
        align(Network(), Network(), shapes=(((2, 2), 1), ((2, 2), 4)))


def test_too_few_crops_are_counted(align):
    with pytest.raises(
        DataError,
        match="the 2 test cases of organs give 3 crops, and CKA takes 4 or more",
    ):
        align(Network(), Network(), crops=3)


def test_a_layer_of_another_name_is_refused_with_its_nearest(align):
    with pytest.raises(
        DataError, match=r"of a has no layer 'sten'\. Did you mean 'stem'"
    ):
        align(Network(), Network(), layers=("sten",))


def test_a_constant_layer_has_no_number_and_the_map_says_nan(align, tmp_path):
    rows = align(Network(), Network(scale=0.0))
    assert rows["stem", "cka"].value is None
    assert rows["stem", "cka_low"].value is None
    with np.load(tmp_path / "cka.npz") as arrays:
        assert np.isnan(arrays["cka"]).all()


def test_networks_of_different_widths_are_compared(align):
    narrow, wide = (Network(width=width) for width in (3, 4))
    for one in (narrow, wide):
        torch.nn.init.zeros_(one.encoder.stem.bias)
    x = torch.rand(8, 4, generator=torch.Generator().manual_seed(0))
    direct = CKA(1, 1, draws=0, rng=torch.Generator())
    for some in x.split(4):  # the identity hands on the first numbers, or all
        direct.update(gram(some[:, :3])[None], gram(some)[None])
    found = align(narrow, wide)["stem", "cka"].value
    assert found == pytest.approx(float(direct.value()), abs=1e-6)


def test_intervals_say_of_how_many_batches_they_are(align):
    rows = align(Network(), Network(scale=2.0))
    assert rows["stem", "cka"].value == pytest.approx(1.0)
    assert (rows["stem", "cka"].n, rows["stem", "cka_low"].n) == (8, 2)
