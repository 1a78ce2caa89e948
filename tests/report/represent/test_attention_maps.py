"""Attention maps against single structures, and what methods are apart."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from harness.report.analysed import ANALYSES
from harness.report.attention_maps import (
    AUC,
    INSIDE,
    MASS,
    WHOLE,
    looking,
    over_fine_tuning,
)
from harness.report.evidence import Evidence
from harness.report.options import Options
from harness.report.represent.attention_maps import by_structure, differences
from harness.schema.errors import UserError

CASES, PARTS = 6, ("liver", "tumour")


def value_of(state, method, seed, case, part):
    """Hard cases are hard for all; the second method is 0.1 better, after 0.2."""
    own = np.random.default_rng([case, 9 if part is None else part]).normal() * 0.1
    run = np.random.default_rng([method, seed, case]).normal() * 0.004
    better = method * (0.1 if state == "before" else 0.2)
    return 0.5 + own + run + better + 0.05 * (state == "after") + 0.02 * (part or 0)


@pytest.fixture
def made(make_evidence, make_cells, make_reader, make_spec, tmp_path):
    """Two methods, three seeds; the last case has no tumour, the first no liver."""
    cells = make_cells(methods=("random", "mae"), tasks=("organs",))
    cells = cells[cells.label_budget == "100%"].reset_index(drop=True)
    methods = list(dict.fromkeys(cells.method))

    class Reader(make_reader):
        older = False

        def file(self, key, name):  # noqa: ARG002
            *_, method, seed = key.split("/")
            arrays = {"cases": np.array([f"c{n}" for n in range(CASES)], dtype=np.str_),
                      "inside": np.full(CASES, 0.25)}  # fmt: skip
            shares = np.full((CASES, 2), 0.125)
            shares[0, 0] = shares[-1, 1] = 0
            if not self.older:
                arrays |= {"structures": np.array(PARTS), "inside.structures": shares}
            for state in ("before", "after"):
                place = methods.index(method)
                # Before fine-tuning all seeds of a pretraining are one network.
                run = 0 if state == "before" and place else int(seed)
                table = np.array([
                    [value_of(state, place, run, case, part) for part in (None, 0, 1)]
                    for case in range(CASES)
                ])  # fmt: skip
                for quantity in (AUC, INSIDE, "attention_top_mass"):
                    arrays[f"{state}.{quantity}"] = table[:, [0, 0]]
                    if not self.older:
                        own = np.where(shares > 0, table[:, 1:], np.nan)
                        arrays[f"{state}.{quantity}.structures"] = own
            path = tmp_path / f"{method}{seed}.npz"
            np.savez(path, **arrays)
            return path

    base = make_evidence(cells, Reader(), {"organs": make_spec()}, draws=50)
    frame = pd.DataFrame(
        [
            {**dict.fromkeys(ANALYSES), **cell, "kind": "attention_maps",
             "analysis": "attention_maps", "state": "done",
             "key": f"maps/{cell['method']}/{cell['seed']}",
             "pretraining_seed": 0 if methods.index(cell["method"]) else None}
            for cell in cells.to_dict("records")
        ]
    )[list(ANALYSES)]  # fmt: skip
    return Evidence(replace(base.scope, analyses=frame), Reader(), Options(draws=50))


def _rows(sheet, *names):
    return {tuple(r.values[n] for n in names): r for r in sheet.rows}


def test_each_structure_has_its_own_scores_and_cases(made):
    rows = _rows(by_structure(made), "structure", "method", "state")
    assert {structure for structure, *_ in rows} == set(PARTS)
    tumour = rows["tumour", "mae", "after"].values
    expected = np.mean(
        [value_of("after", 1, seed, case, 1) for seed in range(3) for case in range(5)]
    )
    assert tumour["auc"] == pytest.approx(expected)
    assert tumour["auc_low"] < expected < tumour["auc_high"]
    assert (tumour["cases"], tumour["runs"]) == (5, 3)
    assert tumour["chance"] == pytest.approx(0.125)  # of the crops that have one
    before = rows["liver", "mae", "before"].values
    assert (before["labels"], before["runs"]) == ("before fine-tuning", 1)
    assert {one.structure for one in looking(made)} == {WHOLE}


def test_differences_are_paired_by_case_and_run(made):
    sheet = differences(made)
    rows = _rows(sheet, "structure", "state", "method", "other")
    assert {key[0] for key in rows} == {WHOLE, *PARTS}
    apart = rows["liver", "after", "mae", "random"]
    gaps = [
        value_of("after", 1, seed, case, 0) - value_of("after", 0, seed, case, 0)
        for seed in range(3) for case in range(1, 6)
    ]  # fmt: skip
    assert apart.values["auc"] == pytest.approx(np.mean(gaps))
    assert (apart.values["cases"], apart.values["runs"]) == (5, 3)
    # The ease of cases, 0.1, is in both and cancels.
    assert apart.values["auc_high"] - apart.values["auc_low"] < 0.05
    assert apart.marked
    assert rows[WHOLE, "before", "mae", "random"].values["auc"] == pytest.approx(
        0.1, abs=0.02
    )


def test_methods_are_apart_from_themselves_before_fine_tuning(made):
    rows = _rows(differences(made), "structure", "method", "other")
    own = rows["tumour", "mae", "itself before fine-tuning"].values
    gaps = [
        value_of("after", 1, seed, case, 1) - value_of("before", 1, 0, case, 1)
        for seed in range(3) for case in range(5)
    ]  # fmt: skip
    assert own["auc"] == pytest.approx(np.mean(gaps))
    assert own["runs"] == 3
    found = list(over_fine_tuning(made, structures=False, level=0.95))
    assert [one.one.method for one in found] == ["random", "mae"]


def test_analyses_of_an_earlier_version_have_no_structures(made, monkeypatch):
    monkeypatch.setattr(type(made.reader), "older", True)
    with pytest.raises(UserError, match="keeps scores of structures"):
        by_structure(made)
    assert {r.values["structure"] for r in differences(made).rows} == {WHOLE}


def test_intervals_of_few_runs_end_where_their_quantity_does(made):
    """Two runs far apart, near the ends of the range: Student's t alone reaches past."""
    one = looking(made)[0]
    tables = {
        AUC: [[0.99, 0.9], [0.98, 0.95]], INSIDE: [[0.01, 0.06], [0.0, 0.03]],
        MASS: [[0.11, 0.18], [0.12, 0.15]],
    }  # fmt: skip
    near = replace(one, values={n: pd.DataFrame(v) for n, v in tables.items()})
    found = {name: near.estimate(name, level=0.95) for name in tables}
    assert found[AUC].low < found[AUC].value < found[AUC].high == 1.0
    assert found[INSIDE].low == 0.0
    assert found[MASS].low == 0.1  # a tenth of the voxels has a tenth or more
