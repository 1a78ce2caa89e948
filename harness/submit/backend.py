"""The one interface of the backends: jobs in, an outcome out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ..schema.errors import Exit

if TYPE_CHECKING:
    from ..plan import Job

RUNNER = "harness.run.cell:run_nodes"  # what computes nodes, as 'module:function'


@dataclass(frozen=True)
class Failure:
    """A job that ended badly: name, label, a one-line reason and where its log is."""

    name: str
    label: str
    reason: str
    log: str


@dataclass(frozen=True)
class Outcome:
    """What became of jobs.

    queued: those that a cluster still has to run; left: those that could not be handed
    over yet, because no more may be queued.
    """

    done: tuple[str, ...] = ()
    failed: tuple[Failure, ...] = ()
    blocked: tuple[Failure, ...] = ()
    queued: tuple[str, ...] = ()
    interrupted: bool = False
    left: tuple[str, ...] = ()

    @property
    def exit(self) -> Exit:
        """The exit code of the command: queued jobs are no failure of `run`."""
        if self.failed or self.blocked:
            return Exit.FAILED
        return Exit.INCOMPLETE if self.interrupted or self.left else Exit.DONE

    def to_json(self) -> dict[str, object]:
        """Return the outcome as JSON values."""
        listed = {
            kind: [vars(failure) for failure in getattr(self, kind)]
            for kind in ("failed", "blocked")
        }
        return {
            "done": list(self.done),
            **listed,
            "queued": list(self.queued),
            "left": list(self.left),
            "interrupted": self.interrupted,
            "exit": int(self.exit),
        }


@dataclass(frozen=True)
class Planned:
    """What would be started together: an array of a cluster, or the jobs of a pool.

    elements: the labels of the jobs of each; after: what it waits for, in SLURM's words;
    script: the text that sbatch would be given, '' where there is none.
    """

    name: str
    elements: tuple[tuple[str, ...], ...]
    after: tuple[str, ...] = ()
    script: str = ""


@dataclass(frozen=True)
class Preview:
    """What `run` would start, what is queued already, and what would not start and why."""

    planned: tuple[Planned, ...]
    queued: int = 0
    left: int = 0
    blocked: tuple[Failure, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Return the preview as JSON values."""
        return {
            "planned": [vars(each) for each in self.planned],
            "queued": self.queued,
            "left": self.left,
            "blocked": [vars(failure) for failure in self.blocked],
        }


class Backend(Protocol):
    """Where jobs run. Only 'inline' computes in the process that plans."""

    name: str

    def check(self) -> None:
        """Raise UserError if the backend cannot work here. Writes nothing."""

    def run(self, jobs: Sequence[Job]) -> Outcome:
        """Run or submit `jobs`, each after the pretrainings that it needs."""

    def preview(self, jobs: Sequence[Job]) -> Preview:
        """Return what `run` would do with `jobs`. Starts and writes nothing."""
