"""What ended a try, and which jobs are tried again, with what."""

import dataclasses
import time

import pytest

from harness.matrix.profiles import Profile, RetryRule
from harness.schema.identity import short
from harness.submit.failures import (
    CodeNow,
    History,
    code_of,
    kind_of_state,
    kind_of_words,
)
from harness.submit.records import Array, Submissions
from harness.submit.resources import Resources
from harness.submit.retry import decide
from harness.submit.squeue import Queued

RULE = RetryRule()


@pytest.fixture
def now(tmp_path):
    return CodeNow([tmp_path])


@pytest.fixture
def tried(workshop, now):
    """Note a try at a job: `tried(job, "oom")`, `tried(job, "code", at=...)`."""

    def note(job, error_class, *, at="here", node="n1", message="it went wrong"):
        engine = {k: None if v == "None" else v for k, v in now._engine}
        made_by = {
            "harness": engine["harness"],
            "git": {"commit": engine["commit"], "diff_sha256": engine["diff"]},
            "slurm": {"job": "1", "node": node},
        }
        attempt = workshop.store.begin(job.nodes[0], {}, made_by=made_by)
        error = None
        try:
            exec(f"def {at}(): raise ValueError('x')\n{at}()")
        except ValueError as raised:
            error = raised
        attempt.fail(error_class, message, error=error)

    return note


@pytest.fixture
def choose(workshop, now):
    def decision(command="resume", rule=RULE, records=(), queue=()):
        history = History(workshop.store, records, queue)
        found = decide(workshop.jobs, history, now, command=command, rule=rule)
        return found, [job.label for job in found.jobs]

    return decision


def held(decision):
    return {failure.label: failure.reason for failure in decision.held}


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("Detected 1 oom_kill event in StepId=5.0. Some of the step tasks", "oom"),
        ("StepId=7.0 task 0: Out Of Memory", "oom"),
        ("*** JOB 5 ON n1 CANCELLED AT 2026-01-01 DUE TO TIME LIMIT ***", "timeout"),
        ("*** JOB 5 ON n1 CANCELLED AT 2026-01-01 DUE TO PREEMPTION ***", "preempted"),
        ("*** JOB 5 ON n1 CANCELLED AT x DUE TO NODE FAILURE, SEE ***", "node_fail"),
        ("*** STEP 5.0 ON n1 CANCELLED AT 2026-01-01T00:00:00 ***", "cancelled"),
        ("task 0: Killed", None),
    ],
)
def test_what_slurm_writes_into_a_log_is_understood(said, kind):
    assert kind_of_words(said) == kind


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ({"JobState": "OUT_OF_MEMORY", "ExitCode": "0:125"}, "oom"),
        ({"JobState": "TIMEOUT", "ExitCode": "0:15"}, "timeout"),
        ({"JobState": "NODE_FAIL", "ExitCode": "1:0"}, "node_fail"),
        ({"JobState": "PREEMPTED", "ExitCode": "0:15"}, "preempted"),
        ({"State": "CANCELLED by 0", "ExitCode": "0:15"}, "cancelled"),
        ({"JobState": "FAILED", "ExitCode": "0:9"}, "killed"),
        ({"JobState": "FAILED", "ExitCode": "1:0"}, None),
        ({"JobState": "COMPLETED", "ExitCode": "0:0"}, None),
        ({}, None),
    ],
)
def test_what_slurm_says_of_a_job_is_understood(said, kind):
    found = kind_of_state(said)
    assert (found and found[0]) == kind


def test_what_was_never_tried_is_submitted_by_run_and_resume_only(workshop, choose):
    workshop.cell("c", workshop.pretrain("p"))
    assert choose("run")[1] == choose("resume")[1] == ["p", "c"]
    assert choose("retry")[1] == []


