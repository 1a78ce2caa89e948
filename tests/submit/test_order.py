from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from harness.submit.order import Order


@dataclass(frozen=True)
class Job:
    name: str
    kind: str
    nodes: tuple
    after: tuple
    label: str


def jobs_of(parents):
    """parents[i]: what job i waits for: jobs, or -1 (published) or -2 (absent)."""
    made = []
    for i, needs in enumerate(parents):
        after = tuple(
            "ok" if n == -1 else "absent" if n == -2 else f"k{n}" for n in needs
        )
        kind = "pretrain" if i % 2 else "cell"
        made.append(Job(f"j{i}", kind, (f"k{i}",), after, f"job {i}"))
    return made


@st.composite
def graphs(draw):
    count = draw(st.integers(1, 9))
    parents = [
        draw(st.lists(st.integers(-2, i - 1), max_size=3, unique=True))
        if draw(st.booleans())
        else []
        for i in range(count)
    ]
    return parents, draw(st.sets(st.integers(0, count - 1)))


@given(graphs(), st.randoms(use_true_random=False))
def test_every_job_runs_once_after_its_parents_or_is_blocked_by_one(graph, shuffle):
    parents, bad = graph
    jobs = jobs_of(parents)
    shuffle.shuffle(jobs)
    order = Order(jobs, lambda key: key == "ok")
    ended, running = {}, []
    while order.unfinished:
        while (job := order.take()) is not None:
            running.append(job)
        assert running, "jobs are left that nobody may start"
        job = running.pop(shuffle.randrange(len(running)))
        index = int(job.name[1:])
        assert all(n == -1 or ended.get(n) for n in parents[index])
        assert index not in ended
        ended[index] = index not in bad
        order.finish(job.name, good=ended[index])

    def hopeless(i):
        return any(
            n == -2 or (n >= 0 and (n in bad or hopeless(n))) for n in parents[i]
        )

    expected = {f"j{i}" for i in range(len(parents)) if hopeless(i)}
    assert set(order.blocked) == expected
    assert {f"j{i}" for i in ended} == {job.name for job in jobs} - expected


def test_a_failure_names_what_it_blocks_further_down():
    jobs = [
        Job("a", "pretrain", ("ka",), (), "first stage"),
        Job("b", "pretrain", ("kb",), ("ka",), "second stage"),
        Job("c", "cell", ("kc",), ("kb",), "cell"),
    ]
    order = Order(jobs, lambda _: False)
    assert order.take() == jobs[0]
    assert order.take() is None
    assert order.finish("a", good=False) == jobs[1:]
    assert order.blocked["c"] == "waits for first stage, which failed"
    assert order.unfinished == 0
