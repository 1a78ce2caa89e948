"""The fault suite itself: what it lists, counts and writes. Trials need a SLURM."""

import catalogue
import pytest
import written

CI = {
    "worker SIGKILLed", "scancel by hand", "a dependant whose parent failed",
    "two submitters", "crash between sbatch and record", "corrupted manifest",
}  # fmt: skip
WANTED = CI | {
    "worker out of memory", "slurmd killed and restarted", "node drained mid-job",
    "controller down during submit", "controller down during status",
    "job preempted and requeued", "job past its time limit", "a purged parent id",
    "disk full", "results folder read-only", "a corrupted Parquet file",
    "a corrupted checkpoint", "a DONE manifest that lists a missing file",
    "clock set back", "submitter killed between two system calls",
}  # fmt: skip


def record(verdict, number, fault="disk full", evidence="ENOSPC | full"):
    return {
        "fault": fault, "trial": number, "verdict": verdict, "why": "",
        "evidence": evidence, "step": "step", "seconds": 1.0,
    }  # fmt: skip


def test_every_fault_to_survive_is_in_the_catalogue_with_a_sentence():
    faults = catalogue.every()
    assert faults.keys() >= WANTED
    assert {fault.name for fault in faults.values() if fault.ci} == CI
    assert all(fault.says.endswith(".") for fault in faults.values())


def test_a_trial_without_evidence_is_not_counted_as_tried():
    catalogue.every()
    records = [record("survived", 1), record("not survived", 2), record("not tried", 3)]
    assert written.counts(records) == {"disk full": [1, 2, 3]}
    assert "1 / 2   disk full (1 not tried)" in written.summary(records)
    page = written.page(records)
    assert "**Survived 1 of 2 tried.**" in page
    assert "| disk full | 1 / 2 | The disk of the results folder fills up" in page
    assert r"ENOSPC \| full" in page
    assert "- not tried    disk full #3" in page


def test_what_was_survived_is_not_repeated_and_the_rest_is(tmp_path):
    catalogue.every()
    records = written.Records(tmp_path / "state" / "trials.jsonl")
    records.add(record("not survived", 1))
    assert not records.has("disk full", 1)
    records.add(record("survived", 1))
    assert records.has("disk full", 1)
    assert not records.has("disk full", 2)
    assert len(records.all()) == 1


@pytest.mark.parametrize("name", ["two submitters", "a DONE manifest that lists"])
def test_names_make_folders(name):
    assert written.slug(name).replace("-", "").isalnum()
