"""Feature reuse and similarity: numbers by rule, intervals, consistency, figures."""

import numpy as np
import pytest
from scipy.stats import t as student

from harness.report.alignment import aligned, depths, layer_order
from harness.report.catalogue import tables
from harness.report.consistency import consistencies
from harness.report.figures import draw
from tests.report.represent.made import LAYERS, SAMPLES, cka_of


def _sheet(measured, name):
    ((_, sheet),) = tables(measured.findings.evidence, name)
    return sheet


def _row(sheet, **labels):
    (found,) = [row for row in sheet.rows if labels.items() <= dict(row.values).items()]
    return found.values


def test_reuse_is_the_mean_over_seeds_and_the_crops_do_not_shrink_with_them(measured):
    row = _row(_sheet(measured, "reuse"), method="masked", layer="stage1.merge")
    values = [cka_of(1, 0, seed, 2) for seed in (0, 1, 2)]
    assert row["5-shot"] == pytest.approx(np.mean(values))
    assert (row["runs"], row["crops"]) == (3, SAMPLES)
    # Half an interval of the rows is 0.04, whatever the seed, drawn from four batches.
    crops = 0.04 / 1.959964 * np.sqrt(4 / 3)
    half = (row["5-shot high"] - row["5-shot low"]) / 2
    assert half > student.ppf(0.975, 100) * crops
    over = np.std(values, ddof=1) / np.sqrt(3)
    whole = np.hypot(over, crops)
    freedom = whole**4 / (over**4 / 2 + crops**4 / 3)
    assert half == pytest.approx(student.ppf(0.975, freedom) * whole)


def test_layers_stand_in_the_order_of_a_forward_pass(measured):
    found = aligned(measured.findings.evidence, "reuse")
    assert [one.layer for one in found[: len(LAYERS)]] == list(LAYERS)
    names = ["decoder.last", "decoder.up2", "decoder.up1", "block10", "block2"]
    assert sorted(names, key=layer_order) == [
        "block2", "block10", "decoder.up1", "decoder.up2", "decoder.last"
    ]  # fmt: skip


def test_methods_beside_each_other_are_paired_with_the_baseline(measured):
    sheet = _sheet(measured, "reuse-by-method")
    row = _row(sheet, method="harder", label_budget="100%")
    values = [
        np.mean([cka_of(2, 1, s, n) - cka_of(0, 1, s, n) for n in range(len(LAYERS))])
        for s in (0, 1, 2)
    ]
    assert row["difference"] == pytest.approx(np.mean(values))
    assert row["other"] == "plain"
    assert row["difference_low"] < 0.1 < row["difference_high"]
    assert row["lowest"] == "decoder.up1"
    assert "difference" not in _row(sheet, method="plain", label_budget="100%")


def test_consistency_is_one_minus_the_mean_gap_within_runs(measured):
    row = _row(_sheet(measured, "reuse-consistency"), method="masked")
    values = [
        1 - np.mean([abs(cka_of(1, 0, s, n) - cka_of(1, 1, s, n)) for n in range(5)])
        for s in (0, 1, 2)
    ]
    assert row["consistency"] == pytest.approx(np.mean(values))
    assert row["consistency_low"] < 0.9 < row["consistency_high"]
    assert (row["label_budget"], row["many"], row["layers"]) == ("5-shot", "100%", 5)
    (one,) = [
        each for each in consistencies(aligned(measured.findings.evidence, "reuse"))
        if each.few.method == "masked"
    ]  # fmt: skip
    assert len(one.runs) == 3


def test_pairs_of_seeds_share_a_network_and_have_the_interval_of_crops(measured):
    sheet = _sheet(measured, "similarity")
    row = _row(sheet, method="plain", label_budget="5-shot", against="another seed")
    assert row["runs"] == 2
    crops = 0.04 / 1.959964 * np.sqrt(4 / 3)
    half = student.ppf(0.975, 3) * crops
    assert row["cka_high"] - row["cka"] == pytest.approx(half)
    others = {row.values["against"] for row in sheet.rows}
    assert others == {"another seed", "100%", "masked", "harder"}


def test_no_interval_goes_above_one(measured):
    found = depths(aligned(measured.findings.evidence, "reuse"))
    assert all(one.estimate.high <= max(1.0, one.estimate.value) for one in found)


def test_every_figure_says_what_it_shows_and_carries_its_numbers(measured):
    drawn = {
        one.name: one for one in draw(measured.findings, limit=99)
        if getattr(one, "family", "") in ("reuse", "similarity")
    }  # fmt: skip
    assert set(drawn) == {
        "reuse_organs_finetune", "reuse_maps_organs_finetune",
        "similarity_methods_organs_finetune", "similarity_seeds_organs_finetune",
        "similarity_budgets_organs_finetune", "similarity_budgets_maps_organs_finetune",
    }  # fmt: skip
    for one in drawn.values():
        assert one.caption
        assert one.alt
        assert len(one.data)
    curves = drawn["reuse_organs_finetune"].data
    assert set(curves.layer) == set(LAYERS)
    assert (curves.low < curves.cka).all()
    maps = drawn["reuse_maps_organs_finetune"].data
    assert len(maps) == 3 * 2 * len(LAYERS) ** 2
    square = drawn["similarity_methods_organs_finetune"].data
    assert {"plain", "masked", "harder"} == set(square.method) | set(square.other)
