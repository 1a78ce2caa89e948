"""The quickstart in small: run once, then everything again from the store."""

import csv
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from harness.cli import main
from harness.store import Store

ROOT = Path(__file__).resolve().parents[2]
# The methods, protocols, tasks and corpus of the repository's benchmark.yaml, as small
# as a benchmark file can make them.
BENCHMARK = """
title: Quickstart on synthetic phantoms
tier: tiny
corpus: phantoms
methods:
  random:
  simmim: {steps: 2, crop: [16, 16, 16], region: [24, 24, 24]}
  smit: {steps: 2, crop: [16, 16, 16], region: [24, 24, 24]}
protocols:
  finetune: {steps: 2, val_every: 2}
  linear_probe:
tasks:
  phantom_organs:
    protocols: [finetune]
    cases: 6
    format: {settings: {train: 3, val: 1, test: 2}}
    preprocess: {spacing: [8, 8, 10]}
    crop: [16, 16, 16]
  phantom_nodules: &nodules
    protocols: [linear_probe]
    cases: 24
    format: {settings: {train: 8, val: 8, test: 8}}
    crop: [16, 16, 16]
  phantom_nodule_grade: *nodules
label_budgets: [100%]
seeds: [0]
"""
METHODS = ["random", "simmim", "smit"]
CELLS, NODES = 9, 2 + 2 * 9


class Quickstart:
    """A content folder in which the benchmark has run once, and what it printed."""

    def __init__(self, root, described):
        self.root = root
        skip = shutil.ignore_patterns("__pycache__")
        for kind in ("methods", "tasks", "corpora"):
            shutil.copytree(ROOT / kind, root / kind, ignore=skip)
        self.benchmark = root / "benchmark.yaml"
        self.benchmark.write_text(BENCHMARK)
        self.store = Store(root / "results")
        self.described = str(described)
        self.first = subprocess.run(
            [sys.executable, "-m", "harness", "run", "--cluster", "inline", "--report"],
            cwd=root, capture_output=True, text=True, check=False,
            env={
                **os.environ, "PYTHONPATH": str(ROOT), "MEDSSL_CACHE": self.described,
                "SLURM_CPUS_PER_TASK": "1",  # threads: too small for more
            },
        )  # fmt: skip

    def extend(self, entry):
        """Write a second benchmark file with one more method."""
        path = self.root / "extended.yaml"
        path.write_text(BENCHMARK.replace("protocols:", f"  {entry}\nprotocols:", 1))
        return path

    def attempts(self):
        """How often each node has been tried."""
        return {key: len(self.store.attempts(key)) for key in self.store.nodes()}

    def results(self):
        """What a run must not touch when nothing is left to do: name -> (bytes, time)."""
        return {
            str(path): (path.read_bytes(), path.stat().st_mtime_ns)
            for part in ("nodes", "done")
            for path in (self.store.root / part).rglob("*")
            if path.is_file()
        }


@pytest.fixture(scope="module")
def ran(tmp_path_factory, described):
    return Quickstart(tmp_path_factory.mktemp("quickstart"), described)


@pytest.fixture
def harness(ran, monkeypatch, capsys, own_modules):
    """Run a command beside the benchmark; return (exit code, stdout, stderr)."""
    monkeypatch.chdir(ran.root)
    monkeypatch.setenv("MEDSSL_CACHE", ran.described)
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")

    def harness(*words):
        capsys.readouterr()
        return main(list(words)), *capsys.readouterr()

    return harness


def test_the_run_ends_with_every_table_and_their_place(ran):
    assert ran.first.returncode == 0, ran.first.stderr
    assert "Traceback" not in ran.first.stderr
    assert f"{2 + CELLS}/{2 + CELLS} jobs" in ran.first.stderr, "progress"
    heads = ["Dice by", "HD95 (mm) by", "AUC by", "Cohen's kappa by"]
    places = [ran.first.stdout.index(head) for head in heads]
    assert places == sorted(places)
    reports = ran.root / "reports" / "benchmark"
    assert f"under {reports}\n" in ran.first.stdout
    assert f"Results: {ran.store.root}\n" in ran.first.stdout
    names = {path.name for path in (reports / "tables").iterdir()}
    assert names >= {f"{metric}.md" for metric in ("dice", "hd95", "auc", "kappa")}
    assert list((reports / "figures").iterdir())


