"""Every fault, by name: a function that takes a trial and returns if it was survived."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Fault:
    """A fault of the suite. name: as the report prints it; ci: whether CI runs it.

    settings: of its trials (site, runner, steps); once: one trial is enough.
    """

    name: str
    run: Callable[..., None]
    ci: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    once: bool = False

    @property
    def says(self) -> str:
        """What it does, in a sentence."""
        return (self.run.__doc__ or "").strip().splitlines()[0]


FAULTS: dict[str, Fault] = {}
ACCOUNTED = (  # brought about with slurmdbd and MariaDB as well
    "worker SIGKILLed", "scancel by hand", "a dependant whose parent failed",
    "job past its time limit", "job preempted and requeued",
)  # fmt: skip


def fault(name: str, *, ci: bool = False, **settings: Any) -> Callable[..., Any]:
    """Enter the decorated function in the catalogue."""

    def enter(run: Callable[..., None]) -> Callable[..., None]:
        FAULTS[name] = Fault(name, run, ci, settings)
        return run

    return enter


def every() -> dict[str, Fault]:
    """Return the whole catalogue, in the order of the report."""
    for family in ("jobs", "slurm", "disk", "harness"):
        importlib.import_module(f"faults_of_{family}")
    for name in ACCOUNTED:
        fault = FAULTS[name]
        site = {**fault.settings.get("site", {}), "accounting": True}
        settings = {**fault.settings, "site": site}
        more = f"{name}, accounting on"
        FAULTS[more] = replace(fault, name=more, settings=settings, ci=False, once=True)
    return FAULTS
