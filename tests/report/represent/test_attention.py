"""Attention by stage: intervals over crops and runs, paired differences, the figure."""

import numpy as np
import pytest

from harness.report.analysed import Features
from harness.report.attention import ENTROPY, apart, attended
from harness.report.catalogue import tables
from harness.report.evidence import Evidence
from harness.report.figures import draw
from harness.schema.errors import UserError
from tests.report.represent.made import BATCHES, STAGES, entropy_of


def _sheet(measured, name):
    ((_, sheet),) = tables(measured.findings.evidence, name)
    return sheet


def _of(sheet, **labels):
    return [r.values for r in sheet.rows if labels.items() <= dict(r.values).items()]


def test_a_pretraining_counts_once_before_and_a_seed_after(measured):
    sheet = _sheet(measured, "attention")
    before = _of(sheet, method="masked", state="before")
    assert {row["stage"]: row["runs"] for row in before} == dict.fromkeys(STAGES, 1)
    (plain,) = _of(sheet, method="plain", state="before", stage="stage1")
    assert plain["runs"] == 3  # drawn anew by every seed
    (after,) = _of(sheet, method="masked", labels="5-shot", stage="stage2")
    values = [[entropy_of(1, s, 1, b) for s in (0, 1, 2)] for b in range(BATCHES)]
    assert after["entropy"] == pytest.approx(np.mean(values))
    assert after["entropy_low"] < np.mean(values) < after["entropy_high"]
    assert after["spread"] == pytest.approx(np.mean(values) / 10)
    assert (after["heads"], after["batches"]) == (6, BATCHES)


def test_pairing_by_crops_makes_differences_surer_than_what_they_are_of(measured):
    sheet = _sheet(measured, "attention-differences")
    (row,) = _of(sheet, method="harder", other="plain", labels="100%", stage="stage2")
    gaps = [[entropy_of(2, s, 1, b) - entropy_of(0, s, 1, b) for s in (0, 1, 2)]
            for b in range(BATCHES)]  # fmt: skip
    assert row["entropy"] == pytest.approx(np.mean(gaps))
    (own,) = _of(_sheet(measured, "attention"), method="harder", labels="100%",
                 stage="stage2")  # fmt: skip
    paired = row["entropy_high"] - row["entropy_low"]
    assert paired < 0.6 * (own["entropy_high"] - own["entropy_low"])
    marked = [r for r in sheet.rows if r.marked]
    assert len(marked) == len(sheet.rows) == 3 * 2 * 3  # pairs, stages, states


def test_methods_without_a_seed_in_common_have_no_difference(measured):
    found = attended(measured.findings.evidence)
    first, second = [one for one in found if one.place == found[0].place][:2]
    other = second.__class__(**{**vars(second), "runs": ((7, 0),)})
    (gap,) = apart([first, other], level=0.95)
    assert gap.entropy is None
    assert gap.runs == 0
    assert first.estimate(ENTROPY, level=0.95) is not None


def test_an_analysis_of_an_earlier_version_is_named(measured, monkeypatch):
    def lacking(self, key, name):
        raise KeyError(name)

    monkeypatch.setattr(Features, "arrays", lacking)
    found = measured.findings.evidence
    fresh = Evidence(found.scope, found.reader)  # keeps nothing from other tests
    with pytest.raises(
        UserError, match=r"has no attention.npz: it was made by an earl"
    ):
        attended(fresh)


def test_the_figure_has_the_encoder_before_and_each_label_budget(measured):
    (one,) = draw(measured.findings, "attention_organs_finetune")
    assert list(dict.fromkeys(one.data.budget)) == ["", "5-shot", "100%"]
    assert set(one.data.quantity) == {ENTROPY, "attention_entropy_share_sd"}
    assert "before fine-tuning 0." in one.alt
    assert "fewer than 8 keys" in one.caption
