"""What a report has to show of results that are made up here."""

import pytest

from harness.plan import make_plan
from harness.store import Store
from tests.report.filling import fill, findings_of_store


@pytest.fixture
def findings(shared):
    """Those of a finished benchmark, read once for all tests."""
    return shared.findings


@pytest.fixture
def findings_of(bench, monkeypatch):
    """Return a function that fills results of its own and reads them."""
    bench.write()
    monkeypatch.setattr("os.fsync", lambda _: None)

    def make(**options):
        store = Store(bench.root / "results")
        fill(make_plan(bench.load(), None), store, **options)
        return findings_of_store(bench.load(), store)

    return make
