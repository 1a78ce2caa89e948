"""What SLURM is asked, and what is made of its answers."""

import pytest

from harness.submit import squeue
from harness.submit.records import Submission, user_name

ME = user_name()


def record(user, backend="slurm"):
    return Submission("S", backend, [], user=user)


@pytest.fixture
def asked(shims, tmp_path):
    """Answer squeue with a line per user that is asked for; return the words used."""

    def calls():
        return (tmp_path / "words").read_text().splitlines()

    shims(squeue=f'echo "$@" >> {tmp_path}/words; echo "1_0|RUNNING|None|S|cell.0"')
    return calls


def test_one_call_asks_for_everybody_who_submitted(asked):
    found = squeue.ask([record("zoe"), record("zoe"), record(""), record("x", "local")])
    assert [entry.job_id for entry in found] == ["1_0"]
    [words] = asked()
    assert f"--user={','.join(sorted({ME, 'zoe'}))}" in words.split()
    assert "--array" in words.split()


def test_somebody_whom_slurm_does_not_know_does_not_hide_the_others(
    shims, asked, tmp_path
):
    shims(
        squeue=f'echo "$@" >> {tmp_path}/words; [[ "$*" == *--me* ]] || '
        '{ echo "Invalid user: gone" >&2; exit 1; }; echo "1|PENDING|None|S|cell.0"'
    )
    assert len(squeue.ask([record("gone")])) == 1
    assert len(asked()) == 2


def test_no_answer_is_none_and_jobs_that_are_cleaned_up_are_over(shims):
    shims(squeue="exit 1")
    assert squeue.ask() is None
    shims(
        squeue="printf '1|COMPLETING|None|S|a\\n2|PENDING|None|S|b|c\\n"
        "3|PENDING|x|y|z\\n'"
    )
    assert [(e.job_id, e.job_name) for e in squeue.ask()] == [("2", "b|c"), ("3", "z")]


def test_limits_come_from_the_configuration_and_the_account(shims):
    config = (
        "MaxArraySize            = 4001\nMaxJobCount             = 50000\n"
        "AccountingStorageType   = accounting_storage/{}\n"
    )
    shims(scontrol=f"printf '{config.format('none')}'", sacctmgr="echo 7")
    assert squeue.limits() == squeue.Limits(4001, 50000)
    shims(
        scontrol=f"printf '{config.format('slurmdbd')}'",
        sacctmgr="printf '\\n300\\n1000\\n'",
    )
    assert squeue.limits() == squeue.Limits(4001, 300)
    shims(scontrol="exit 1")
    assert squeue.limits() == squeue.Limits(1001, None)


def test_nodes_of_a_partition_are_counted_once_each(shims):
    shims(sinfo="printf 'n1|main*\\nn2|main*\\nn1|gpu\\nn3|gpu\\nn1|main*\\n'")
    assert squeue.node_count(None) == 2
    assert squeue.node_count("gpu") == 2
    assert squeue.node_count("main,gpu") == 3
    assert squeue.node_count("other") == 0
    shims(sinfo="exit 1")
    assert squeue.node_count(None) == 0