@pytest.mark.parametrize("kind", ["code", "data"])
def test_its_own_fault_is_left_by_resume_until_something_changes(
    workshop, choose, tried, now, kind
):
    job = workshop.cell("c")
    tried(job, kind)
    found, labels = choose("resume")
    assert labels == []
    assert "it went wrong (its own fault: mend it" in held(found)["c"]
    assert choose("run")[1] == choose("retry")[1] == ["c"]
    now._engine = ()  # another commit
    assert choose("resume")[1] == ["c"]


def test_what_waits_for_something_left_is_left_with_its_reason(workshop, choose, tried):
    parent = workshop.pretrain("p")
    second = workshop.pretrain("q", after=parent.nodes)
    workshop.cell("c", second), workshop.cell("free")
    tried(parent, "code")
    found, labels = choose("resume")
    assert labels == ["free"]
    assert held(found)["c"].startswith("waits for q, which is left: waits for p, which")
    assert choose("retry")[1] == ["p", "q", "c"]


@pytest.mark.parametrize("kind", ["oom", "timeout", "disk_full"])
def test_the_machine_has_a_budget(workshop, choose, tried, kind):
    job = workshop.cell("c")
    rule = RetryRule(times=2)
    for _ in range(2):
        tried(job, kind)
        assert choose("resume", rule)[1] == ["c"]
    tried(job, kind)
    found, labels = choose("resume", rule)
    assert labels == []
    assert f"the machine failed it 3 times (3x {kind};" in held(found)["c"]
    assert choose("run", rule)[1] == choose("retry", rule)[1] == ["c"]


def test_retry_starts_the_budget_anew(workshop, choose, tried):
    job = workshop.cell("c")
    for _ in range(4):
        tried(job, "oom")
    assert choose("resume")[1] == []
    submissions = Submissions(workshop.store.root)
    array = Array.of("cell.0", [(job,)])
    array.job_id = "9"
    queue = [Queued("9", "PENDING", "", "x", "cell.0")]
    record = submissions.new("slurm", [array], command="retry")
    queue = [dataclasses.replace(queue[0], comment=record.id)]
    found, labels = choose("resume", records=submissions.all(), queue=queue)
    assert labels == ["c"]  # queued, as the backend will find
    assert found.held == ()


def test_more_is_asked_for_after_a_lack_of_it(workshop, choose, tried):
    job, other = workshop.cell("c"), workshop.cell("d")
    tried(job, "oom"), tried(job, "timeout"), tried(job, "oom")
    rule = RetryRule(mem=2, time=1.5, max_time=100)
    asked = Resources.of("cell", Profile.model_validate({"mem": "4G", "time": 80}))
    grown = choose("resume", rule)[0].grown(rule)
    assert (grown(job, asked).mem, grown(job, asked).time_min) == (4 * 4096, 100)
    assert grown(other, asked) == asked
    low = RetryRule(max_mem="6G", max_time=10)
    bounded = choose("resume", low)[0].grown(low)(job, asked)
    assert (bounded.mem, bounded.time_min) == (6144, 80)  # never less than asked for
    unknown = Resources.of("cell", Profile())
    assert grown(job, unknown).mem is None


def test_nodes_where_a_job_was_lost_are_kept_off(workshop, choose, monkeypatch):
    job = workshop.cell("c")
    for node in ("n7", "n2", "n7"):
        time.sleep(0.002)  # attempts are in the order of their milliseconds
        made_by = {"slurm": {"job": "1", "node": node}}
        attempt = workshop.store.begin(job.nodes[0], {}, made_by=made_by)
        attempt._record["process_start"] = "long ago"
        attempt._silence.set()
        attempt._write()
    asked = Resources.of("cell", Profile())
    monkeypatch.setattr(
        "harness.submit.failures.of_job", lambda *_: {"JobState": "NODE_FAIL"}
    )
    found, labels = choose("resume", RetryRule(times=5))
    assert labels == ["c"]
    assert found.grown(RULE)(job, asked).exclude == (
        "n7",
    )  # requeued ones are not lost
    assert found.grown(RetryRule(exclude=False))(job, asked).exclude == ()


