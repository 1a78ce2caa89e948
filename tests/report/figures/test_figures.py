"""Figures are compared by their data; what is drawn follows from it."""

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_curve

from harness.report import figures
from harness.report.figures import NothingToDraw, classes
from harness.report.figures.drawing import Sketch, take_turns
from harness.report.figures.style import GRID, INK, MUTED, PAPER, Looks
from harness.schema.errors import UserError


def drawn(findings, name):
    (found,) = figures.draw(findings, name)
    return found


def test_every_figure_is_drawn_with_its_data_and_words(findings, tmp_path):
    names = []
    for drawing in figures.draw(findings):
        assert len(drawing.data)
        assert drawing.caption
        assert drawing.alt
        png, data = figures.save(drawing, tmp_path)
        assert png.read_bytes()[:4] == b"\x89PNG"
        assert len(pd.read_csv(data)) == len(drawing.data)
        names.append(drawing.name)
    every = figures.names(findings)
    assert names == [name for name in every if not name.startswith("segmentations")]
    assert {"dice_by_budget", "confusion_nodules_linear_probe"} <= set(names)


def test_budget_curves_draw_what_the_table_says(findings):
    data = drawn(findings, "dice_by_budget").data
    entries = findings.tables["dice"].entries
    assert list(data["mean"]) == [e.mean for e in entries]
    assert list(data.low) == [e.low for e in entries]


def test_cases_are_means_over_seeds(findings):
    data = drawn(findings, "dice_cases_organs_finetune").data
    assert set(data.groupby(["method", "budget"]).size()) == {4}
    # means of cases, averaged again, are the table's means: every case has every seed
    means = data.groupby(["method", "budget"]).score.mean()
    for e in findings.tables["dice"].entries:
        assert means[e.method, e.budget] == pytest.approx(e.mean)


def test_convergence_in_steps_and_hours(findings):
    data = drawn(findings, "convergence_organs_finetune").data
    assert sorted(data.step.unique()) == [10, 20, 30, 40, 50]
    assert list(data.hours) == pytest.approx(list(data.step / 3600))
    assert (data.gpu_h > 0).all()
    assert data.groupby(["method", "budget", "step"]).seed.nunique().eq(2).all()


def test_without_a_gpu_time_is_that_of_a_worker(findings_of):
    findings = findings_of(skip=lambda cell: cell.task == "nodules")
    drawing = drawn(findings, "convergence_organs_finetune")
    assert "hours of the worker" in drawing.caption


def test_confusion_by_hand():
    y = np.array([0, 0, 0, 1])
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.1, 0.9]])
    assert classes.confusion_of(y, scores) == pytest.approx(
        np.array([[2 / 3, 1 / 3], [0, 1]])
    )


def test_a_class_without_cases_has_no_row():
    found = classes.confusion_of(np.array([0]), np.array([[0.5, 0.2, 0.3]]))
    assert np.isnan(found[1:]).all()


def test_confusion_is_the_mean_over_runs(findings):
    data = drawn(findings, "confusion_nodules_linear_probe").data
    assert data.runs.eq(2).all()
    sums = data.groupby(["method", "true"]).share.sum()
    assert sums.to_numpy() == pytest.approx(1)


@pytest.mark.parametrize("ties", [False, True])
def test_roc_agrees_with_scikit_learn(ties):
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 200)
    score = rng.normal(size=200) + y
    score = score.round(0) if ties else score
    ours = classes.roc_of(y, np.stack([-score, score], axis=1))
    false, true, _ = roc_curve(y, score, drop_intermediate=False)
    # where steps are vertical, the curve takes the upper end
    last = np.append(np.diff(false) > 0, True)
    want = np.interp(np.linspace(0, 1, 101), false[last], true[last])
    assert ours == pytest.approx(want)
    assert (np.diff(ours) >= -1e-12).all()


def test_roc_of_one_class_is_undefined():
    assert np.isnan(classes.roc_of(np.ones(3, int), np.ones((3, 2)))).all()


def test_a_method_keeps_its_look_whatever_has_finished(findings):
    every = findings
    looks = every.looks
    assert looks["plain", "swin"].colour not in {
        looks["masked", "swin"].colour,
        looks["harder", "swin"].colour,
    }


def test_unfinished_methods_do_not_shift_colours(findings_of):
    some = findings_of(skip=lambda cell: cell.method == "masked")
    data = drawn(some, "dice_by_budget").data
    assert set(data.method) == {"plain", "harder"}
    pairs = [("plain", "swin"), ("masked", "swin"), ("harder", "swin")]
    assert some.looks == Looks.assign(pairs, pairs[1:])


def test_looks_differ_beyond_the_palette():
    pairs = [(f"m{i}", "swin") for i in range(20)]
    looks = Looks.assign(pairs, pairs)
    kinds = {(look.colour, look.marker) for look in looks.of.values()}
    assert len(kinds) == 20
    by_encoder = Looks.assign([("m", "swin"), ("m", "vit")], [])
    assert [look.label for look in by_encoder.of.values()] == ["m (swin)", "m (vit)"]


