"""What analyses of networks measured: a section per view (harness.report.represent)."""

from __future__ import annotations

from ..represent import views
from .account import Account
from .html import join
from .parts import Links, Section, figures
from .sheets import sheet_of


def sections(account: Account, links: Links) -> list[Section]:
    """Return a section for each view that has a figure or a table to show."""
    found = []
    sheets = account.findings.sheets
    for view in views():
        drawings = account.of_family(view.name)
        own = [sheets[name] for name in view.tables if name in sheets]
        if drawings or own:
            tables = [sheet_of(account, sheet, links) for sheet in own]
            body = join(figures(drawings), *tables)
            found.append(Section(view.name, view.title, body, view.lead))
    return found
