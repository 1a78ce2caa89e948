"""Two people, one results folder, and a site that hides jobs from one another."""

import pytest

from harness.schema.identity import short
from harness.submit import records as module
from harness.submit.hidden import find_hidden
from harness.submit.records import Array, Submissions
from harness.submit.squeue import Queued


@pytest.fixture
def theirs(workshop, shims, monkeypatch):
    """A job that another person has submitted; the record of it."""
    job = workshop.cell("c")
    array = Array.of("cell.0", [(job,)])
    array.job_id = "7"
    monkeypatch.setattr(module, "user_name", lambda: "ada")
    record = Submissions(workshop.store.root).new("slurm", [array])
    shims(scontrol="echo 'PrivateData             = accounts,jobs,usage'")
    return job, record


def find(workshop, queue=()):
    records = Submissions(workshop.store.root).all()
    return find_hidden(records, queue, workshop.store)


def test_what_another_has_submitted_counts_as_queued(workshop, theirs):
    job, _ = theirs
    found = find(workshop)
    assert set(found) == {short(key) for key in job.nodes}
    assert found[job.name].job_id == "7"
    assert found[job.name].reason == "submitted by ada, whose jobs this site hides"


def test_until_a_try_has_ended(workshop, theirs):
    job, _ = theirs
    attempt = workshop.store.begin(job.nodes[0], {}, made_by={})
    assert find(workshop)
    attempt.fail("oom", "x")
    assert find(workshop) == {}


def test_not_where_the_site_shows_them(workshop, theirs, shims):
    _, record = theirs
    assert find(workshop, [Queued("7", "PENDING", "", record.id, "cell.0")]) == {}
    shims(scontrol="echo 'PrivateData             = none'")
    assert find(workshop) == {}


def test_nor_once_the_record_is_old(workshop, theirs):
    _, record = theirs
    record.created -= 15 * 86_400
    Submissions(workshop.store.root).write(record)
    assert find(workshop) == {}


def test_my_own_jobs_are_never_hidden(workshop, theirs):
    _, record = theirs
    record.user = ""
    Submissions(workshop.store.root).write(record)
    assert find(workshop) == {}
