"""Laying out cells and stacking their rows."""

import numpy as np
import pandas as pd
import pytest

from harness.analyse.scores import POLICIES, lay_out, policy, stack
from harness.schema.errors import UserError


def cells(**changes):
    rows = []
    for method in ("a", "b"):
        for seed in (0, 1, 2):
            rows.append(
                {
                    "method": method, "encoder": "swin", "task": "t",
                    "protocol": "finetune", "label_budget": "100%", "fold": 0,
                    "seed": seed, "subset_seed": 0,
                    "pretraining_seed": None if method == "a" else 0,
                    "pretraining_key": None if method == "a" else "k0",
                    "evaluate_key": f"{method}{seed}", "state": "done",
                }
            )  # fmt: skip
    return pd.DataFrame(rows).assign(**changes)


def rows_of(layout, value):
    found = []
    for cell, record in enumerate(layout.cells.itertuples()):
        for case in ("c1", "c2"):
            found.append(
                {
                    "cell": cell, "case_id": case, "group_id": case,
                    "score": value(record, case), "structures": 1,
                    "misses": 1, "false_alarms": 2, "failed": 0,
                }
            )  # fmt: skip
    return pd.DataFrame(found)


def test_groups_columns_and_missing_cells():
    layout = lay_out(cells(state=["done"] * 4 + ["failed", "todo"]))
    assert layout.groups.method.tolist() == ["a", "b"]
    assert layout.groups.planned.tolist() == [3, 3]
    assert layout.groups.done.tolist() == [3, 1]
    assert layout.groups.seeds.tolist() == [3, 1]
    assert layout.groups.pretrainings.tolist() == [0, 1]
    assert layout.cells.evaluate_key.tolist() == ["a0", "a1", "a2", "b0"]


def test_matrices_hold_every_score_in_its_place():
    layout = lay_out(cells())
    rows = rows_of(layout, lambda r, case: r.seed + 10 * (case == "c2"))
    rows = rows.sample(frac=1, random_state=0)
    found = stack(rows, layout)["t"]
    assert found.scores.values[1].tolist() == [[0, 1, 2], [10, 11, 12]]
    assert found.scores.present.all()
    assert found.misses.tolist() == [6, 6]
    assert found.false_alarms.tolist() == [12, 12]
    assert found.case_ids == ("c1", "c2")


def test_null_scores_are_absent():
    layout = lay_out(cells())
    rows = rows_of(layout, lambda r, _: None if r.seed == 1 else 0.5)
    found = stack(rows.astype({"score": "float64"}), layout)["t"]
    assert found.scores.present[0].tolist() == [[True, False, True]] * 2
    assert np.isfinite(found.scores.values).all()


def test_scores_that_are_not_finite_are_absent():
    layout = lay_out(cells())
    rows = rows_of(layout, lambda r, _: np.inf if r.seed == 1 else 0.5)
    found = stack(rows, layout)["t"]
    assert found.scores.present[0].tolist() == [[True, False, True]] * 2
    assert np.isfinite(found.scores.values).all()


def test_folds_are_averaged_and_never_are_seeds():
    both = pd.concat([cells(), cells(fold=1, evaluate_key=list("uvwxyz"))])
    layout = lay_out(both)
    assert layout.groups.folds.tolist() == [2, 2]
    assert layout.groups.seeds.tolist() == [3, 3]
    found = stack(rows_of(layout, lambda r, _: float(r.fold)), layout)["t"]
    assert found.scores.values.shape == (2, 2, 3)
    assert (found.scores.values == 0.5).all()


def test_several_pretrainings_are_what_varies():
    several = pd.concat(
        [
            cells(),
            cells(
                pretraining_seed=1, pretraining_key="k1", evaluate_key=list("uvwxyz")
            ),
        ]
    )
    several.loc[several.method == "a", ["pretraining_key", "pretraining_seed"]] = None
    layout = lay_out(several)
    assert layout.groups.seeds.tolist() == [3, 2]
    assert layout.groups.pretrainings.tolist() == [0, 2]


def test_a_fusion_is_pretrained_though_it_has_no_one_pretraining():
    fusion = cells().query("method == 'b'").assign(method="dvme", pretraining_key=None)
    layout = lay_out(pd.concat([cells(), fusion], ignore_index=True))
    assert layout.groups.pretrained.tolist() == [False, True, True]


def test_policies():
    assert policy("dice").name == "exclude"
    assert policy("hd95").charge["pred_empty"] == "diagonal"
    assert policy("dice", "one").charge["both_empty"] == 1.0
    for some in POLICIES.values():
        assert all(one.sentence.endswith(".") for one in some)
    with pytest.raises(UserError, match=r"'diagnal' is not a policy.*'diagonal'\?"):
        policy("hd95", "diagnal")
