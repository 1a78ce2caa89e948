"""Profiles, shared arrays, canaries, limits, stuck jobs and cancelling on a real SLURM."""

import subprocess
import time

import pytest
from stub_runner import RUNNER

from harness.matrix.profiles import Profile
from harness.schema.errors import Exit
from harness.submit import arrays, cancel, squeue
from harness.submit import slurm as backends
from harness.submit.failures import CodeNow, History
from harness.submit.records import Submissions
from harness.submit.retry import decide
from harness.submit.slurm import Slurm


def submit(workshop, jobs=None, **settings):
    settings.setdefault("poll_s", (0.2, 0.5))
    settings.setdefault("say", lambda _: None)
    profile = Profile.model_validate(settings.pop("profile", {}))
    backend = Slurm(workshop.store, profile=profile, runner=RUNNER, **settings)
    return backend.run(workshop.todo() if jobs is None else jobs)


def logs(workshop):
    folder = workshop.store.root / "submissions"
    return {path.name: path.read_text() for path in folder.rglob("*_log.out")}


def wait_for(what, seconds=20):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.1)


def decision(workshop, command, rule):
    records = Submissions(workshop.store.root).all()
    history = History(workshop.store, records, squeue.ask(records))
    now = CodeNow([])
    return decide(workshop.todo(), history, now, command=command, rule=rule)


def test_a_profile_reaches_the_job_and_nothing_gets_out_of_its_place(
    slurm, tmp_path, drained, monkeypatch
):
    from stub_runner import Workshop

    monkeypatch.chdir(tmp_path)
    workshop = Workshop(tmp_path / 'it\'s $(touch pwned) "x"')
    for number in range(3):
        workshop.cell(f"c{number}")
    profile = {
        "setup": ['echo "set up by $USER"'], "scratch": "$HOME/scratch", "cpus": 2,
        "cells_per_job": 2, "mem": "50M", "time": 3, "options": {"nice": 5},
    }  # fmt: skip
    outcome = submit(workshop, profile=profile, wait=True)
    assert (outcome.exit, len(outcome.done)) == (Exit.DONE, 3)
    drained()
    found = logs(workshop)
    assert len(found) == 2  # elements, of two cells and of one
    assert all(text.startswith("set up by ") for text in found.values())
    assert {threads for *_, threads in workshop.events()} == {"2"}
    processes = [pid for what, _, pid, _ in workshop.events() if what == "start"]
    assert len(set(processes)) == 2
    assert not list(tmp_path.rglob("pwned"))
    # Nothing that was pickled lies in the results folder.
    assert not list(workshop.store.root.rglob("*.pkl"))


def test_cells_of_several_pretrainings_share_an_array_and_not_their_fate(
    slurm, workshop, drained, monkeypatch
):
    made = arrays.batches
    monkeypatch.setattr(
        backends.arrays, "batches", lambda *a, **k: made(*a, **k, calls=2)
    )
    good, bad = workshop.pretrain("good"), workshop.pretrain("bad", do="fail")
    workshop.cell("lives", good), workshop.cell("orphan", bad)
    outcome = submit(workshop, wait=True)
    [record] = Submissions(workshop.store.root).all()
    assert [len(array.jobs) for array in record.arrays] == [2, 2]
    assert [failure.label for failure in outcome.failed] == ["bad"]
    assert [failure.label for failure in outcome.blocked] == ["orphan"]
    assert len(outcome.done) == 2
    drained()


def test_a_parent_that_is_requeued_does_not_release_a_shared_array(
    slurm, workshop, queue, monkeypatch
):
    made = arrays.batches
    monkeypatch.setattr(
        backends.arrays, "batches", lambda *a, **k: made(*a, **k, calls=2)
    )
    first, second = workshop.pretrain("p", do="sleep"), workshop.pretrain("q")
    workshop.cell("c", first), workshop.cell("d", second)
    submit(workshop)
    wait_for(lambda: workshop.store.attempts(first.nodes[0]))
    ids = squeue.find_nodes(Submissions(workshop.store.root).all(), squeue.ask())
    subprocess.run(["scontrol", "requeue", ids[first.name].job_id], check=True)
    time.sleep(2)
    states = {(name, state) for _, name, state, *_ in queue()}
    assert ("cell.0", "PENDING") in states
    assert not [each for each in states if each[0] == "cell.0" and each[1] != "PENDING"]


@pytest.mark.parametrize("do", ["ok", "fail"])
def test_the_rest_waits_for_the_canary(slurm, workshop, drained, do):
    workshop.cell("canary", do=do)
    for number in range(2):
        workshop.cell(f"c{number}")
    submit(workshop, canary=True)
    drained()
    started = [label for label in workshop.started() if label.startswith("adapt")]
    assert started[0] == "adapt:canary"
    assert sorted(started[1:]) == ([] if do == "fail" else ["adapt:c0", "adapt:c1"])


