"""The analysis `attention` keeps what every batch said beside the rows of the whole."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from harness.nn.build import build_encoder
from harness.nn.settings import SwinSettings
from harness.run.represent import attention
from harness.run.represent.networks import Crop
from harness.schema.analyses import Attention

SWIN = SwinSettings(width=8, depths=(2, 2), heads=(1, 2), window=2, drop_path=0.0)


def test_arrays_hold_mean_and_spread_of_each_batch_and_stage(monkeypatch, tmp_path):
    encoder = build_encoder(SWIN, 1, torch.Generator().manual_seed(0)).eval()
    network = SimpleNamespace(encoder=encoder, features=encoder)
    rows = []
    x = torch.rand(4, 1, 16, 16, 16, generator=torch.Generator().manual_seed(1))
    shape = SimpleNamespace(crop=(16, 16, 16), channels=1)
    crops = [Crop(f"c{number}", (0, 0, 0)) for number in range(4)]
    made = {
        "settings_of": Attention(samples=4, batch=2), "shape_of": shape,
        "choose_crops": crops, "before": network, "after": network,
    }  # fmt: skip
    for name, value in made.items():
        monkeypatch.setattr(attention, name, lambda *_, value=value: value)
    monkeypatch.setattr(attention, "batches", lambda *_: iter(x.split(2)))
    monkeypatch.setattr(
        attention, "write_features", lambda _, found: rows.extend(found)
    )
    cached = SimpleNamespace(spacing=lambda _: (1.0, 1.0, 1.0), index_of=lambda _: 0)
    data = SimpleNamespace(check=lambda ids: ids, cached=cached)
    attention.analyse(
        SimpleNamespace(
            data=lambda: data,
            where={"cases": {"test": ["c0"]}},
            attempt=SimpleNamespace(path=tmp_path.joinpath),
        )
    )
    whole = {(row.layer, row.quantity): row.value for row in rows}
    with np.load(tmp_path / "attention.npz") as arrays:
        assert list(arrays["before.stages"]) == list(arrays["after.stages"])
        values = arrays["after.attention_entropy_share_mean"]
        assert values.shape == (2, len(arrays["after.stages"]))
        mean = whole["after.stage1", "attention_entropy_share_mean"]
        assert values[:, 0].mean() == pytest.approx(mean)
