"""The page as a person meets it, in headless Chromium (`make test-page`)."""

import shutil

import pytest

from tests.report.page.browser import open_browser

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not (shutil.which("chromium") and shutil.which("chromedriver")),
        reason="needs Debian's chromium and chromium-driver",
    ),
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    driver = open_browser(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


@pytest.fixture
def page(browser, shared_page):
    """The page, opened anew from its file."""
    browser.get("about:blank")
    browser.get_log("browser")
    browser.get(shared_page.as_uri())
    return browser


def js(page, script, *arguments):
    return page.execute_script(script, *arguments)


def later(page, expression, ms=50):
    """Return the value of an expression after a while."""
    return js(page, f"return new Promise(r => setTimeout(() => r({expression}), {ms}))")


def column(page, table, place):
    """Return the texts of a column of the rows that are shown."""
    return js(
        page,
        "return [...arguments[0].tBodies[0].rows].filter(r => !r.hidden)"
        ".map(r => r.children[arguments[1]].textContent.trim())",
        table,
        place,
    )


def first_table(page):
    return js(page, "return document.querySelector('#table-dice table')")


def press(page, *keys):
    from selenium.webdriver.common.action_chains import ActionChains

    for key in keys:
        ActionChains(page).send_keys(key).perform()


def test_nothing_is_said_in_the_console_and_nothing_is_fetched(page):
    assert page.get_log("browser") == []
    fetched = js(
        page, "return performance.getEntriesByType('resource').map(e => e.name)"
    )
    assert [name for name in fetched if not name.startswith("data:")] == []


def test_every_picture_is_there(page):
    boxes = js(
        page,
        "return [...document.querySelectorAll('figure')].map(f => {"
        " const svg = f.querySelector('svg'), img = f.querySelector('img');"
        " const box = (svg || img).getBoundingClientRect();"
        " return [box.width, box.height, svg ? svg.querySelectorAll('path').length"
        " : img.naturalWidth]; })",
    )
    assert len(boxes) > 5
    assert all(
        width > 100 and height > 80 and marks > 3 for width, height, marks in boxes
    )


def test_a_column_sorts_up_and_down_and_says_so(page):
    table = first_table(page)
    head = js(page, "return arguments[0].tHead.rows[0].children[1]", table)
    button = js(page, "return arguments[0].querySelector('button')", head)
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
    button.click()
    assert head.get_attribute("aria-sort") == "descending"
    down = [float(text[:5]) for text in column(page, table, 1)]
    assert down == sorted(down, reverse=True)
    button.click()
    assert head.get_attribute("aria-sort") == "ascending"
    up = [float(text[:5]) for text in column(page, table, 1)]
    assert up == down[::-1]
    assert len(set(up)) == 3


def test_sorting_by_name_works_from_the_keyboard(page):
    from selenium.webdriver.common.keys import Keys

    table = first_table(page)
    js(page, "arguments[0].tHead.querySelector('button').focus()", table)
    press(page, Keys.ENTER)
    names = [name.split()[-1] for name in column(page, table, 0)]
    assert names == ["harder", "masked", "plain"]
    assert (
        js(page, "return getComputedStyle(document.activeElement).outlineStyle")
        == "solid"
    )


def test_the_keyboard_reaches_the_results_first(page):
    from selenium.webdriver.common.keys import Keys

    press(page, Keys.TAB)
    assert js(page, "return document.activeElement.className") == "skip"
    press(page, Keys.ENTER)
    assert js(page, "return document.activeElement.id") == "main"


def test_a_method_that_is_unticked_is_hidden_everywhere(page):
    assert column(page, first_table(page), 0) == ["⬢ plain", "● masked", "■ harder"]
    js(
        page,
        "document.getElementById('filters').open = true;"
        "document.querySelector('input[value=\"masked|swin\"]').click()",
    )
    assert column(page, first_table(page), 0) == ["⬢ plain", "■ harder"]
    said = js(page, "return document.querySelector('#filters output').textContent")
    assert said.startswith("Showing 2 of 3 methods")
    shown = "[...document.querySelectorAll('[data-method=\"masked|swin\"]')]"
    assert js(page, f"return {shown}.every(e => e.getClientRects().length === 0)")
    js(page, "document.querySelector('#filters button[type=reset]').click()")
    assert later(page, "document.querySelector('#filters output').textContent") == ""
    assert len(column(page, first_table(page), 0)) == 3


def test_a_task_that_is_unticked_takes_its_tables_and_figures(page):
    js(page, "document.querySelector('input[value=\"organs\"]').click()")
    hidden = js(
        page,
        "return [...document.querySelectorAll('.block, figure')]"
        ".filter(e => e.dataset.task === 'organs' && e.getClientRects().length).length",
    )
    assert hidden == 0
    # the coverage map keeps a heading for what is left
    heads = js(
        page,
        "return [...document.querySelectorAll('table.map th[scope=rowgroup]')]"
        ".filter(e => e.getClientRects().length).map(e => [e.innerText, e.rowSpan])",
    )
    assert [(text.split("\n")[0], rows) for text, rows in heads] == [
        ("nodules (synthetic)", 2)
    ]


def test_a_number_leads_to_its_cells(page, shared_page):
    link = js(page, "return document.querySelector('#table-dice td a.n')")
    js(page, "arguments[0].scrollIntoView({block: 'center'})", link)
    link.click()
    focused = js(
        page,
        "return new Promise(r => setTimeout(() => { const e = document.activeElement;"
        " const box = e.getBoundingClientRect();"
        " r([e.tagName, e.innerText, box.top >= 0 && box.bottom <= innerHeight]); }, 900))",
    )
    assert focused[0] == "TBODY"
    assert "plain · organs · finetune · 5-shot" in focused[1]
    assert focused[2]
    key = focused[1].split("done")[1].split()[0]
    root = shared_page.parents[2] / "results"
    assert (root / "done" / key[:2] / f"{key}.json").exists()


def test_cells_are_found_by_words(page):
    js(
        page,
        "const f = document.getElementById('find'); f.value = 'harder nodules';"
        "f.dispatchEvent(new Event('input'))",
    )
    assert (
        js(page, "return document.getElementById('found').textContent")
        == "2 of 12 groups"
    )


def contrast(page, selector):
    """Return the contrast ratio (WCAG 2) of an element's text with the page's paper."""
    return js(
        page,
        """
        const paint = (css) => {
          const c = document.createElement('canvas').getContext('2d');
          c.fillStyle = css;
          c.fillRect(0, 0, 1, 1);
          return [...c.getImageData(0, 0, 1, 1).data];
        };
        const light = (rgb) => rgb.slice(0, 3).map(v => v / 255)
          .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
          .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
        const e = document.querySelector(arguments[0]);
        const a = light(paint(getComputedStyle(e).color));
        const b = light(paint(getComputedStyle(document.body).backgroundColor));
        return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        """,
        selector,
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_dark(page, scheme):
    feature = {"name": "prefers-color-scheme", "value": scheme}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    paper = js(page, "return getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, paper[4:-1].split(","))) < 200) == (scheme == "dark")
    for selector in (
        "h1",
        ".lead",
        ".notes li",
        ".ci",
        "figcaption",
        "nav a",
        "summary",
    ):
        assert contrast(page, selector) >= 4.5, selector
    # the words of a figure take the page's colours
    assert contrast(page, "figure svg text") >= 4.5 or js(
        page, "return getComputedStyle(document.querySelector('figure svg text')).fill"
    ).startswith("rgb(232" if scheme == "dark" else "rgb(29")
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_printed_it_is_whole(page):
    made = page.execute_cdp_cmd("Page.printToPDF", {"printBackground": False})
    assert len(made["data"]) > 50_000
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    hidden = js(
        page,
        "return ['nav', '#filters', '.find', '.skip'].map(s =>"
        " document.querySelector(s).getClientRects().length)",
    )
    assert hidden == [0, 0, 0, 0]
    cut = js(page, "return getComputedStyle(document.querySelector('.tall')).maxHeight")
    assert cut == "none"
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


@pytest.mark.parametrize("width", [360, 800, 1400])
def test_it_fits_the_window(page, width):
    page.set_window_size(width, 900)
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    assert js(page, "return document.documentElement.scrollWidth") <= width
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_names_for_those_who_hear_the_page(page):
    """Every control, figure and region has a name in the accessibility tree."""
    page.execute_cdp_cmd("Accessibility.enable", {})
    tree = page.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    nameless = [
        node["role"]["value"]
        for node in tree
        if not node.get("ignored")
        and node["role"]["value"] in {"button", "link", "checkbox", "searchbox", "img",
                                      "navigation", "region", "table"}
        and not node.get("name", {}).get("value")
    ]  # fmt: skip
    assert nameless == []
