"""The four published benchmarks as matrices: what a rehearsal covers, and a reduced one.

`make rehearse` runs all four whole.
"""

import json
from pathlib import Path

import pytest

from harness.cli import main
from harness.matrix import load

PAPERS = Path(__file__).resolve().parents[2] / "papers"
MATRICES = ["dagman", "dino3d", "nine_methods", "transferability"]


def _rehearse(capsys, paper, results, *words):
    path = str(PAPERS / f"{paper}.yaml")
    code = main(["-b", path, "--results", str(results), "--json", "rehearse", *words])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("paper", MATRICES)
def test_the_covering_cells_have_every_method_task_and_pairing(paper, capsys, tmp_path):
    code, listed = _rehearse(capsys, paper, tmp_path, "--list")
    assert code == 0
    matrix = load(PAPERS / f"{paper}.yaml", rehearsal=True)
    covered = {(each["kind"], each["name"]) for each in listed["covers"]}
    assert {name for kind, name in covered if kind == "method"} == {
        method.name for method in matrix.methods
    }
    assert {name for kind, name in covered if kind == "task"} == {
        task.name for task in matrix.tasks
    }
    run = listed["cells"]
    for method in matrix.methods:
        assert any(cell.startswith(f"{method.name} ") for cell in run), method.name
    for task in matrix.tasks:
        assert any(f" {task.name} " in cell for cell in run), task.name
        for protocol in task.protocols:
            assert any(f" {protocol} " in cell for cell in run), protocol
    assert any(kind == "pairing" for kind, _ in covered)


def test_a_reduced_rehearsal_passes_part_by_part(capsys, tmp_path):
    only = "method=random,simclr,dvme,task=pneumonia"
    code, parts = _rehearse(
        capsys, "transferability", tmp_path, "--filter", only, "--workers", "1"
    )
    failed = [part for part in parts if part["state"] == "failed"]
    assert (code, failed) == (0, [])
    kinds = {part["kind"] for part in parts}
    assert kinds == {"method", "task", "pairing", "analysis", "table", "figure"}
    names = {part["name"] for part in parts if part["state"] == "passed"}
    assert {"random", "simclr", "dvme", "pneumonia", "auc", "gap-auc"} <= names


def test_a_part_that_fails_is_named_with_its_reason(capsys, tmp_path, monkeypatch):
    """A cell whose job fails takes its method, task and pairing with it."""
    from harness.submit import local
    from harness.submit.backend import Failure, Outcome

    def run(_, jobs):
        failures = [Failure(job.name, job.label, "no space left", "") for job in jobs]
        return Outcome(failed=tuple(failures))

    monkeypatch.setattr(local.Local, "run", run)
    only = "method=random,task=pneumonia,protocol=finetune"
    code, parts = _rehearse(capsys, "transferability", tmp_path, "--filter", only)
    assert code == 1
    failed = {part["name"]: part for part in parts if part["state"] == "failed"}
    assert {"random", "pneumonia"} <= set(failed)
    assert failed["random"]["reason"].endswith(": no space left")
