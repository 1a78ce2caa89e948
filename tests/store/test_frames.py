"""`harness.load`: tidy data frames of a results folder, and the guide to them."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

import harness
from harness.matrix import load
from harness.plan import make_plan
from harness.schema.errors import UserError
from harness.store import Store
from harness.store.collect import collect
from harness.store.frames import LABELS
from tests.conftest import GOOD
from tests.report.filling import fill

WRITTEN = Path(__file__).with_name("written") / "aac7597"
GUIDE = Path(__file__).parents[2] / "docs/read-the-results.md"


@pytest.fixture
def old(tmp_path):
    """A results folder as an earlier version wrote it."""
    return Path(shutil.copytree(WRITTEN, tmp_path / "results"))


@pytest.mark.parametrize("collected", [False, True])
def test_rows_carry_the_labels_of_their_node(old, collected):
    if collected:
        collect(Store(old))
    results = harness.load(old)
    cases = results.cases()
    assert list(cases.columns) == [
        "key", *LABELS, "case_id", "group_id", "structure", "metric", "value", "reason",
        "diagonal_mm",
    ]  # fmt: skip
    assert cases.value.tolist()[:2] == [0.5, 0.75]
    assert cases.reason.tolist()[2] == "both_empty"
    assert set(cases.task) == {"organs"}
    assert set(cases.method) == {"stub"}
    assert cases.n_train.tolist() == [4, 4, 4]
    test = results.predictions(split="test")
    assert test.y_true.tolist() == [1, 0]
    assert [list(scores) for scores in test.scores] == [[0.5, 0.5], [0.125, 0.875]]
    assert results.cells().task.tolist() in (
        ["organs", "nodules"],
        ["nodules", "organs"],
    )
    assert len(results.curves()) == 6
    assert len(results.curves(step=1)) == 3
    assert isinstance(cases.metric.dtype, pd.CategoricalDtype)


def test_keywords_keep_rows(old):
    results = harness.load(old)
    assert len(results.cases(structure="liver", case_id=["a", "b"])) == 2
    assert len(results.cells(task="nodules")) == 1
    empty = results.cases(task="nowhere")
    assert (len(empty), "value" in empty) == (0, True)
    assert len(results.cases(case_id="x' or true --")) == 0
    assert len(results.features()) == 0
    with pytest.raises(UserError, match=r"no column 'metrc'.*Did you mean 'metric'\?"):
        results.cases(metrc="dice")
    with pytest.raises(UserError, match="no column 'state'"):
        results.cells(state="done")


def test_failed_attempts_are_rows_of_runs(old):
    runs = harness.load(old).runs()
    assert len(runs) == 8
    failed = runs[runs.state == "failed"]
    assert sorted(failed.error_class) == ["data", "oom", "oom"]
    assert len(harness.load(old).runs(kind="evaluate", state="done")) == 2
    assert runs.seed.dtype == "Int64"


def test_a_folder_that_holds_no_results(tmp_path):
    with pytest.raises(UserError, match="is not a results folder"):
        harness.load(tmp_path)


@pytest.fixture
def made(bench, monkeypatch):
    """The results of a small benchmark, in a folder `results` of the current one."""
    plan = make_plan(load(bench.write(GOOD)), None)
    fill(plan, Store(bench.root / "results"))
    monkeypatch.chdir(bench.root)
    return bench.root


def test_the_guide_runs(made, capsys):
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), flags=re.DOTALL)
    assert len(blocks) >= 8
    names = {}
    for block in blocks:
        exec(compile(block, str(GUIDE), "exec"), names)
    assert names["means"].between(0, 1).all()
    assert "5-shot" in capsys.readouterr().out


def test_the_guide_names_every_column_and_command(made):
    text = GUIDE.read_text()
    results = harness.load("results")
    for name in ("cases", "predictions", "curves", "features"):
        (row,) = re.findall(rf"\| `{name}\(\)` \|[^|]*\|([^|]*)\|", text)
        own = list(getattr(results, name)().columns)[len(LABELS) + 1 :]
        assert row.strip().split(", ") == own
    assert ", ".join(LABELS[:6]).replace(", label_budget", ", label_budget") in (
        text.replace("\n", " ")
    )
    from harness.cli.main import COMMANDS

    used = set(re.findall(r"`harness ([a-z-]+)", text))
    assert used <= set(COMMANDS)
