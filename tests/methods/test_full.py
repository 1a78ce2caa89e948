"""The contract over every encoder and dimensionality that a method says it runs on.

`make test-all` runs it and writes docs/results/contract.md; `make test` checks each
method on its default encoder.
"""

import platform
import time
from datetime import UTC, datetime

import pytest
import torch
from pydantic import ValidationError

from harness.run.contract import Subject, clauses_of, judge
from harness.schema.roles import TRAINED

from .conftest import NAMES, kind

PRODUCT = [
    pytest.param(name, encoder, dims, id=f"{name}-{encoder}-{dims}d")
    for name in NAMES
    if kind(name).role in TRAINED
    for encoder in kind(name).encoders
    for dims in kind(name).dims
]


def subject(name, encoder, dims):
    """The method on that encoder; with semantic attention where masks need guidance."""
    for extra in ({}, {"semantic_attention": {}}):
        found = Subject(
            kind(name), {"encoder": {"kind": encoder, "dims": dims, **extra}}
        )
        try:
            found.settings()
        except ValidationError as error:
            problem = error
        else:
            return found
    raise problem


PAGE = """# The contract on every encoder and dimensionality

Written by `make test-all` on {date} (Python {python}, torch {torch}): {kept} of {all} kept,
{minutes:.0f} minutes of tests in one process, at tier tiny.{left}

| method | encoder | dimensions | verdict | s |
|---|---|---|---|---|
{rows}
"""


class Page:
    """Verdicts as they come; a run that is cut off leaves what it has seen."""

    def __init__(self, path):
        self.path, self.rows = path, []

    def add(self, method, encoder, dims, broken, seconds):
        self.rows.append((method, encoder, dims, broken, seconds))
        if self.path is None:
            return
        left = len(PRODUCT) - len(self.rows)
        self.path.write_text(
            PAGE.format(
                date=datetime.now(UTC).date(), python=platform.python_version(),
                torch=torch.__version__, all=len(PRODUCT),
                kept=sum(not broken for *_, broken, _ in self.rows),
                minutes=sum(row[-1] for row in self.rows) / 60,
                left=f" **{left} were not reached.**" if left else "",
                rows="\n".join(
                    f"| {method} | {encoder} | {dims} | {'; '.join(broken) or 'kept'} "
                    f"| {seconds:.0f} |"
                    for method, encoder, dims, broken, seconds in self.rows
                ),
            )
        )  # fmt: skip


@pytest.fixture(scope="module")
def page(request):
    return Page(request.config.getoption("--write-contract"))


@pytest.mark.full
@pytest.mark.parametrize(("name", "encoder", "dims"), PRODUCT)
def test_the_contract_on_every_encoder(name, encoder, dims, page):
    start = time.monotonic()
    mine = subject(name, encoder, dims)
    verdicts = [judge(clause, mine) for clause in clauses_of(mine.kind.role)]
    broken = [f"{v.code} {v.title}: {v.said}" for v in verdicts if v.state != "kept"]
    page.add(name, encoder, dims, broken, time.monotonic() - start)
    assert not broken, "\n".join(broken)


def test_a_page_tells_what_was_kept_broken_and_not_reached(tmp_path):
    page = Page(tmp_path / "contract.md")
    page.add("mine", "vit", 3, [], 61.0)
    page.add("mine", "swin", 2, ["M08 the loss falls: it rose"], 1.0)
    text = page.path.read_text()
    assert f": 1 of {len(PRODUCT)} kept,\n1 minutes" in text
    assert f"**{len(PRODUCT) - 2} were not reached.**" in text
    assert "| mine | vit | 3 | kept | 61 |" in text
    assert "| mine | swin | 2 | M08 the loss falls: it rose | 1 |" in text
