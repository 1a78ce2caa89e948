"""Tables and pictures of image vectors and of tokens."""

import numpy as np
import pytest

from harness.report.figures.drawing import NothingToDraw
from harness.report.represent import embedding, pca


def test_a_run_s_value_is_the_mean_over_its_planes(measured):
    sheet = embedding.embedding(measured.findings.evidence)
    rows = {(r.values["method"], r.values["space"]): r.values for r in sheet.rows}
    plane = rows["masked", "tsne"]
    # Planes of 2 and 4; one pretraining serves all seeds, so that there is one run.
    assert plane["intra"] == pytest.approx(3)
    assert plane["intra_sd"] == pytest.approx(np.std([2, 4], ddof=1))
    assert plane["intra_low"] is None
    assert (plane["planes"], plane["runs"], plane["crops"]) == (2, 1, 24)
    assert "intra_sd" not in rows["masked", "pooled"]


def test_components_have_their_shares(measured):
    sheet = pca.components(measured.findings.evidence)
    row = next(r.values for r in sheet.rows if r.values["method"] == "masked")
    assert row["share2"] == pytest.approx(0.2)
    assert (row["foreground"], row["tokens"], row["runs"]) == (0.5, 480, 1)


def test_planes_are_drawn_for_every_method(measured):
    drawn = {s.name: s for s in embedding.VIEW.figures(measured.findings)}
    made = drawn["embedding_organs_tsne"].draw()
    assert made.data.groupby("method").size().tolist() == [24, 24, 24]
    assert "24 crops" in made.caption
    assert not made.private
    with pytest.raises(NothingToDraw, match="keeps such a plane"):
        drawn["embedding_organs_umap"].draw()


def test_colours_are_drawn_over_three_slices_of_two_volumes(measured):
    drawn = {s.name: s for s in pca.VIEW.images(measured.findings)}
    made = drawn["pca_organs_joint"].draw()
    assert len(made.figure.axes) == 2 * 3 * (1 + 3)
    assert made.data.foreground.tolist() == [0.5] * 6
    assert "4x6x5" in made.caption
    assert "each volume alone" in drawn["pca_organs_alone"].draw().caption
