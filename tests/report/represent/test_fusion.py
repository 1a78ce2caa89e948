"""Attention between encoders of a fusion: means over runs, names, and what has none."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from harness.report.figures.fusion import _maps
from harness.report.fusion import fused
from harness.report.represent.fusion import VIEW
from harness.schema.errors import UserError

SHARES = {"k0": [[0.7, 0.3], [0.4, 0.6]], "k1": [[0.9, 0.1], [0.2, 0.8]]}


def _evidence(keys=("k0", "k1"), members=("dino", "simmim")):
    cells = pd.DataFrame(
        [
            {"task": "nodules", "protocol": "probe", "label_budget": "100%",
             "method": "joint", "encoder": "swin+vit", "evaluate_key": key,
             "state": "done", "pretraining_seed": None, "tier": "small"}
            for key in SHARES
        ]
    )  # fmt: skip
    rows = [
        (list(SHARES).index(key), "fusion", f"attention.{i}.{j}", SHARES[key][i][j], 6)
        for key in keys for i in range(2) for j in range(2)
    ]  # fmt: skip
    names = ["cell", "layer", "quantity", "value", "n"]
    read = pd.DataFrame(rows, columns=names).astype({"quantity": str, "layer": str})
    return SimpleNamespace(
        scope=SimpleNamespace(
            cells=cells, members={"joint": members} if members else {}, notes=(),
            tasks={"nodules": SimpleNamespace(synthetic=True, modality="CT")},
        ),
        reader=SimpleNamespace(features=lambda _: read),
        options=SimpleNamespace(level=0.95),
    )  # fmt: skip


def test_shares_are_means_over_runs_under_the_names_of_the_encoders():
    evidence = _evidence()
    sheet = VIEW.tables["fusion-attention"](evidence)
    found = {(r.values["looks"], r.values["seen"]): r.values for r in sheet.rows}
    assert found["dino", "simmim"]["share"] == pytest.approx(0.2)
    assert found["simmim", "simmim"]["share"] == pytest.approx(0.7)
    assert found["dino", "dino"]["runs"] == 2
    assert found["dino", "dino"]["even"] == 0.5
    (one,) = fused(_evidence(members=()))
    assert one.members == ("encoder 1", "encoder 2")
    assert VIEW.possible(evidence)


def test_what_does_not_attend_is_refused():
    with pytest.raises(UserError, match="attention: none has none"):
        VIEW.tables["fusion-attention"](_evidence(keys=()))
    assert not VIEW.possible(_evidence(keys=()))


def test_the_heat_map_has_a_row_per_encoder_that_looks():
    found = fused(_evidence())
    findings = SimpleNamespace(
        looks={("joint", "swin+vit"): SimpleNamespace(label="joint")},
        heading=lambda task: task,
    )
    drawing = _maps(findings, found, "fusion_nodules_probe")
    assert np.allclose(drawing.data.groupby("looks").share.sum(), 1)
    assert "joint at 100% looks at dino 0.55, simmim 0.45" in drawing.alt
    assert "6 test cases and 2 runs" in drawing.caption
