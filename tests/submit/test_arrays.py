"""How jobs become arrays: few calls of sbatch, and nobody starts too early."""

from math import ceil

import pytest

from harness.matrix.profiles import Profile
from harness.plan.cells import Job
from harness.submit.arrays import batches, canary, within
from harness.submit.resources import Resources, by_job
from harness.submit.sbatch import dependencies


def pretraining(name, method="m", after=()):
    return Job(name, "pretrain", (f"k{name}",), after, name, "pretrain", method)


def cell(name, parents=(), method="m", task="t"):
    after = tuple(f"k{parent}" for parent in parents)
    nodes = (f"a{name}", f"e{name}")
    return Job(name, "cell", nodes, after, name, "cell", method, task)


def arrays(jobs, largest=1000, calls=100, **body):
    asked = by_job(Profile.model_validate(body), {})
    return list(batches(jobs, asked, largest=largest, calls=calls))


def names(found):
    return [[job.name for job in batch.jobs] for batch in found]


def test_one_array_per_request_and_set_of_parents():
    jobs = [pretraining("p"), pretraining("q"), cell("c", "p"), cell("d", "q"),
            cell("e", "p"), cell("f"), cell("g", "pq")]  # fmt: skip
    found = arrays(jobs)
    assert names(found) == [["p", "q"], ["f"], ["c", "e"], ["d"], ["g"]]
    assert [batch.after for batch in found] == [
        (), (), ("kp",), ("kq",), ("kp", "kq"),
    ]  # fmt: skip
    assert all(batch.after_any == () for batch in found)


def test_other_requests_are_other_arrays():
    jobs = [cell("a", task="small"), cell("b", task="large"), cell("c", task="small")]
    found = arrays(jobs, tasks={"large": {"mem": "64G"}})
    assert names(found) == [["a", "c"], ["b"]]
    assert [batch.resources.mem for batch in found] == [None, 65536]


def test_arrays_are_cut_where_the_site_says():
    found = arrays([cell(str(i)) for i in range(7)], largest=3)
    assert [len(batch.elements) for batch in found] == [3, 3, 1]
    assert [batch.array.name for batch in found] == ["cell.0", "cell.1", "cell.2"]


def test_stages_follow_one_another_whatever_the_order():
    first = pretraining("p")
    second = pretraining("q", after=("kp",))
    assert names(arrays([cell("c", "q"), second, first])) == [["p"], ["q"], ["c"]]


@pytest.mark.parametrize(
    ("parents", "cells", "largest"),
    [(500, 20, 1001), (5, 2000, 1001), (101, 1, 1001), (3, 300, 2), (2000, 1, 10)],
)
def test_there_are_never_more_calls_than_promised(parents, cells, largest):
    jobs = [pretraining(str(i)) for i in range(parents)]
    jobs += [cell(f"{i}-{j}", [str(i)]) for i in range(parents) for j in range(cells)]
    found = arrays(jobs, largest=largest)
    assert len(found) <= 100 + ceil(len(jobs) / largest)
    assert sorted(n for each in names(found) for n in each) == sorted(
        job.name for job in jobs
    )
    seen = set()
    for batch in found:
        assert len(batch.elements) <= largest
        for job in batch.jobs:
            waited = {*batch.after, *batch.after_any}
            assert set(job.after) <= waited & seen
        seen.update(key for job in batch.jobs for key in job.nodes)


def test_elements_of_a_shared_array_do_not_fall_with_each_others_parents():
    jobs = [pretraining(n) for n in "pqr"] + [cell(f"c{n}", n) for n in "pqr"]
    *_, shared = arrays(jobs, calls=2)
    assert [job.name for job in shared.jobs] == ["cp", "cq", "cr"]
    assert (shared.after, shared.after_any) == ((), ("kp", "kq", "kr"))
    ids = {"kp": "7_0", "kq": "7_1"}  # r is published
    assert dependencies(shared, ids) == "afterany:7_0:7_1"


def test_cells_of_one_job_have_the_same_parents_and_their_time_together():
    jobs = [pretraining("p"), *[cell(f"c{i}", "p") for i in range(5)], cell("d")]
    found = arrays(jobs, cells_per_job=2, time=30)
    assert [[len(jobs) for jobs in batch.elements] for batch in found] == [
        [1], [1], [2, 2, 1],
    ]  # fmt: skip
    assert [batch.resources.time_min for batch in found] == [30, 60, 60]
    array = found[-1].array
    assert array.jobs == ["c0", "c2", "c4"]
    assert array.nodes == [["ac0", "ec0", "ac1", "ec1"], ["ac2", "ec2", "ac3", "ec3"],
                           ["ac4", "ec4"]]  # fmt: skip
    assert (array.time_min, array.element(1)) == (60, "None_1")


def test_a_canary_goes_ahead_of_its_method_task_and_request():
    jobs = [
        pretraining("p"), pretraining("q"), pretraining("x", "other"),
        cell("c1", "p"), cell("c2", "p"), cell("c3", "q"), cell("d1", "p", task="u"),
        cell("y1", "x", method="other"), cell("free", method="none"),
    ]  # fmt: skip
    waits = {job.name: set(job.after) for job in canary(jobs, by_job(Profile(), {}))}
    assert waits == {
        "p": set(), "x": set(), "q": {"ec1", "ed1"},
        "c1": {"kp"}, "c2": {"kp", "ec1"}, "c3": {"kq", "ec1"}, "d1": {"kp"},
        "y1": {"kx"}, "free": set(),
    }  # fmt: skip


def test_the_gate_of_a_canary_stays_strict_in_shared_arrays():
    jobs = [pretraining(str(i)) for i in range(6)]
    jobs += [cell(f"{i}-{j}", [str(i)]) for i in range(6) for j in range(2)]
    found = arrays(canary(jobs, by_job(Profile(), {})), calls=3)
    last = found[-1]
    assert len(last.jobs) == 10
    assert last.after == ("e0-0",)
    assert last.after_any == tuple(f"k{i}" for i in range(1, 6))


def test_what_there_is_no_room_for_is_left_in_order():
    found = arrays([*[pretraining(n) for n in "pq"], cell("c", "p"), cell("d", "p")])
    kept, left = within(found, 3)
    assert names(kept) == [["p", "q"], ["c"]]
    assert left == ["d"]
    assert kept[1].array.jobs == ["c"]
    assert within(found, 1) == within(found, 1)
    kept, left = within(found, 1)
    assert (names(kept), left) == ([["p"]], ["q", "c", "d"])
    assert within(found, 0)[0] == []
    assert within(found, None) == (found, [])


def test_defaults_of_a_request():
    asked = Profile.model_validate({"gpus": "a100:2"}).asked("cell")
    found = Resources.of("cell", asked)
    assert (found.time_min, found.tasks, found.signal_s) == (240, 2, 90)
    assert Resources.of("pretrain", Profile().asked("pretrain")).time_min == 1440
    short = Resources.of("cell", Profile.model_validate({"time": 2}).asked("cell"))
    assert short.signal_s == 30  # a quarter: two minutes less ninety seconds is no time


def test_the_command_line_overrules_every_profile():
    profile = Profile.model_validate({"mem": "8G", "methods": {"m": {"mem": "64G"}}})
    asked = by_job(profile, {"mem": 1024, "gpus": None})
    assert asked(cell("c")).mem == 1024
