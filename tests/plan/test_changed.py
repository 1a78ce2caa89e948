"""Results are marked when a content file has changed since."""

from types import SimpleNamespace

from harness.plan import make_plan
from harness.plan.changed import changed_sources
from harness.provenance import hash_sources


def manifest(**run):
    return SimpleNamespace(key="", run=run)


def test_a_changed_method_file_is_named_with_how_many_results(bench):
    path = bench.root / "methods/masked.py"
    sources = hash_sources([path])
    matrix = bench.load()
    published = {
        key: manifest(sources=sources) for key in make_plan(matrix, None).pretrainings
    }
    plan = make_plan(matrix, SimpleNamespace(done=lambda: published))
    assert changed_sources(plan) == []
    path.write_text(path.read_text() + "# another thought\n")
    (note,) = changed_sources(plan)
    assert note.startswith("methods/masked.py has changed since 2 of the published")
    assert "raise its version" in note


def test_results_without_sources_say_nothing(bench):
    matrix = bench.load()
    published = {key: manifest() for key in make_plan(matrix, None).pretrainings}
    plan = make_plan(matrix, SimpleNamespace(done=lambda: published))
    assert changed_sources(plan) == []