def test_a_table_is_printed_again_from_the_store(harness, ran):
    for metric in ("dice", "hd95", "auc", "kappa"):
        code, out, err = harness("report", "--table", metric)
        assert (code, err) == (0, "")
        table = out[: out.index("Results: ")].rstrip()
        assert table in ran.first.stdout
        assert "synthetic" in table
        rows = [line.split()[0] for line in table.splitlines() if " swin " in line]
        assert rows == METHODS


def test_a_table_is_written_in_every_format(harness, tmp_path):
    code, out, _ = harness(
        "report",
        "--table",
        "dice",
        "--format",
        "md,tex,csv,json",
        "--out",
        str(tmp_path),
    )
    assert code == 0
    assert str(tmp_path) in out
    assert "random" not in out, "term was not asked for"
    texts = {path.suffix: path.read_text() for path in tmp_path.rglob("*.*")}
    assert set(texts) == {".md", ".tex", ".csv", ".json"}
    assert r"\begin{tabular" in texts[".tex"]
    assert "| random" in texts[".md"]
    rows = list(csv.DictReader(texts[".csv"].splitlines()))
    assert [row["method"] for row in rows] == METHODS
    assert json.loads(texts[".json"])


def test_plan_and_status_say_that_all_is_done(harness):
    code, out, _ = harness("plan", "--json")
    counted = json.loads(out)
    keys = ("cells", "pretrainings", "done", "todo", "naive_pretrainings")
    assert (code, [counted[key] for key in keys]) == (0, [CELLS, 2, CELLS, 0, 6])
    code, out, _ = harness("status", "--json")
    document = json.loads(out)
    assert (code, document["exit"]) == (0, 0)
    assert document["counts"] == {**dict.fromkeys(document["counts"], 0), "done": CELLS}
    assert Counter(one["method"] for one in document["cells"]) == {
        "random": 3, "simmim": 3, "smit": 3,
    }  # fmt: skip
    assert [(one["method"], one["state"]) for one in document["pretrainings"]] == [
        ("simmim", "done"),
        ("smit", "done"),
    ]


def test_everything_published_is_as_its_manifest_says(harness):
    code, out, _ = harness("verify")
    assert (code, out) == (0, f"{NODES} nodes published, 0 damaged\n")
    code, out, _ = harness("verify", "--json")
    assert (code, json.loads(out)) == (
        0,
        {"published": NODES, "problems": [], "set_aside": []},
    )


def test_running_again_computes_nothing(harness, ran):
    before = ran.results()
    code, out, err = harness("run", "--cluster", "inline")
    assert (code, out, err) == (0, "", f"all {CELLS} cells are done already\n")
    assert ran.results() == before


def test_a_variant_in_yaml_adds_its_own_nodes_only(harness, ran, described_here):
    path = ran.extend("harder: {extends: simmim, mask_ratio: 0.5}")
    words = ("-b", path.name)
    _, out, _ = harness("plan", "--json", *words)
    counted = json.loads(out)
    keys = ("cells", "done", "todo", "pretrainings", "pretrainings_todo")
    assert [counted[key] for key in keys] == [CELLS + 3, CELLS, 3, 3, 1]
    assert counted["missing_nodes"] == 1 + 2 * 3
    _, out, _ = harness("ls", "cells", "--json", *words)
    todo = [cell for cell in json.loads(out) if cell["state"] == "todo"]
    assert {cell["method"] for cell in todo} == {"harder"}
    # A part of it is run: the pretraining that is new, and one cell that starts from it.
    before, kept = ran.attempts(), ran.results()
    part = "method=harder,task=phantom_nodules"
    code, _, err = harness("run", "--cluster", "inline", "--filter", part, *words)
    assert code == 0, err
    (cell,) = [cell for cell in todo if cell["task"] == "phantom_nodules"]
    new = {key[:16]: 1 for key in cell["keys"].values()}
    assert len(new) == 3
    assert ran.attempts() == {**before, **new}
    assert kept.items() <= ran.results().items()
