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
    """What became of jobs. `queued` holds those that a cluster still has to run."""

    done: tuple[str, ...] = ()
    failed: tuple[Failure, ...] = ()
    blocked: tuple[Failure, ...] = ()
    queued: tuple[str, ...] = ()
    interrupted: bool = False

    @property
    def exit(self) -> Exit:
        """The exit code of the command: queued jobs are no failure of `run`."""
        if self.failed or self.blocked:
            return Exit.FAILED
        return Exit.INCOMPLETE if self.interrupted else Exit.DONE

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
            "interrupted": self.interrupted,
            "exit": int(self.exit),
        }


class Backend(Protocol):
    """Where jobs run. Only 'inline' computes in the process that plans."""

    name: str

    def check(self) -> None:
        """Raise UserError if the backend cannot work here. Writes nothing."""

    def run(self, jobs: Sequence[Job]) -> Outcome:
        """Run or submit `jobs`, each after the pretrainings that it needs."""