def test_nothing_empty_is_drawn(findings_of):
    one_validation = findings_of(skip=lambda cell: cell.task == "nodules")
    name = "convergence_nodules_linear_probe"
    assert name not in figures.names(one_validation)
    with pytest.raises(UserError, match=r"no figure 'dise_by_budget'.*Did you mean"):
        list(figures.draw(one_validation, "dise_by_budget"))


def test_equal_data_make_equal_files(findings, tmp_path):
    for turn in ("a", "b"):
        drawing = drawn(findings, "dice_cases_organs_finetune")
        figures.save(drawing, tmp_path / turn, ("png", "pdf", "svg"))
    for fmt in ("png", "pdf", "svg"):
        name = f"dice_cases_organs_finetune.{fmt}"
        assert (tmp_path / "a" / name).read_bytes() == (
            tmp_path / "b" / name
        ).read_bytes()


def test_an_unknown_format_or_folder_is_one_sentence(findings, tmp_path):
    drawing = drawn(findings, "dice_by_budget")
    with pytest.raises(UserError, match="no figure format 'gif'"):
        figures.save(drawing, tmp_path, ["gif"])
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        figures.save(drawing, tmp_path / "file")


class _Svg(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.tags = [], set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            elif name in ("href", "xlink:href"):
                self.links.add(value[1:])
            self.links |= set(re.findall(r"url\(#([^)]+)\)", value or ""))


def test_a_figure_in_the_page_takes_its_colours_and_names_itself(findings):
    drawing = drawn(findings, "dice_cases_organs_finetune")
    text = figures.inline_svg(drawing)
    svg = _Svg(text)
    assert svg.tags[0] == "svg"
    assert "style" not in svg.tags
    assert len(svg.ids) == len(set(svg.ids))
    assert svg.links <= set(svg.ids)
    # two figures share no id
    other = _Svg(figures.inline_svg(drawn(findings, "dice_by_budget")))
    assert not set(svg.ids) & set(other.ids)
    assert not any(colour in text for colour in (INK, MUTED, GRID, PAPER))
    (labels,) = re.findall(r'aria-labelledby="([^"]+)"', text)
    assert set(labels.split()) <= set(svg.ids)


def test_families_take_turns():
    def family(letter, count):
        return [Sketch(f"{letter}{i}", lambda: None) for i in range(count)]

    chosen = take_turns([family("a", 4), family("b", 1), family("c", 3)], 5)
    assert [sketch.name for sketch in chosen] == ["a0", "a1", "b0", "c0", "c1"]


def test_many_points_are_an_image(findings, monkeypatch):
    from harness.report.figures import cases

    vector = figures.inline_svg(drawn(findings, "dice_cases_organs_finetune"))
    monkeypatch.setattr(cases, "RASTER_ABOVE", 3)
    raster = figures.inline_svg(drawn(findings, "dice_cases_organs_finetune"))
    assert "<image" in raster
    assert "<image" not in vector


def test_differences_are_those_of_the_tests(findings):
    data = drawn(findings, "dice_differences_finetune").data
    found = findings.comparisons("dice", "baseline")
    assert list(data.difference) == [one.difference for one in found]
    assert list(data.significant) == [one.significant for one in found]
    assert set(data.baseline) == {"plain"}


def test_a_single_method_has_nothing_to_compare_or_rank(findings_of):
    findings = findings_of(skip=lambda cell: cell.method != "plain")
    empty = [
        str(one) for one in figures.draw(findings) if isinstance(one, NothingToDraw)
    ]
    assert any(
        "dice_differences_finetune: no method has a case" in text for text in empty
    )
    assert any("dice_ranks: 4 of 6 results" in text for text in empty)


def test_ranks_are_those_of_the_means(findings):
    data = drawn(findings, "dice_ranks").data
    for budget, own in data.groupby("budget"):
        means = {e.method: e.mean for e in findings.tables["dice"].entries
                 if e.budget == budget}  # fmt: skip
        order = sorted(means, key=lambda method: -means[method])
        assert list(own.sort_values("rank").method) == order


def test_brackets_stand_above_what_differs():
    from types import SimpleNamespace

    from matplotlib.figure import Figure

    from harness.report.figures import marks

    axes = Figure().subplots()
    axes.set_ylim(0, 1)
    pairs = [("plain", "swin"), ("masked", "swin"), ("harder", "swin")]
    marks.brackets(axes, pairs, [])
    assert axes.get_ylim() == (0, 1)
    one = SimpleNamespace(method="harder", encoder="swin", other_method="plain",
                          other_encoder="swin", adjusted=0.004)  # fmt: skip
    marks.brackets(axes, pairs, [one])
    (text,) = axes.texts
    assert text.get_text() == "**"
    assert text.get_position()[0] == 1.0
    assert text.get_position()[1] > 1


def test_critical_differences_from_five_tasks_up(findings, monkeypatch):
    from harness.analyse import friedman
    from harness.report.figures import ranks

    monkeypatch.setattr(ranks, "TASKS", 1)
    monkeypatch.setattr(friedman, "TASKS", 1)
    drawing = drawn(findings, "dice_critical_differences")
    assert list(drawing.data.mean_rank) == sorted(drawing.data.mean_rank)
    assert "Nemenyi" in drawing.caption
