"""The page as a browser shows it: for everybody, at every width, in light and dark, by keys alone, and asking nobody for anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from harness.model.report import Report
from harness.reports.html import dump_html
from tests.needs import chromium, needs_chromium
from tests.reports import sample_reports as sample
from tests.reports.test_html_report import HOSTILE, empty, many, nights

pytestmark = needs_chromium
WIDTHS = (360, 820, 1440)
REPORTS: dict[str, Callable[[], Report]] = {
    "clean": sample.clean,
    "gap": sample.gap,
    "outage": sample.outage,
    "held": sample.held,
    "nights": lambda: replace(sample.held(), trends=nights(30, 12)),
    "empty": empty,
    "hostile": partial(sample.hostile, HOSTILE),
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # As root in a sandbox of its own a browser has none; nothing but our own page is opened in it.
        started = playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield started
        started.close()


class Opened:
    """A page, and everything that it did that it must not."""

    def __init__(self, page: Page, path: Path) -> None:
        self.page = page
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.complaints.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))
        page.goto(path.as_uri())


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Opened]]:
    contexts = []

    def opened(report: Report, *, width: int = 1440, scheme: Any = "light") -> Opened:
        path = tmp_path / "report.html"
        path.write_text(dump_html(report), encoding="utf-8")
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        return Opened(context.new_page(), path)

    yield opened
    for context in contexts:
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", REPORTS)
def test_everybody_can_read_it(show: Callable[..., Opened], name: str, scheme: str) -> None:
    shown = show(REPORTS[name](), scheme=scheme)
    for width in WIDTHS:
        shown.page.set_viewport_size({"width": width, "height": 900})
        found = Axe().run(shown.page).response["violations"]
        assert [(each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in ("serious", "critical")] == []
        assert shown.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"at {width} the page itself scrolls sideways"


@pytest.mark.parametrize("width", WIDTHS)
def test_hundreds_of_expectations_fit_too(show: Callable[..., Opened], width: int) -> None:
    page = show(many(500), width=width).page
    assert page.locator(".verdict").count() == 500
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("name", REPORTS)
def test_it_asks_nobody_for_anything_and_complains_of_nothing(show: Callable[..., Opened], name: str) -> None:
    shown = show(REPORTS[name]())
    for summary in shown.page.locator("summary").all()[:40]:
        summary.click()
    assert [url.partition("#")[0].rpartition("/")[2] for url in shown.requests] == ["report.html"]
    assert shown.complaints == []


def test_what_a_target_wrote_is_text_and_no_element(show: Callable[..., Opened]) -> None:
    shown = show(sample.hostile('<img src="http://127.0.0.1:9/x" onerror="alert(1)"><script>alert(2)</script>'))
    assert shown.page.locator("img").count() == 0
    assert shown.page.locator("script").count() == 1
    assert len(shown.requests) == 1
    assert shown.complaints == []


def test_by_keys_alone_a_verdict_is_found_opened_and_linked(show: Callable[..., Opened]) -> None:
    page = show(sample.gap()).page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the detonations"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#detonations"
    page.locator("[name=outcome]").focus()
    page.keyboard.type("MISSED")
    assert page.locator(".verdict:visible").count() == 2
    assert page.locator("#shown").text_content() == "2 of 16 verdicts"
    assert "outcome=MISSED" in page.evaluate("location.hash")
    summary = page.locator(".verdict:visible summary").first
    summary.focus()
    was_open = page.locator(".verdict:visible").first.evaluate("element => element.open")
    page.keyboard.press("Enter")
    assert page.locator(".verdict:visible").first.evaluate("element => element.open") is not was_open


def test_a_link_opens_its_verdict_even_behind_a_filter(show: Callable[..., Opened]) -> None:
    page = show(sample.gap()).page
    key = page.locator(".verdict[data-outcome=DETECTED]").first.get_attribute("id")
    page.evaluate("location.hash = 'outcome=MISSED'")
    page.locator("#shown", has_text="2 of 16").wait_for()
    page.evaluate(f"location.hash = '{key}'")
    page.locator("#shown", has_text="16 verdicts").wait_for()
    assert page.locator(f"#{key}").evaluate("element => element.open && document.activeElement.closest('.verdict') === element")


def test_without_scripts_everything_is_there(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(dump_html(sample.gap()), encoding="utf-8")
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(path.as_uri())
        assert page.locator(".verdict").count() == 16
        assert not page.locator("#filters").is_visible()


def test_on_paper_every_verdict_is_black_on_white(show: Callable[..., Opened]) -> None:
    page = show(sample.gap(), scheme="dark").page
    page.emulate_media(media="print")
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background in ("rgb(255, 255, 255)", "rgba(0, 0, 0, 0)")
