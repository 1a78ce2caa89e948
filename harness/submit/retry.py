"""Which jobs are tried again, with what, and which are left and why.

    run      everything that is missing, except families that fail again and again
    resume   that, without what failed by its own fault and has not changed since, and
             without what the machine has failed too often
    retry    what has failed, whatever the reason

A family is the jobs of one method and task. Once SAME of its tries ended with the same
traceback under the code as it is now, its other jobs would too: it is left, and told
once. A change of the code, or `retry`, starts anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from ..matrix.profiles import RetryRule
from .backend import Failure
from .failures import MACHINE, CodeNow, History, Kind, Try
from .family import OWN, SAME, Family, family_of, in_words
from .resources import Resources

if TYPE_CHECKING:
    from ..plan import Job

Command = Literal["run", "resume", "retry"]
COMMANDS: tuple[Command, ...] = ("run", "resume", "retry")
_EXCLUDED = 16  # nodes that a job keeps off at most, the latest


@dataclass(frozen=True)
class Decision:
    """What to submit and what is left, and why.

    notes: one sentence for each family that is stopped; tries: earlier ones, by job.
    """

    jobs: tuple[Job, ...]
    held: tuple[Failure, ...] = ()
    notes: tuple[str, ...] = ()
    tries: Mapping[str, tuple[Try, ...]] = field(default_factory=dict)

    def of_machine(self) -> Decision:
        """Return the part that the machine failed last, with what hangs together."""
        again = {
            name
            for name, tries in self.tries.items()
            if tries[-1].kind in MACHINE or tries[-1].kind == "preempted"
        }
        return replace(self, jobs=tuple(_related(self.jobs, again)))

    def grown(self, rule: RetryRule) -> _Grown:
        """Return what makes a job's request fit what its tries have shown."""
        return _Grown(self.tries, rule)


@dataclass(frozen=True)
class _Grown:
    tries: Mapping[str, tuple[Try, ...]]
    rule: RetryRule

    def __call__(self, job: Job, asked: Resources) -> Resources:
        """Return the request of a job after its failures."""
        kinds = Counter(one.kind for one in self.tries.get(job.name, ()))
        grown = asked.grown(self.rule, oom=kinds["oom"], timeout=kinds["timeout"])
        if not self.rule.exclude:
            return grown
        lost = [
            one.node
            for one in self.tries.get(job.name, ())
            if one.node and one.kind in {"node_fail", "killed"}
        ]
        nodes = list(dict.fromkeys(reversed(lost)))[:_EXCLUDED]
        return replace(grown, exclude=tuple(sorted(nodes)))


def decide(
    jobs: Sequence[Job],
    history: History,
    now: CodeNow,
    *,
    command: Command,
    rule: RetryRule,
) -> Decision:
    """Return which of `jobs` to submit."""
    found = {job.name: tuple(history.tries(job.nodes)) for job in jobs}
    tries = {name: each for name, each in found.items() if each}
    if command == "retry":
        return Decision(tuple(_related(jobs, tries)), tries=tries)
    recent = {
        job.name: _since(tries[job.name], history.retried(job.nodes[-1]))
        for job in jobs
        if job.name in tries
    }
    stopped = _stopped(jobs, recent, now)
    held: dict[str, Failure] = {}
    for job in jobs:
        reason = stopped.get(family_of(job))
        if reason is None and command == "resume":
            reason = _left(recent.get(job.name, ()), rule, now)
        if reason is not None:
            held[job.name] = Failure(job.name, job.label, reason, "")
    _hold_children(jobs, held)
    kept = tuple(job for job in jobs if job.name not in held)
    return Decision(kept, tuple(held.values()), tuple(stopped.values()), tries)


def _since(tries: Sequence[Try], moment: float) -> tuple[Try, ...]:
    return tuple(one for one in tries if one.began >= moment)


def _related(jobs: Sequence[Job], names: Container[str]) -> list[Job]:
    """Return the jobs of `names`, what they wait for, and what waits for them."""
    maker = {key: job for job in jobs for key in job.nodes}
    chosen = {job.name for job in jobs if job.name in names}
    for job in jobs:
        parents = {maker[key].name for key in job.after if key in maker}
        if parents & chosen:
            chosen.add(job.name)
        if job.name in chosen:
            chosen |= parents
    return [job for job in jobs if job.name in chosen]


def _stopped(
    jobs: Sequence[Job], tries: Mapping[str, Sequence[Try]], now: CodeNow
) -> dict[Family, str]:
    """Return the families that failed SAME times alike under this code, and how."""
    alike: dict[tuple[Family, str], list[Try]] = {}
    for job in jobs:
        for one in tries.get(job.name, ()):
            if one.kind in OWN and one.traceback and now.equals(one.code):
                alike.setdefault((family_of(job), one.traceback), []).append(one)
    stopped = {}
    for (family, _), found in alike.items():
        if len(found) >= SAME:
            stopped[family] = (
                f"{in_words(family)}: {len(found)} tries failed alike "
                f"({found[-1].reason}); mend it, or use harness retry"
            )
    return stopped


def _left(tries: Sequence[Try], rule: RetryRule, now: CodeNow) -> str | None:
    """Return why `resume` leaves a job, or None if it is to be submitted."""
    if not tries:
        return None
    last = tries[-1]
    if last.kind in OWN and now.equals(last.code):
        return f"{last.reason} (its own fault: mend it, or use harness retry)"
    lost: list[Kind] = [one.kind for one in tries if one.kind in MACHINE]
    if last.kind in MACHINE and len(lost) > rule.times:
        kinds = ", ".join(f"{n}x {kind}" for kind, n in Counter(lost).items())
        return (
            f"the machine failed it {len(lost)} times ({kinds}; {last.reason}): "
            "use harness retry, or raise retry: times in its profile"
        )
    return None


def _hold_children(jobs: Sequence[Job], held: dict[str, Failure]) -> None:
    """Hold what waits for a held pretraining, however deep."""
    maker = {key: job for job in jobs for key in job.nodes}
    found = True
    while found:
        found = False
        for job in jobs:
            parents = [maker[key] for key in job.after if key in maker]
            bad = next((each for each in parents if each.name in held), None)
            if bad is not None and job.name not in held:
                reason = (
                    f"waits for {bad.label}, which is left: {held[bad.name].reason}"
                )
                held[job.name] = Failure(job.name, job.label, reason, "")
                found = True