def test_three_equal_tracebacks_stop_a_family_and_are_told_once(
    workshop, choose, tried
):
    for name in "abcd":
        workshop.cell(name)
    apart = dataclasses.replace(workshop.cell("other"), method="fine")
    workshop.jobs[-1] = apart
    tried(workshop.jobs[0], "code"), tried(workshop.jobs[1], "code")
    assert choose("run")[1] == ["a", "b", "c", "d", "other"]
    tried(workshop.jobs[2], "code", at="elsewhere")
    assert choose("run")[1] == ["a", "b", "c", "d", "other"]
    tried(workshop.jobs[2], "code")
    found, labels = choose("run")
    assert labels == ["other"]
    [note] = found.notes
    assert note.startswith("cell toy-method toy: 3 tries failed alike (code: it went")
    assert set(held(found).values()) == {note}
    assert choose("retry")[1] == ["a", "b", "c"]


def test_another_state_of_the_code_starts_a_family_anew(workshop, choose, tried, now):
    job = workshop.cell("a")
    for _ in range(3):
        tried(job, "code")
    assert choose("run")[1] == []
    now._engine = ()
    assert choose("run")[1] == ["a"]


def test_content_files_are_part_of_the_code(tmp_path):
    (tmp_path / "methods").mkdir()
    path = tmp_path / "methods" / "m.py"
    path.write_text("one")
    from harness import provenance

    sources = provenance.hash_sources([path])
    before = code_of({**provenance.code_state(), "sources": sources})
    assert CodeNow([tmp_path]).equals(before)
    path.write_text("two")
    assert not CodeNow([tmp_path]).equals(before)


def test_a_submission_that_left_no_attempt_is_a_try(workshop, choose, monkeypatch):
    job = workshop.cell("c")
    submissions = Submissions(workshop.store.root)
    array = Array.of("cell.0", [(job,)])
    array.job_id = "12"
    record = submissions.new("slurm", [array])
    records = submissions.all()
    tries = History(workshop.store, records).tries(job.nodes)
    assert [(one.kind, one.reason) for one in tries] == [
        ("cancelled", "it never started")
    ]
    log = submissions.folder(record) / "cell.0" / "12_0_log.out"
    log.parent.mkdir()
    log.write_text("srun: error: n1: task 0: Out Of Memory\n")
    [one] = History(workshop.store, records).tries(job.nodes)
    assert one.kind == "oom"
    log.write_text("/bin/python: command not found\n")
    [one] = History(workshop.store, records).tries(job.nodes)
    assert (one.kind, str(log) in one.reason) == ("killed", True)
    waiting = [Queued("12", "PENDING", "", record.id, "cell.0")]
    assert History(workshop.store, records, waiting).tries(job.nodes) == []
    assert History(workshop.store, records, None).tries(job.nodes) == []
    assert short(job.nodes[1]) in array.nodes[0]


def test_too_many_time_outs_are_a_time_out(workshop):
    job = workshop.cell("c")
    submissions = Submissions(workshop.store.root)
    array = Array.of("cell.0", [(job,)])
    array.job_id = "12"
    record = submissions.new("slurm", [array])
    folder = submissions.folder(record) / "cell.0"
    folder.mkdir()
    (folder / "0.timeouts").write_text("1\n2\n")
    [one] = History(workshop.store, submissions.all()).tries(job.nodes)
    assert one.kind == "timeout"


def test_what_the_machine_failed_is_told_from_the_rest(workshop, choose, tried):
    parent = workshop.pretrain("p")
    workshop.cell("child", parent), workshop.cell("fresh")
    stopped, lost = workshop.cell("stopped"), workshop.cell("lost")
    tried(parent, "timeout"), tried(stopped, "interrupted"), tried(lost, "oom")
    found, labels = choose("resume")
    assert labels == ["p", "child", "fresh", "stopped", "lost"]
    assert [job.label for job in found.of_machine().jobs] == ["p", "child", "lost"]
