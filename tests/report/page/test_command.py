"""Figures and page of `harness report`: what is written, and what is refused."""

import pytest

from harness.cli import main
from harness.cli.report import PICTURES
from harness.report.figures.drawing import FORMATS
from tests.report.filling import described_here


@pytest.fixture
def report(shared, tmp_path):
    """Return a function that runs `harness report` and says what it wrote."""

    def run(*words):
        out = tmp_path / "-".join(words).replace("/", "")
        with described_here(shared.folder):
            code = main(
                ["-b", str(shared.bench.path), "report", "--out", str(out), *words]
            )
        return code, {str(path.relative_to(out)) for path in out.rglob("*.*")}, out

    return run


def test_one_figure_in_several_formats_with_its_data(report, capsys):
    code, files, _ = report("--figure", "dice_by_budget", "--format", "png,pdf,svg")
    assert code == 0
    assert files == {
        f"figures/dice_by_budget.{end}" for end in ("png", "pdf", "svg", "csv")
    }
    assert "Written: 4 files" in capsys.readouterr().out


def test_images_take_the_option(report, capsys):
    name = "segmentations_organs_finetune"
    code, files, _ = report("--figure", name)
    assert (code, files) == (2, set())
    assert "add --images" in capsys.readouterr().err
    code, files, _ = report("--figure", name, "--images")
    assert (code, files) == (0, {f"figures/{name}.png", f"figures/{name}.csv"})


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--figure", "dice_by_budgets"], "no figure 'dice_by_budgets'"),
        (["--figure", "dice_by_budget", "--table", "dice"], "give one of them"),
        (["--format", "gif"], "--format gif: expected some of"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(report, capsys, words, sentence):
    code, files, _ = report(*words)
    err = capsys.readouterr().err
    assert (code, files) == (2, set())
    assert sentence in err
    assert err.count("\n") == 1


def test_the_command_knows_the_formats_of_figures():
    assert PICTURES == FORMATS
