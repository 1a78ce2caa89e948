"""A results folder of made-up results, with what is read from it."""

from contextlib import suppress

import pytest

from harness.plan import make_plan
from harness.report.catalogue import tables
from harness.report.evidence import Evidence
from harness.report.findings import Findings
from harness.report.reader import StoreReader
from harness.report.scope import scope_of_plan
from harness.schema.errors import UserError
from harness.store import Store
from tests.report.filling import fill


@pytest.fixture
def findings_of(bench, monkeypatch):
    """Fill the results of a benchmark file and return what a report has to show."""
    bench.write()
    # Nothing here tests what survives a power cut, and waiting for disks costs seconds.
    monkeypatch.setattr("os.fsync", lambda _: None)

    def make(**options):
        plan = make_plan(bench.load(), None)
        store = Store(bench.root / "results")
        fill(plan, store, **options)
        plan = make_plan(bench.load(), store)
        evidence = Evidence(scope_of_plan(plan), StoreReader.of(store))
        drawn = {}
        for metric in evidence.scope.metrics:
            with suppress(UserError):  # none of its cells is published
                drawn.update(tables(evidence, metric))
        return Findings(evidence, drawn, store.done())

    return make
