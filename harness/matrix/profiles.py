"""Resource profiles: what jobs ask SLURM for, by phase, method and task.

A profile says what its jobs need in general and, under `phases`, `tasks` and `methods`,
what some of them need instead. The most particular word counts: a method's over a
task's, a task's over a phase's, a phase's over the profile's. Nothing here enters a
node's key. Every value goes into an sbatch script, so each is checked letter by letter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from ..registry.content import SAFE_NAME
from ..registry.merging import merge
from ..registry.yamlwords import brief
from ..schema.task import Closed

Phase = Literal["pretrain", "cell"]
_WORD = re.compile(r"[A-Za-z0-9_.,:=/@+%*&|()\[\]~^!-]+")
_MEMORY = re.compile(r"(\d+)\s*([KMGT]?)i?B?", re.IGNORECASE)
_GPUS = re.compile(r"[A-Za-z0-9_.-]+:\d+")
_OPTION = re.compile(r"[a-z][a-z0-9-]*")
_TIME = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_TO_MB = {"K": 1 / 1024, "": 1, "M": 1, "G": 1024, "T": 1024**2}
# What the harness decides itself: another value would lose jobs or their results.
_OURS = {
    "array": "parallel", "job-name": "", "comment": "", "output": "", "error": "",
    "input": "", "open-mode": "", "dependency": "", "kill-on-invalid-dep": "",
    "signal": "signal_s", "requeue": "", "no-requeue": "", "wrap": "", "wait": "",
    "parsable": "", "test-only": "", "chdir": "", "export": "", "export-file": "",
    "hold": "", "uid": "", "gid": "", "clusters": "", "bb": "", "bbf": "",
    "partition": "partition", "account": "account", "qos": "qos", "mem": "mem",
    "time": "time", "constraint": "constraint", "nodes": "nodes",
    "cpus-per-task": "cpus", "ntasks-per-node": "tasks_per_node", "gpus-per-node": "gpus",
}  # fmt: skip


def minutes(value: str | int) -> int:
    """Read a time as sbatch does: M, M:S, H:M:S, D-H, D-H:M or D-H:M:S. Rounded up.

    Raises ValueError with a sentence.

    >>> minutes(90), minutes("1:30:00"), minutes("2-12"), minutes("0:30")
    (90, 90, 3600, 1)
    """
    found = None if isinstance(value, bool) else _TIME.fullmatch(str(value).strip())
    if found is None:
        message = f"{brief(value)} is not a time: expected minutes, H:M:S or D-H:M:S"
        raise ValueError(message)
    days, *rest = found.groups()
    parts = [int(part) for part in rest if part is not None]
    if days is not None:
        hours, mins, secs = [*parts, 0, 0][:3]
    elif len(parts) == 3:
        hours, mins, secs = parts
    else:
        hours, mins, secs = 0, parts[0], [*parts, 0][1]
    total = (int(days or 0) * 24 + hours) * 3600 + mins * 60 + secs
    if total <= 0:
        message = f"{brief(value)} is not a time: it must be above 0"
        raise ValueError(message)
    return -(-total // 60)


def megabytes(value: str | int) -> int:
    """Read memory as sbatch does: a whole number with K, M, G or T; without, MB.

    Raises ValueError with a sentence.

    >>> megabytes("16G"), megabytes(800), megabytes("0")
    (16384, 800, 0)
    """
    found = None if isinstance(value, bool) else _MEMORY.fullmatch(str(value).strip())
    if found is None:
        message = f"{brief(value)} is not a memory size: expected one such as 16G"
        raise ValueError(message)
    return -int(-int(found[1]) * _TO_MB[found[2].upper()] // 1)


def _word(value: Any) -> str:
    """Check a value that goes into an sbatch script: no blanks, quotes or `$`."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        message = f"expected a word, not {brief(value)}"
        raise ValueError(message)
    if not _WORD.fullmatch(str(value)):
        message = (
            f"{brief(value)} cannot stand in an sbatch script: expected letters, digits "
            "and . _ - , : = / @ + % * & | ( ) [ ] ~ ^ !"
        )
        raise ValueError(message)
    return str(value)


def _gpus(value: Any) -> Any:
    number = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if not number and not (isinstance(value, str) and _GPUS.fullmatch(value)):
        message = f"expected a number of GPUs or 'type:number', not {brief(value)}"
        raise ValueError(message)
    return value


