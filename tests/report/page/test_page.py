"""The page as text: well-formed, self-contained, and everything links to something."""

import re
from html.parser import HTMLParser

import pandas as pd
import pytest

from harness.cli import main
from harness.matrix import load
from harness.plan import make_plan
from harness.report.page import Account, write_page
from harness.report.page.html import Html, el, join
from harness.store import Store
from tests.report.filling import MATRIX, described_here, findings_of_store

VOID = {"br", "input", "meta", "link", "col", "hr", "img", "wbr"}


class Page(HTMLParser):
    """What a page holds: ids, links, headings, tables; and whether tags close."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.hrefs, self.outside = [], [], [], []
        self.headings, self.captions, self.labels = [], 0, []
        self.tables = 0
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if "id" in values:
            self.ids.append(values["id"])
        for name in ("href", "xlink:href", "src"):
            if values.get(name) is not None:
                self.hrefs.append(values[name])
        self.labels += [
            v for n, v in attrs if n == "aria-labelledby" for v in v.split()
        ]
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        self.tables += tag == "table"
        self.captions += tag == "caption"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(shared_page):
    return shared_page, shared_page.read_text()


def test_the_page_is_whole_and_needs_nothing_else(page):
    path, text = page
    parsed = Page(text)
    assert len(parsed.ids) == len(set(parsed.ids))
    inside = [href[1:] for href in parsed.hrefs if href.startswith("#")]
    assert set(inside) <= set(parsed.ids)
    assert set(parsed.labels) <= set(parsed.ids)
    for href in parsed.hrefs:
        inside = href.startswith(("#", "data:"))
        assert inside or (path.parent / href).exists(), href[:80]
    assert not re.search(r"""(src|href|url\()=?["']?(https?:)?//""", text)
    assert path.stat().st_size < 10_000_000


def test_headings_do_not_skip_a_level_and_tables_have_captions(page):
    parsed = Page(page[1])
    assert parsed.headings[0] == 1
    assert parsed.headings.count(1) == 1
    assert all(
        b - a <= 1 for a, b in zip(parsed.headings, parsed.headings[1:], strict=False)
    )
    assert parsed.captions == parsed.tables
    assert '<html lang="en">' in page[1]
    for landmark in ("<main", "<nav", "<header", "<footer", 'class="skip"'):
        assert landmark in page[1]


def test_every_number_links_to_its_cells(page):
    text = page[1]
    numbers = re.findall(r'<td class="num[^"]*" data-v="[^"]+"[^>]*>(.*?)</td>', text)
    assert numbers
    linked = [
        number for number in numbers if 'class="mean"' in number or "<a" in number
    ]
    assert len(linked) > 20
    for number in linked:
        assert re.match(r'<a class="n( mean)?" href="#(g\d+|cells)"', number)
    # and the cells are there, by their keys
    done = Store(page[0].parents[2] / "results").done()
    for key in done:
        if done[key].kind == "evaluate":
            assert f"<code>{key[:16]}</code>" in text


def test_ranking_and_differences_stand_with_their_doubt(page):
    text = page[1]
    assert re.search(r"By Dice \w+ ranks best on average over 2 settings", text)
    assert "Against plain" in text
    assert "after Holm" in text


def test_titles_and_names_are_escaped(page):
    assert "<title>Toys &amp; &lt;q&gt;organs&lt;/q&gt;</title>" in page[1]
    assert "<q>organs</q>" not in page[1]


def test_during_a_run_the_page_says_what_is_missing_and_what_failed(make_page, bench):
    plan = make_plan(bench.load(MATRIX), None)
    store = Store(bench.root / "results")
    lost = [cell for cell in plan.cells if cell.method == "harder" and cell.seed == 1]
    failed = lost[0].adapt_key
    store.write_spec(plan.spec(failed))
    with store.begin(failed, made_by={}) as attempt:
        attempt.fail("data", "case <c7> is not a volume")
    missing = {cell.adapt_key for cell in lost}
    page = make_page(
        "--filter", "task=organs", skip=lambda cell: cell.adapt_key in missing
    )
    text = page.read_text()
    assert "10 of 12 cells published; 1 failed, 1 not started." in text
    assert "1 of 2 cells missing" in text
    assert "What failed" in text
    assert "case &lt;c7&gt; is not a volume" in text
    Page(text)


def test_a_results_folder_alone_has_a_page(shared, capsys, monkeypatch):
    monkeypatch.setattr("harness.report.figures.draw", lambda *_, **__: iter(()))
    root = shared.bench.root
    words = [
        "--published",
        "--results",
        str(root / "results"),
        "--out",
        str(root / "alone"),
    ]
    assert main(["report", *words, "--filter", "task=organs"]) == 0
    text = (root / "alone" / "index.html").read_text()
    assert "cells that were planned and are missing are not known" in text
    Page(text)


def test_equal_results_make_equal_pages(shared):
    with described_here(shared.folder):
        again = findings_of_store(
            load(shared.bench.path), Store(shared.bench.root / "results")
        )
    first, second = (write_page(Account(one)) for one in (shared.findings, again))
    assert first == second


def test_what_is_not_markup_is_escaped():
    assert el("td", "a < b & c", title='"x"') == (
        '<td title="&quot;x&quot;">a &lt; b &amp; c</td>'
    )
    assert el("br") == "<br>"
    assert el("th", Html("<b>1</b>"), None, 2, class_="num", hidden=True, id=None) == (
        '<th class="num" hidden><b>1</b>2</th>'
    )
    assert join("<", el("i")) == "&lt;<i></i>"


def test_every_cell_is_listed_beside_the_page(shared):
    listed = pd.read_csv(shared.page.parent / "cells.csv")
    cells = shared.findings.scope.cells
    assert list(listed.evaluate_key) == list(cells.evaluate_key)
    assert set(listed.state) == {"done"}


def test_above_a_limit_the_page_lists_groups(shared, monkeypatch):
    from harness.report.page import register

    monkeypatch.setattr(register, "_ROWS", 5)
    text = write_page(Account(shared.findings))
    assert "Above 5 the page lists them by group; cells.csv holds each." in text
    assert "2 of 2 published" in text
    for key in shared.findings.done.evaluate_key:
        assert key[:16] in text
    Page(text)
