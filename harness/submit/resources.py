"""What one job asks SLURM for, after the profile, the phase and the retries have spoken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..matrix.profiles import Asked, Profile, RetryRule

if TYPE_CHECKING:
    from ..plan import Job

_TIME_MIN = {"pretrain": 1440, "cell": 240}  # a day, four hours: chosen here
_SIGNAL_S = 90  # submitit's own: long enough to write a checkpoint


@dataclass(frozen=True)
class Resources:
    """One job's request. None leaves a choice to the site.

    time_min: minutes, of all cells of the job together; mem: MB per node; gpus: per
    node; tasks: processes per node; cpus: per process; parallel: elements of one array
    that may run at once; bundle: cells that the job runs; signal_s: seconds before its
    end at which it is warned; options: of sbatch; exclude: nodes to keep off.
    """

    time_min: int
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    mem: int | None = None
    nodes: int = 1
    tasks: int = 1
    cpus: int = 1
    gpus: int | str = 0
    parallel: int = 256
    bundle: int = 1
    signal_s: int = _SIGNAL_S
    options: tuple[tuple[str, str | bool], ...] = ()
    exclude: tuple[str, ...] = ()

    @classmethod
    def of(cls, phase: str, asked: Asked) -> Resources:
        """Return the request of a phase's jobs, with the defaults filled in."""
        bundle = asked.cells_per_job or 1 if phase == "cell" else 1
        time_min = (asked.time or _TIME_MIN[phase]) * bundle
        gpus = asked.gpus or 0
        tasks = asked.tasks_per_node or max(1, gpus_of(gpus))
        options = {k: v for k, v in asked.options.items() if v not in (None, False)}
        given = asked.model_dump(
            include={"partition", "account", "qos", "constraint", "mem", "parallel"}
        )
        return cls(
            time_min=time_min,
            nodes=asked.nodes or 1,
            tasks=tasks,
            cpus=asked.cpus or 1,
            gpus=gpus,
            bundle=bundle,
            # Later than a quarter before the end would leave short jobs no time to work.
            signal_s=min(asked.signal_s or _SIGNAL_S, time_min * 60 // 4),
            options=tuple(sorted((k, v) for k, v in options.items() if v is not None)),
            **{name: value for name, value in given.items() if value is not None},
        )

    def grown(self, rule: RetryRule, *, oom: int = 0, timeout: int = 0) -> Resources:
        """Return what to ask for after so many failures for lack of memory and time."""
        mem, time_min = self.mem, self.time_min
        if oom and mem is not None:
            mem = _grown(mem, rule.mem**oom, rule.max_mem)
        if timeout:
            time_min = _grown(time_min, rule.time**timeout, rule.max_time)
        return replace(self, mem=mem, time_min=time_min)


def _grown(amount: int, factor: float, most: int | None) -> int:
    grown = -int(-amount * factor // 1)
    # A ceiling below what is asked for anyway does not shrink it.
    return grown if most is None else max(amount, min(grown, most))


def gpus_of(gpus: int | str) -> int:
    """Return the number of GPUs in a request such as 2 or 'a100:2'."""
    return int(str(gpus).rpartition(":")[2])


def by_job(profile: Profile, chosen: dict[str, Any]) -> Callable[[Job], Resources]:
    """Return what gives each job its request.

    chosen: fields of Asked that the command line sets; they overrule every profile.
    """
    said = {name: value for name, value in chosen.items() if value is not None}
    known: dict[tuple[str, str, str], Resources] = {}

    def resources(job: Job) -> Resources:
        key = (job.profile, job.method, job.task)
        if key not in known:
            asked = profile.asked(*key).model_dump()
            known[key] = Resources.of(
                job.profile, Asked.model_validate({**asked, **said})
            )
        return known[key]

    return resources
