"""Segmentations: shown only where asked for, each with the Dice of its case."""

from dataclasses import replace

import pandas as pd
import pytest

from harness.report import figures
from harness.report.figures import images
from harness.schema.errors import UserError


def test_images_are_shown_only_where_that_is_asked_for(findings):
    name = "segmentations_organs_finetune"
    # without a name they are left out too: test_every_figure_is_drawn
    with pytest.raises(UserError, match="add --images"):
        list(figures.draw(findings, name))
    (drawing,) = figures.draw(findings, name, show_images=True)
    assert drawing.caption.startswith("Generated images.")
    assert not drawing.private


def test_images_of_patients_say_so(findings, monkeypatch):
    tasks = findings.scope.tasks
    monkeypatch.setitem(tasks, "organs", replace(tasks["organs"], synthetic=False))
    name = "segmentations_organs_finetune"
    (drawing,) = figures.draw(findings, name, show_images=True)
    assert drawing.private
    assert drawing.caption.startswith("These are images of patients.")


def test_every_prediction_stands_with_the_dice_of_its_case(findings):
    (drawing,) = figures.draw(
        findings, "segmentations_organs_finetune", show_images=True
    )
    data = drawing.data
    assert set(data.groupby("case").size()) == {3}
    titles = [axes.get_title() for axes in drawing.figure.axes]
    for row in data.itertuples():
        assert sum(f"Dice {row.dice:.3f}" in title for title in titles) >= 1
    # the score is that of the case under the first seed, mean over structures
    cell = findings.done.query(
        "method == 'masked' and label_budget == '100%' and seed == 0 and task == 'organs'"
    ).iloc[0]
    rows = pd.read_parquet(findings.file(cell.evaluate_key, "cases.parquet"))
    mean = rows[rows.metric == "dice"].groupby("case_id").value.mean()
    own = data[data.method == "masked"].set_index("case").dice
    assert own.to_dict() == pytest.approx(mean[own.index].to_dict())


@pytest.mark.parametrize("content", [b"", bytes(900), b"PK\x03\x04" + bytes(900)])
def test_damaged_slices_are_one_sentence(tmp_path, content):
    path = tmp_path / "slices.npz"
    path.write_bytes(content)
    with pytest.raises(UserError, match="run harness verify"):
        images.read_slices(path)
