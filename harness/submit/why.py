"""Why a cell or pretraining stands as it does, and what to do next."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..schema.identity import short
from ..store.spent import wall_s
from . import jobinfo
from .failures import History
from .progress import duration
from .reasons import one_line
from .states import Observer, Standing

if TYPE_CHECKING:
    from ..plan.find import Target
    from .records import Place

_SENTENCE = 2_000  # characters of an attempt's message; chosen here
_TRACEBACK_LINES = 12  # of the last error that are shown; the log has all
# What the user can mend is told in its sentence; where it was raised stays in the log.
_OF_USER = frozenset({"data", "disk_full"})
_AGAIN = "`harness resume` computes it again"
# What to do about each class of error, in the words of a person who would ask a colleague.
ADVICE = {
    "oom": "give its profile more memory (mem, or a GPU with more) or a smaller batch, "
    f"then {_AGAIN}",
    "timeout": f"give its profile more time, then {_AGAIN}; a training goes on from its "
    "last checkpoint",
    "node_fail": f"the node failed, not the work: {_AGAIN}",
    "killed": f"something ended it without a word, so nobody knows whose fault it was: "
    f"{_AGAIN}; if it happens again, give it more memory",
    "cancelled": f"somebody cancelled it: {_AGAIN}",
    "preempted": f"it gave way to other jobs, which is no fault: {_AGAIN}",
    "interrupted": f"somebody or something stopped it, which is no fault: {_AGAIN}",
    "disk_full": "free space where the results are (`harness clean` lists what can go), "
    f"then {_AGAIN}",
    "data": "mend the data that the message names (`harness data check` reads every "
    f"case), then {_AGAIN}",
    "code": "the message and the traceback say where the method or the engine failed: "
    "mend it, raise its version if its meaning changes, then `harness retry`",
    "blocked": "see why what it waits for is not published",
}
_OF_STATE = {
    "done": "nothing: it is published",
    "running": "nothing: it runs; `harness logs {key} -f` follows it",
    "pending": "nothing: it waits to start",
    "missing": "`harness run` or `harness resume` starts it",
    "blocked": "see why {needs}, which it starts from, is not published: "
    "`harness why {needs}`",
}


@dataclass(frozen=True)
class Explanation:
    """Everything that is known of one target.

    attempts: their records with wall_s and log added; slurm: the queue entry, the array
    element and what SLURM says of the job; spec: the files that say what is computed.
    """

    target: Target
    standing: Standing
    nodes: list[dict[str, Any]]
    attempts: list[dict[str, Any]]
    slurm: dict[str, str]
    submission: dict[str, Any] | None
    advice: str

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "key": self.target.key,
            "label": self.target.label,
            "state": self.standing.state,
            "reason": self.standing.reason,
            "log": self.standing.log,
            "nodes": self.nodes,
            "attempts": self.attempts,
            "submission": self.submission,
            "slurm": self.slurm,
            "advice": self.advice,
        }

    def to_text(self) -> str:
        """Return it for people, the most important first."""
        reason = f": {self.standing.reason}" if self.standing.reason else ""
        lines = [f"{short(self.target.key)} {self.target.label}",
                 f"{self.standing.state}{reason}", f"next: {self.advice}", ""]  # fmt: skip
        for node in self.nodes:
            said = (
                f"published {node['published']}" if node["published"] else node["why"]
            )
            lines.append(f"{node['kind']} {node['key']}: {said} (spec: {node['spec']})")
        if self.submission:
            lines.append(" ".join(f"{k} {v}" for k, v in self.submission.items() if v))
        if self.slurm:
            said = ", ".join(f"{name} {value}" for name, value in self.slurm.items())
            lines.append(f"SLURM: {said}")
        for number, record in enumerate(self.attempts, start=1):
            lines += ["", *_of_attempt(number, record)]
        return "\n".join(lines)


def _of_attempt(number: int, record: dict[str, Any]) -> list[str]:
    ran = duration(record["wall_s"]) if record["wall_s"] is not None else "unknown time"
    lines = [
        f"attempt {number} at {record['kind']}: {record['state']}, started "
        f"{record['started'] or 'unknown'} on {record['host'] or '?'}, {ran}"
    ]
    if record["state"] not in {"done", "running", "duplicate"}:
        lines.append(f"  {one_line(record, _SENTENCE)}")
    if record["log"]:
        lines.append(f"  log: {record['log']}")
    if record["error_class"] in _OF_USER:
        return lines
    trace = (record["traceback"] or "").rstrip().splitlines()
    lines += [f"  | {line}" for line in trace[-_TRACEBACK_LINES:]]
    return lines


def explain(target: Target, observer: Observer) -> Explanation:
    """Look a target up in manifests, attempts, submissions and SLURM."""
    standing = observer.job(target.nodes, target.needs)
    place = observer.place(short(target.nodes[-1]))
    attempts = [
        _record(observer, record)
        for key in target.nodes
        for record in observer.attempts(key)
    ]
    return Explanation(
        target,
        standing,
        [_node(observer, key) for key in target.nodes],
        attempts,
        _slurm(observer, target, place),
        _submission(place),
        _advice(target, standing, observer),
    )


def _node(observer: Observer, key: str) -> dict[str, Any]:
    store = observer.store
    spec = store.node_dir(key) / "spec.json"
    done = key in observer.done
    manifest = observer.done[key] if done else None
    kind = manifest.kind if manifest else _kind(observer, key)
    return {
        "kind": kind,
        "key": short(key),
        "published": manifest.published if manifest else None,
        "why": None if done else observer.done.why_not(key),
        "spec": str(spec) if spec.exists() else "not planned yet",
    }


def _kind(observer: Observer, key: str) -> str:
    records = observer.attempts(key)
    if records:
        return str(records[-1].get("kind", "node"))
    spec = observer.store.node_dir(key) / "spec.json"
    return str(observer.store.spec(key)["kind"]) if spec.exists() else "node"


def _record(observer: Observer, record: dict[str, Any]) -> dict[str, Any]:
    folder = observer.store.attempt_dir(record)
    log = folder / "log.txt"
    kept = ("attempt", "kind", "state", "started", "finished", "host", "pid",
            "error_class", "message", "traceback", "traceback_hash")  # fmt: skip
    return {
        **{name: record.get(name) for name in kept},
        "wall_s": wall_s(record, folder),
        "log": str(log) if log.exists() else "",
    }


def _submission(place: Place | None) -> dict[str, Any] | None:
    if place is None:
        return None
    job = place.array.element(place.element) if place.sent else None
    return {
        "submission": place.record.id,
        "on": place.record.backend,
        "by": place.record.user,
        "job": job,
    }


def _slurm(observer: Observer, target: Target, place: Place | None) -> dict[str, str]:
    found: dict[str, str] = {}
    if place is None or place.record.backend != "slurm" or not place.sent:
        return found
    entry = observer.entry(short(target.nodes[-1]))
    if entry is not None:
        found = {"State": entry.state, "Reason": entry.reason}
    job = place.array.element(place.element)
    return found | jobinfo.of_job(job, place.record.created)


def _advice(target: Target, standing: Standing, observer: Observer) -> str:
    """Return what to do next: by what ended the last try, else by the state."""
    if standing.state in {"failed", "lost"}:
        history = History(observer.store, observer.records, observer.queue)
        tries = history.tries(target.nodes)
        own = [one.kind for one in tries if one.kind != "blocked"]
        return ADVICE[own[-1]] if own else ADVICE["killed"]
    needs = short(target.needs) if target.needs else "what"
    return _OF_STATE[standing.state].format(key=short(target.key), needs=needs)


def logs_of(target: Target, observer: Observer, *, every: bool = False) -> list[Path]:
    """Return the logs of a target that hold anything: its job's and its attempts'.

    The last attempt's at each node, or with `every` all attempts', oldest first.
    """
    found: list[Path] = []
    place = observer.place(short(target.nodes[-1]))
    if place is not None:
        found.append(observer.log_of(place))
    for key in target.nodes:
        records = observer.attempts(key)
        for record in records if every else records[-1:]:
            found.append(observer.store.attempt_dir(record) / "log.txt")
    return [path for path in found if path.exists() and path.stat().st_size]
