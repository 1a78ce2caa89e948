"""Pages of benchmarks that are not finished, without figures, which cost seconds."""

import pytest

from harness.cli import main
from harness.plan import make_plan
from harness.store import Store
from tests.report.filling import MATRIX, fill


@pytest.fixture
def make_page(bench, monkeypatch, capsys):
    """Return a function that fills results and returns the page of `harness report`."""
    monkeypatch.setattr("os.fsync", lambda _: None)
    monkeypatch.setattr("harness.report.figures.draw", lambda *_, **__: iter(()))
    bench.write(MATRIX)

    def make(*words, **options):
        plan = make_plan(bench.load(MATRIX), None)
        fill(plan, Store(bench.root / "results"), **options)
        monkeypatch.chdir(bench.root)
        assert main(["report", *words]) == 0
        capsys.readouterr()
        return bench.root / "reports" / "benchmark" / "index.html"

    return make


@pytest.fixture(scope="module")
def shared_page(shared):
    """The page of a finished benchmark."""
    return shared.page
