"""A page made by the command itself, from a results folder of made-up results."""

import json

import pytest

from harness.cli import main
from harness.matrix import load
from harness.plan import make_plan
from harness.registry import child, describe
from harness.store import Store
from tests.conftest import Bench
from tests.report.filling import fill

MATRIX = """
title: Toys & <b>organs</b>
tier: tiny
corpus: toys
methods:
  plain:
  masked:
  harder: {extends: masked, mask_ratio: 75%}
protocols:
  finetune: {steps: 7}
  linear_probe:
tasks:
  organs: {protocols: [finetune]}
  nodules: {protocols: [linear_probe]}
label_budgets: [5-shot, 100%]
seeds: [0, 1]
"""


def report(bench, patch, words=(), **options):
    """Fill results, run `harness report`, and return the page's path."""
    # Nothing here tests what survives a power cut, and waiting for disks costs seconds.
    patch.setattr("os.fsync", lambda _: None)
    bench.write(MATRIX)
    plan = make_plan(load(bench.path), None)
    fill(plan, Store(bench.root / "results"), **options)
    patch.chdir(bench.root)
    assert main(["report", *words]) == 0
    return bench.root / "reports" / "benchmark" / "index.html"


@pytest.fixture
def make_page(bench, monkeypatch, capsys):
    """Return a function that makes a page of a benchmark of its own."""

    def make(*words, **options):
        page = report(bench, monkeypatch, words, **options)
        capsys.readouterr()
        return page

    return make


@pytest.fixture(scope="module")
def shared_page(tmp_path_factory):
    """The page of a finished benchmark, made once for tests that only look at it."""
    folder = tmp_path_factory.mktemp("page")

    def ask(asked):
        return json.loads(json.dumps(child.answer(json.loads(json.dumps(asked)))))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(describe, "_ask_child", ask)
        patch.setenv("MEDSSL_CACHE", str(folder / "cache"))
        patch.delenv("MEDSSL_DATA", raising=False)
        yield report(Bench(folder / "bench"), patch)
