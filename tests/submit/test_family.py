"""Jobs of an array stop by themselves when others like them have failed alike."""

import json

import pytest

from harness.schema.errors import Exit
from harness.submit.family import Faults, own_fault
from harness.submit.job import Element

FAMILY = ["cell", "m", "t"]


@pytest.fixture
def run(workshop, tmp_path, monkeypatch):
    """Run one job as an element of an array; return its exit code."""
    import stub_runner

    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")
    folder = tmp_path / "submissions" / "S1" / "cell.0"

    def element(job, family=FAMILY):
        line = {
            "results": str(workshop.store.root), "runner": stub_runner.RUNNER,
            "jobs": [{"name": job.name, "nodes": list(job.nodes), "family": family}],
        }  # fmt: skip
        try:
            Element(str(folder), 0)(json.loads(json.dumps(line)))
        except SystemExit as end:
            return end.code
        return 0

    element.faults = Faults(folder.parent)
    return element


def test_the_rest_of_a_family_is_not_begun_after_three_equal_faults(workshop, run):
    jobs = [workshop.cell(f"c{i}", do="fault") for i in range(4)]
    other = workshop.cell("other")
    assert [run(job) for job in jobs[:3]] == [1, 1, 1]
    assert run.faults.stopped(FAMILY) == 3
    assert run(jobs[3]) == Exit.BLOCKED
    [attempt] = workshop.store.attempts(jobs[3].nodes[0])
    assert attempt["error_class"] == "blocked"
    assert "not begun: 3 jobs of cell m t failed alike; mend that" in attempt["message"]
    assert run(other, ["cell", "m", "u"]) == Exit.DONE


def test_other_faults_and_other_ends_do_not_count(workshop, run):
    for number in range(2):
        run(workshop.cell(f"c{number}", do="fault"))
    for number in range(4):
        run(workshop.cell(f"d{number}", do="fail"))  # without a traceback
    assert run.faults.stopped(FAMILY) == 0
    assert own_fault(workshop.store, workshop.cell("e").nodes) is None
