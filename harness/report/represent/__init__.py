"""How analyses of networks are shown: a module, or a package, per kind of result.

Each holds a VIEW and is found by lying here. It gets rows and arrays through
`evidence.features` (harness.report.analysed), never through torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..evidence import Evidence
    from ..figures.drawing import Sketch
    from ..findings import Findings
    from ..sheet import Sheet


def always(_evidence: Evidence) -> bool:
    """Tell that nothing else has to hold."""
    return True


def no_sketches(_findings: Findings) -> list[Sketch]:
    """Return no figures."""
    return []


@dataclass(frozen=True)
class View:
    """What a report shows of one kind of result.

    name: anchor of its section on the page, and the `family` of its drawings; title: of
    the section; lead: a sentence under the title; kinds: the analyses whose rows it
    shows, of which one has to be planned; none: it is shown wherever it has something
    to say. tables: by name, as `report --table NAME` takes it and as the sheet is called;
    each raises UserError where it would be empty. figures: what could be drawn; images:
    the same of what shows cases, which are drawn only with --images unless synthetic;
    when: what else has to hold for a report to show it unasked.
    """

    name: str
    title: str
    lead: str = ""
    kinds: tuple[str, ...] = ()
    tables: Mapping[str, Callable[[Evidence], Sheet]] = field(default_factory=dict)
    figures: Callable[[Findings], list[Sketch]] = no_sketches
    images: Callable[[Findings], list[Sketch]] = no_sketches
    when: Callable[[Evidence], bool] = always

    def possible(self, evidence: Evidence) -> bool:
        """Tell whether the analyses that it shows are planned or published."""
        planned = not self.kinds or bool(evidence.features.kinds & {*self.kinds})
        return planned and self.when(evidence)


@cache
def views() -> Sequence[View]:
    """Return the views of the modules that lie here, by name of the module."""
    names = sorted(found.name for found in iter_modules(__path__))
    return tuple(import_module(f"{__name__}.{name}").VIEW for name in names)


def view_tables() -> dict[str, View]:
    """Return the view of each table that views have."""
    return {table: view for view in views() for table in view.tables}