def test_no_more_jobs_are_queued_than_the_profile_allows(
    slurm, workshop, queue, drained
):
    drained()  # (what an earlier test cancelled may be there still)
    for number in range(5):
        workshop.cell(f"c{number}")
    said, most = [], 0
    outcome = submit(workshop, profile={"max_jobs": 2}, say=said.append)
    most = len(queue())
    assert most <= 2
    assert (len(outcome.queued), len(outcome.left)) == (2, 3)
    assert outcome.exit == Exit.INCOMPLETE
    assert "3 jobs not submitted: no more may be queued now" in said[-1]
    outcome = submit(workshop, profile={"max_jobs": 2}, wait=True)
    assert outcome.exit == Exit.DONE
    assert workshop.todo() == []


def test_jobs_that_could_never_start_are_submitted_anew(
    slurm, workshop, queue, drained, monkeypatch
):
    """As on a site where SLURM does not cancel what waits for a failed job."""
    real = backends.Sbatch._executor

    def forgetful(self, batch, ids):
        executor = real(self, batch, ids)
        executor.parameters["additional_parameters"].pop("kill-on-invalid-dep", None)
        return executor

    monkeypatch.setattr(backends.Sbatch, "_executor", forgetful)
    parent = workshop.pretrain("p", do="fail-once")
    workshop.cell("c", parent)
    submit(workshop)
    fields = "%i|%r"
    wait_for(lambda: any("NeverSatisfied" in reason for _, reason in queue(fields)))
    said = []
    outcome = submit(workshop, say=said.append, wait=True)
    assert said[0] == "1 job could never start: submitted anew"
    assert outcome.exit == Exit.DONE
    drained()


def test_cancel_takes_what_was_chosen_and_leaves_what_others_need(
    slurm, workshop, queue
):
    shared, own = workshop.pretrain("s", do="sleep"), workshop.pretrain("o", do="sleep")
    gone, also = workshop.cell("gone", own), workshop.cell("also", shared)
    stays = workshop.cell("stays", shared)
    submit(workshop)
    chosen = [*gone.nodes, *also.nodes, *shared.nodes, *own.nodes]
    found = cancel.find(workshop.store, chosen, [*stays.nodes, *shared.nodes])
    assert (len(found.ids), found.shared) == (3, 0)
    cancel.carry_out(found)
    wait_for(lambda: len(queue()) == 2)
    left = squeue.find_nodes(Submissions(workshop.store.root).all(), squeue.ask())
    assert set(left) == {stays.name, stays.nodes[0][:16], shared.name}


def test_a_job_killed_for_its_time_gets_more_and_one_killed_by_hand_is_repeated(
    slurm, workshop, queue, drained
):
    """scancel by hand, then SIGKILL: told apart, and both repeated by resume."""
    from harness.matrix.profiles import RetryRule

    by_hand, killed = workshop.cell("hand", do="sleep"), workshop.cell("k", do="kill")
    submit(workshop)
    wait_for(lambda: workshop.store.attempts(by_hand.nodes[0]))
    ids = squeue.find_nodes(Submissions(workshop.store.root).all(), squeue.ask())
    subprocess.run(["scancel", ids[by_hand.name].job_id], check=True)
    drained()
    rule = RetryRule(times=1)
    found = decision(workshop, "resume", rule)
    kinds = {
        job.label: [one.kind for one in found.tries[job.name]] for job in found.jobs
    }
    assert kinds == {"hand": ["cancelled"], "k": ["killed"]}
    submit(workshop, jobs=[killed])
    drained()
    found = decision(workshop, "resume", rule)
    assert [job.label for job in found.jobs] == ["hand"]
    assert "the machine failed it 2 times (2x killed;" in found.held[0].reason


def test_a_preview_says_what_a_run_does_then(slurm, workshop, tmp_path):
    first = workshop.pretrain("p")
    for number in range(4):
        workshop.cell(f"c{number}", first)
    before = sorted(workshop.store.root.rglob("*"))
    backend = Slurm(
        workshop.store, runner=RUNNER, profile=Profile(mem="50M"), say=lambda _: None
    )
    shown = backend.preview(workshop.jobs)
    assert sorted(workshop.store.root.rglob("*")) == before
    backend.run(workshop.jobs)
    [record] = Submissions(workshop.store.root).all()
    assert [each.name for each in shown.planned] == [a.name for a in record.arrays]
    for each, array in zip(shown.planned, record.arrays, strict=True):
        folder = workshop.store.root / "submissions" / record.id / array.name
        [script] = folder.glob(f"{array.job_id}_submission.sh")
        said = each.script.replace("SUBMISSION", record.id)
        for one in record.arrays:
            said = said.replace(f"ID_OF_{one.name}", one.job_id)
        assert script.read_text() == said
    again = backend.preview(workshop.jobs)
    assert (again.planned, again.queued) == ((), 5)