def _options(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    checked = {}
    for name, given in value.items():
        option = str(name).removeprefix("--").replace("_", "-")
        if not _OPTION.fullmatch(option):
            message = f"{brief(name)} is not the name of an sbatch option"
            raise ValueError(message)
        if option in _OURS:
            ours = _OURS[option]
            hint = f"write '{ours}:' beside 'options:'" if ours else "remove it"
            message = f"'{option}' is set by the harness: {hint}"
            raise ValueError(message)
        # true: an option without a value; null or false: drops an inherited one
        plain = given is None or isinstance(given, bool)
        checked[option] = given if plain else _word(given)
    return checked


def _shell(value: Any) -> Any:
    lines = [value] if isinstance(value, str) else value
    for line in lines if isinstance(lines, (list, tuple)) else ():
        if isinstance(line, str) and _CONTROL.search(line):
            message = f"{brief(line)} is more than one line: make it several"
            raise ValueError(message)
        if isinstance(line, str) and line.lstrip().startswith("#SBATCH"):
            message = f"{brief(line)}: sbatch options go under 'options:'"
            raise ValueError(message)
    return lines


def _command(value: Any) -> Any:
    if isinstance(value, str) and (_CONTROL.search(value) or not value.strip()):
        message = f"expected one command such as /opt/env/bin/python, not {value!r}"
        raise ValueError(message)
    return value


def _folder(value: Any) -> Any:
    if isinstance(value, str) and not re.fullmatch(r"[A-Za-z0-9_./${}-]+", value):
        message = f"expected a folder such as $TMPDIR or /scratch/$USER, not {value!r}"
        raise ValueError(message)
    return value


def _names(value: dict[str, Any]) -> dict[str, Any]:
    for name in value:
        if not SAFE_NAME.match(name):
            message = f"{brief(name)} is not a name"
            raise ValueError(message)
    return value


def bodies(value: Any) -> Any:
    """Read nothing after a name as no settings."""
    if isinstance(value, Mapping):
        return {name: {} if each is None else each for name, each in value.items()}
    return value


Word = Annotated[str, BeforeValidator(_word)]
Minutes = Annotated[int, BeforeValidator(minutes)]
Memory = Annotated[int, BeforeValidator(megabytes)]
Gpus = Annotated[int | str, BeforeValidator(_gpus)]
Options = Annotated[dict[str, bool | str | None], BeforeValidator(_options)]
ShellLines = Annotated[tuple[str, ...], BeforeValidator(_shell)]
Count = Annotated[int, Field(ge=1, le=4096)]


class Asked(Closed):
    """What jobs ask for. None leaves it to a wider word, or to the site.

    time: minutes; mem: MB per node; gpus: per node, a number or 'type:number';
    tasks_per_node: processes, by default one per GPU; cpus: per task; parallel: elements
    of one array that may run at once; cells_per_job: cells that one job runs after one
    another; signal_s: how long before its end a job is warned, seconds.
    """

    partition: Word | None = None
    account: Word | None = None
    qos: Word | None = None
    constraint: Word | None = None
    nodes: Count | None = None
    tasks_per_node: Count | None = None
    cpus: Count | None = None
    gpus: Gpus | None = None
    mem: Memory | None = None
    time: Minutes | None = None
    parallel: Annotated[int, Field(ge=1)] | None = None
    cells_per_job: Annotated[int, Field(ge=1, le=1000)] | None = None
    signal_s: Annotated[int, Field(ge=1, le=3600)] | None = None
    options: Options = Field(default_factory=dict)


class Phases(Closed):
    """What pretrainings and cells ask for instead."""

    pretrain: Asked | None = None
    cell: Asked | None = None


class Particular(Asked):
    """What the jobs of one method, or of one task, ask for instead."""

    phases: Phases | None = None


class RetryRule(Closed):
    """How failures of the machine are answered when a job is submitted again.

    times: how often the machine may fail a job before it is left; mem, time: the factor
    by which each try asks for more, after a lack of memory or of time; max_mem (MB),
    max_time (minutes): where that ends; exclude: keep off nodes where the job was lost;
    timeouts: how often a job is requeued that came to its time limit without having
    saved or published anything; one that has got further is requeued always.
    """

    times: int = Field(3, ge=0, le=100)
    mem: float = Field(1.5, ge=1, le=10)
    time: float = Field(1.5, ge=1, le=10)
    max_mem: Memory | None = None
    max_time: Minutes | None = None
    exclude: bool = True
    timeouts: int = Field(10, ge=0, le=1000)


Particulars = Annotated[
    dict[str, Particular], BeforeValidator(bodies), AfterValidator(_names)
]


class Profile(Asked):
    """One entry under `clusters:`.

    max_jobs: how many jobs of one person may be queued at once; internet: whether nodes
    reach it; scratch: a folder on the node for copies of cached data; setup: shell lines
    before Python starts; python: the interpreter, as the shell calls it.
    """

    extends: str | None = None
    phases: Phases | None = None
    tasks: Particulars = Field(default_factory=dict)
    methods: Particulars = Field(default_factory=dict)
    retry: RetryRule | None = None
    max_jobs: Annotated[int, Field(ge=1)] | None = None
    internet: bool = True
    scratch: Annotated[str, BeforeValidator(_folder)] | None = None
    setup: ShellLines = ()
    python: Annotated[str, BeforeValidator(_command)] | None = None

    def asked(self, phase: Phase, method: str = "", task: str = "") -> Asked:
        """Return what the jobs of a phase, method and task ask for, merged."""
        words: list[Asked | None] = [self, _of(self.phases, phase)]
        for particular in (self.tasks.get(task), self.methods.get(method)):
            if particular is not None:
                words += [particular, _of(particular.phases, phase)]
        merged: dict[str, Any] = {}
        for word in words:
            if word is not None:
                given = word.model_dump(include=set(Asked.model_fields))
                said = {k: v for k, v in given.items() if v is not None}
                merged = merge(merged, said)
        return Asked.model_validate(merged)


def _of(phases: Phases | None, phase: Phase) -> Asked | None:
    return getattr(phases, phase) if phases is not None else None
