"""`harness curves`: one TensorBoard run per training."""

import pytest

from harness.cli import main
from harness.matrix import load
from harness.plan import make_plan
from harness.store import Store
from tests.report.filling import fill


@pytest.fixture
def run(bench, capsys, monkeypatch):
    bench.write()
    fill(make_plan(load(bench.path), None), Store(bench.root / "results"))
    monkeypatch.chdir(bench.root)

    def run(*words):
        code = main(list(words))
        return code, *capsys.readouterr()

    return run


def test_every_training_is_a_run(run, bench):
    code, out, err = run("curves", "tb")
    assert (code, err) == (0, "")
    files = sorted((bench.root / "tb").rglob("events.out.tfevents.*"))
    runs = {str(path.parent.relative_to(bench.root / "tb")) for path in files}
    assert f"{len(files)} trainings written under tb" in out
    assert any(name.startswith("masked/pretraining/seed0-") for name in runs)
    assert any(
        name.startswith("plain/organs/finetune/5-shot/fold0-seed1") for name in runs
    )
    assert len(runs) == len(files) == 2 + 24
    run("curves", "tb")  # again: the same files
    assert len(list((bench.root / "tb").rglob("events*"))) == len(files)


def test_filters_keep_some(run, bench):
    code, out, _ = run(
        "curves", "tb", "--filter", "method=plain,task=organs", "--results", "results"
    )
    assert (code, "4 trainings" in out) == (0, True)
    code, _, err = run("curves", "tb", "--filter", "method=plane")
    assert code == 2
    assert "Did you mean 'plain'" in err


def test_without_curves_it_says_so(bench, capsys, monkeypatch):
    bench.write()
    monkeypatch.chdir(bench.root)
    Store(bench.root / "results").create()
    assert main(["curves", "tb"]) == 2
    assert "holds no training curves" in capsys.readouterr().err
    assert not (bench.root / "tb").exists()
