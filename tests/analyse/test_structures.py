"""Structures in groups and across modalities."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from harness.analyse.intervals import two_way
from harness.analyse.scores import lay_out, stack
from harness.analyse.structures import (
    group_rows,
    organ_groups,
    shifts,
    stack_structures,
)


def test_organs_find_their_groups():
    found = organ_groups(
        ["Left adrenal gland", "gallbladder", "liver", "kidney_right", "Kidneys",
         "kidney-tumour", "stomach", "aorta", "bladder", "esophagus", "liver lesion"]
    )  # fmt: skip
    assert found == {
        "small": ("Left adrenal gland", "gallbladder"),
        "large": ("liver", "kidney_right", "Kidneys"),
        "gastrointestinal": ("stomach", "esophagus"),
        "tumour": ("kidney-tumour",),
    }
    assert organ_groups([]) == {}


def study(tasks, structures, cases=15, seeds=3, offset=None):
    rng = np.random.default_rng(0)
    records, rows = [], []
    for task in tasks:
        for method in ("random", "a"):
            for seed in range(seeds):
                cell = len(records)
                records.append(
                    {
                        "method": method, "encoder": "swin", "task": task,
                        "protocol": "finetune", "label_budget": "100%", "fold": 0,
                        "seed": seed, "subset_seed": 0, "pretraining_seed": None,
                        "pretraining_key": None, "evaluate_key": str(cell),
                        "state": "done",
                    }
                )  # fmt: skip
                for i in range(cases):
                    for s in structures:
                        value = 0.6 + (offset or {}).get((task, s), 0)
                        value += rng.normal(0, 0.05) + 0.01 * i
                        absent = s == "gallbladder" and i % 3 == 0
                        row = (cell, f"{task}{i}", f"{task}{i}", s,
                               np.nan if absent else value)  # fmt: skip
                        rows.append(row)
    columns = ["cell", "case_id", "group_id", "structure", "score"]
    return lay_out(pd.DataFrame(records)), pd.DataFrame(rows, columns=columns)


def test_a_groups_mean_counts_structures_alike():
    layout, rows = study(
        ["t"], ["gallbladder", "adrenal"], offset={("t", "adrenal"): 0.2}
    )
    found = stack(group_rows(rows, ["gallbladder", "adrenal"]), layout)["t"]
    got = two_way(found.scores).mean[0]
    mine = rows[rows.cell < 3]
    want = (
        mine.groupby(["cell", "structure"]).score.mean().groupby("cell").mean().mean()
    )
    plain = mine.groupby(["cell", "case_id"]).score.mean().mean()
    assert got == pytest.approx(want)
    assert abs(got - plain) > 0.01


def test_a_groups_interval_agrees_with_resampling_cases():
    layout, rows = study(["t"], ["gallbladder", "adrenal"], cases=40, seeds=1,
                         offset={("t", "adrenal"): 0.2})  # fmt: skip
    found = stack(group_rows(rows, ["gallbladder", "adrenal"]), layout)["t"]
    spread = two_way(found.scores).spread[0]
    wide = rows[rows.cell == 0].pivot(
        index="case_id", columns="structure", values="score"
    )
    rng = np.random.default_rng(1)
    picked = rng.integers(0, 40, (3000, 40))
    drawn = np.nanmean(wide.to_numpy()[picked], axis=1).mean(axis=1)
    assert spread == pytest.approx(drawn.std(), rel=0.1)


def test_one_structure_is_its_own_group():
    layout, rows = study(["t"], ["liver"])
    one = stack(group_rows(rows, ["liver"]), layout)["t"]
    two = stack_structures(rows, layout)["liver"]["t"]
    assert one.scores.values == pytest.approx(two.scores.values)
    assert len(group_rows(rows, ["spleen"])) == 0


def test_shifts_between_tasks_are_unpaired():
    layout, rows = study(
        ["ct", "mr"], ["liver", "spleen"], offset={("mr", "liver"): -0.2}
    )
    found = shifts(stack_structures(rows, layout), layout, "mr", "ct")
    assert [(s.structure, s.method) for s in found] == [
        ("liver", "random"), ("liver", "a"), ("spleen", "random"), ("spleen", "a"),
    ]  # fmt: skip
    liver = found[0]
    assert liver.difference.value == pytest.approx(-0.2, abs=0.05)
    assert liver.difference.high < 0
    of_case = rows[(rows.structure == "liver")].assign(
        method=layout.cells.method.to_numpy()[rows[rows.structure == "liver"].cell]
    )
    of_case = of_case[of_case.method == "random"].groupby("case_id").score.mean()
    mr, ct = (of_case[of_case.index.str.startswith(t)] for t in ("mr", "ct"))
    want = stats.mannwhitneyu(mr, ct, method="asymptotic").pvalue
    assert liver.p == pytest.approx(want)
    assert liver.adjusted >= liver.p
    assert shifts(stack_structures(rows, layout), layout, "mr", "us") == []
