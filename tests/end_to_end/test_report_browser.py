"""report.html in a real browser, without a network: skipped where no Chromium is installed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import chromium
from made_study import QUERIES, made_study
from octant.tuning import report_html

pytestmark = pytest.mark.timeout(120)
WIDTHS = (320, 380, 768, 1280)
HOSTILE = "</script><img src=x onerror=window.pwned=1><svg onload=window.pwned=1>"
CENTRE = """(() => {
  const box = document.querySelector(%r).getBoundingClientRect();
  return [box.left + box.width / 2, box.top + box.height / 2];
})()"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Page]:
    with chromium.page(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    report_html.write(made_study(), path)
    return path


def shown(browser: chromium.Page, selector: str) -> str:
    return str(browser.run(f"document.querySelector({selector!r}).innerText"))


def scroll_to(browser: chromium.Page, selector: str) -> list[float]:
    browser.run(f"document.querySelector({selector!r}).scrollIntoView({{block: 'center', behavior: 'instant'}})")
    return list(browser.run(CENTRE % selector))


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits_the_screen_and_the_console_stays_empty(
    browser: chromium.Page, report: Path, width: int, dark: bool
) -> None:
    browser.problems.clear()
    browser.open(report, width, dark=dark)
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run("getComputedStyle(document.body).backgroundColor") == (
        "rgb(18, 22, 28)" if dark else "rgb(255, 255, 255)"
    )
    assert browser.problems == []


def test_a_finger_finds_a_mark_and_its_details(browser: chromium.Page, report: Path) -> None:
    browser.open(report, 380)
    row = browser.run("document.querySelector('.view:not([hidden]) .native.point').dataset.row")
    x, y = scroll_to(browser, f'.view:not([hidden]) .point[data-row="{row}"] path')
    name = browser.run(f"document.querySelector('#c{row} code').textContent")
    assert name not in shown(browser, "#detail")
    browser.tap(x + 3, y + 3)
    assert name in shown(browser, "#detail")
    assert name in shown(browser, "#tip")
    left, right = browser.run("(b => [b.left, b.right])(document.querySelector('#tip').getBoundingClientRect())")
    assert 0 <= left < right <= 380


def test_what_is_touched_is_large_enough(browser: chromium.Page, report: Path) -> None:
    browser.open(report, 380)
    low = browser.run("""[...document.querySelectorAll("nav a, button, select, input[type=search], .switches span")]
        .filter((one) => one.offsetParent && one.getBoundingClientRect().height < 32).map((one) => one.textContent)""")
    assert low == []


def test_a_mouse_over_a_mark_says_what_it_is(browser: chromium.Page, report: Path) -> None:
    browser.open(report, 1280)
    assert browser.run("document.querySelector('#tip').hidden")
    browser.mouse("mouseMoved", *scroll_to(browser, ".view:not([hidden]) .point.chosen > path"))
    assert "coarse=binary(256); fine=turbo8" in shown(browser, "#tip")
    browser.mouse("mouseMoved", 2, 2)
    assert browser.run("document.querySelector('#tip').hidden")


def test_the_keyboard_walks_along_the_marks(browser: chromium.Page, report: Path) -> None:
    browser.open(report, 1280)
    stops = "document.querySelectorAll('.view:not([hidden]) .point[tabindex=\"0\"]').length"
    assert browser.run(stops) == 1
    browser.run("document.querySelector('.view:not([hidden]) .point[tabindex=\"0\"]').focus()")
    seen = {shown(browser, "#detail")}
    for _ in range(3):
        browser.press("ArrowRight")
        seen.add(shown(browser, "#detail"))
    assert len(seen) == 4
    assert browser.run(stops) == 1


def test_views_are_switched(browser: chromium.Page, report: Path) -> None:
    browser.open(report, 768)
    current = "(v => v.length + ' ' + v[0].dataset.metric + ' ' + v[0].dataset.size)"
    visible = f"{current}([...document.querySelectorAll('.view:not([hidden])')])"
    assert browser.run(visible) == "1 recall@10 RAM"
    browser.run("document.querySelector('input[value=BOTH]').click()")
    browser.run("document.querySelector('input[value=\"ndcg@10\"]').click()")
    assert browser.run(visible) == "1 ndcg@10 BOTH"


def test_the_table_sorts_and_filters(browser: chromium.Page, report: Path) -> None:
    browser.open(report, 1280)
    column = "[...document.querySelectorAll('#candidates tbody tr')].map((row) => row.children[3].dataset.sort)"
    head = "document.querySelectorAll('#candidates thead th')[3]"
    before = browser.run(column)
    browser.run(f"{head}.querySelector('button').click()")
    values = [None if value is None else float(value) for value in browser.run(column)]
    known = [value for value in values if value is not None]
    assert known == sorted(known)
    assert values[len(known) :] == [None, None]  # the two that failed
    assert browser.run(f"{head}.getAttribute('aria-sort')") == "ascending"
    browser.run(f"{head}.querySelector('button').click()")
    assert [float(value) for value in browser.run(column)[: len(known)]] == known[::-1]
    order = "document.querySelector('#order')"
    browser.run(f"{order}.value = '-1'; {order}.dispatchEvent(new Event('change'))")
    assert browser.run(column) == before

    def count(text: str, kind: str) -> str:
        browser.run(f"document.querySelector('#filter').value = {text!r}")
        browser.run(f"document.querySelector('#kind').value = {kind!r}")
        browser.run("document.querySelector('#filter').dispatchEvent(new Event('input'))")
        return shown(browser, "#shown")

    assert count("turbo8 pca", "all") == "3 of 36 shown"
    assert count("", "failed") == "2 of 36 shown"
    assert count("", "Octant, two stages") == "14 of 36 shown"
    assert count("no such thing", "all") == "0 of 36 shown"
    assert browser.run("[...document.querySelectorAll('#candidates tbody tr')].every((row) => !row.offsetParent)")


def test_code_is_copied_where_the_clipboard_is_out_of_reach(browser: chromium.Page, report: Path) -> None:
    browser.open(report, 380)
    browser.run("""document.addEventListener("copy", () => { window.copied = String(getSelection()); })""")
    browser.run("""Object.defineProperty(navigator, "clipboard", { value: undefined })""")
    x, y = scroll_to(browser, "#apply .copy")
    browser.tap(x, y)
    assert browser.run("new Promise((done) => setTimeout(() => done(window.copied), 200))").startswith(
        "octant compress"
    )


def test_what_strangers_wrote_does_not_run(browser: chromium.Page, tmp_path: Path) -> None:
    study = made_study()
    represent = f"{HOSTILE}; fine=turbo8"
    hostile = replace(
        study, name=HOSTILE, notes=(HOSTILE,), query_texts=(HOSTILE,) * QUERIES,
        recommendation=replace(study.recommendation, represent=represent, unmet=(HOSTILE,)),
        trials=tuple(
            replace(trial, candidate=replace(trial.candidate, represent=represent))
            if trial.candidate.represent == study.recommendation.represent else trial for trial in study.trials
        ),
    )  # fmt: skip
    report_html.write(hostile, tmp_path / "report.html")
    browser.problems.clear()
    browser.open(tmp_path / "report.html", 380)
    browser.tap(*scroll_to(browser, ".view:not([hidden]) .point.chosen > path"))
    assert HOSTILE in shown(browser, "#detail")
    assert browser.run("window.pwned === undefined")
    assert browser.run("document.documentElement.scrollWidth") <= 380
    assert browser.problems == []


def test_the_page_may_not_reach_out(browser: chromium.Page, report: Path) -> None:
    browser.open(report, 1280)
    refused = "fetch('https://example.org/').then(() => 'reached', (error) => error.message)"
    assert "Failed to fetch" in browser.run(refused)
    assert any("Content Security Policy" in problem for problem in browser.problems)
