"""Numbers that papers print, against measured ones."""

from dataclasses import replace

import pytest

from harness.report import figures
from harness.report.figures import NothingToDraw
from harness.report.literature import read_literature


def drawn(findings, name):
    (found,) = figures.draw(findings, name)
    return found


def test_printed_numbers_meet_the_measured_ones(findings, tmp_path):
    path = tmp_path / "published.csv"
    path.write_text(
        "paper,place,method,task,protocol,label_budget,metric,value,low,high\n"
        "a,Table 1,masked,organs,finetune,100%,dice,0.66,0.6,0.7\n"
        "a,Table 1,masked,organs,finetune,5-shot,dice,0.5,,\n"
        "b,Table 3,another,organs,finetune,100%,dice,0.9,,\n"
        "b,Table 4,masked,nodules,linear_probe,100%,kappa,0.2,,\n"
    )
    findings = replace(findings, literature=read_literature(path))
    data = drawn(findings, "dice_published_against_measured").data
    means = {(e.method, e.budget): e.mean for e in findings.tables["dice"].entries}
    assert list(data.published) == [0.66, 0.5]
    assert list(data.measured) == [means["masked", "100%"], means["masked", "5-shot"]]
    assert "kappa_published_against_measured" not in figures.names(findings)


def test_nothing_printed_that_is_measured_is_said(findings, tmp_path):
    path = tmp_path / "published.csv"
    path.write_text(
        "paper,place,method,task,protocol,label_budget,metric,value\n"
        "b,Table 3,another,organs,finetune,100%,dice,0.9\n"
    )
    findings = replace(findings, literature=read_literature(path))
    with pytest.raises(NothingToDraw, match="nothing that papers print of Dice"):
        drawn(findings, "dice_published_against_measured")
