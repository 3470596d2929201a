"""The dashboard in a real browser: seen by axe in both colour schemes, on a phone and on paper, used by a team lead."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bridge.web.actions import ActionDesk, action_routes
from tests.browser.chromium import LOOKS, findings, overflow, picture, serving, window
from tests.web.dash_states import HOUR, NOW, STORY, Desk

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

QUARTER = 600  # cases of a year
PAGES = {
    "overview": "/?weeks=13",
    "overview-4-weeks": "/",
    "cases": "/cases?state=all",
    "no-cases": "/cases?rule=Unknown",
    "case": f"/cases/{STORY}",
    "work": "/work",
    "work-done": "/work?done=retried",
    "unknown": "/cases/none",
}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    made = Desk(tmp_path, QUARTER)
    made.story(promise="A call", promised_by=NOW + HOUR)
    made.fail("31", "acme: rating 31 has no field 'ticket_id'")
    made.store.put_account_state(
        "shop", held="held: 50 recoveries began within an hour; then: recovery-bridge resume shop"
    )
    return made


@pytest.fixture
def address(desk: Desk) -> Iterator[str]:
    actions = ActionDesk(desk.store, lambda: desk.rules, lambda: desk.now, lambda _account: None)
    with serving(desk.app(*action_routes(actions, desk.guard))) as address:
        yield address


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_every_page_is_accessible(
    browser: Browser, address: str, pictures: Path | None, size: str, scheme: str
) -> None:
    found = {}
    with window(browser, size, scheme, script=True) as page:
        for name, path in PAGES.items():
            page.goto(address + path)
            picture(page, pictures, f"dashboard-{name}-{size}-{scheme}")
            page.eval_on_selector_all("details", "all => all.forEach(one => one.open = true)")
            found[name] = [*findings(page), *overflow(page), *too_small(page)]

    assert {name: what for name, what in found.items() if what} == {}


def test_nothing_is_stopped_by_our_own_policy(browser: Browser, address: str) -> None:
    said: list[str] = []
    with window(browser, "desktop", script=True) as page:
        page.on("console", lambda message: said.append(message.text))
        for path in PAGES.values():
            page.goto(address + path)

    assert [text for text in said if "404" not in text] == []


def test_a_lead_goes_from_the_overview_to_a_case_and_closes_it(browser: Browser, address: str, desk: Desk) -> None:
    with window(browser, "desktop") as page:
        page.goto(address)
        page.click(f'a[href="/cases/{STORY}"]')
        page.select_option("#outcome", "unfixable")
        page.select_option("#cause", "Defect")
        page.fill("#remedy", "Sent a new one")
        page.click("text=Close the case")

        assert "Put down" in page.inner_text("[role=status]")
        assert "closed by ana" in page.inner_text("main")
        page.click("text=Overview")
        assert page.locator(f'a[href="/cases/{STORY}"]').count() == 0
    case = desk.store.case(STORY)
    assert case and (case.outcome, case.cause, case.remedy, case.party) == (
        "unfixable", "Defect", "Sent a new one", "product",
    )  # fmt: skip


def test_a_case_that_moved_on_meanwhile_is_shown_as_it_is_now(browser: Browser, address: str, desk: Desk) -> None:
    with window(browser, "desktop") as page:
        page.goto(f"{address}/cases/{STORY}")
        page.select_option("#outcome", "stopped")
        desk.sql("UPDATE cases SET version = version + 1 WHERE case_id = ?", STORY)
        page.click("text=Close the case")

        assert "moved on meanwhile" in page.inner_text("[role=status]")
        assert page.locator("#outcome").count() == 1


def test_what_is_stuck_is_tried_again_and_a_held_account_goes_on(browser: Browser, address: str, desk: Desk) -> None:
    with window(browser, "phone") as page:
        page.goto(address)
        page.click("text=resume it")
        page.click("text=Resume shop")
        assert "begins recoveries again" in page.inner_text("[role=status]")
        page.click("#parked button")
        assert "tried again" in page.inner_text("[role=status]")

        page.goto(address)
        assert "could not be done" not in page.inner_text("main")
    assert not desk.store.parked()


def test_cases_are_narrowed_down_with_a_form_and_go_on_behind_a_link(browser: Browser, address: str) -> None:
    with window(browser, "desktop") as page:
        page.goto(f"{address}/cases")
        page.select_option("#state", "all")
        page.select_option("#account", "acme")
        page.click("text=Show")
        page.click("text=After")

        assert page.locator("tbody tr").count() == 50
        assert page.locator("tbody th:has-text('shop')").count() == 0
        assert "Page 2 of" in page.inner_text("nav.pages")


def test_the_pages_are_used_by_keyboard_alone(browser: Browser, address: str) -> None:
    with window(browser, "desktop") as page:
        page.goto(address)
        page.keyboard.press("Tab")
        assert page.locator(":focus").inner_text() == "Skip to the page"
        for _ in range(3):
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_selector("h1:has-text('Cases')")


def test_on_paper_there_are_figures_and_no_buttons(browser: Browser, address: str) -> None:
    with window(browser, "desktop", "dark") as page:
        page.goto(f"{address}/?weeks=13")
        page.emulate_media(media="print")

        assert page.locator("svg.chart.wide:visible").count() == 3
        assert page.locator("button:visible, nav:visible").count() == 0
        assert page.locator("text=Recovered, of all flagged").first.is_visible()


def too_small(page: Page) -> list[str]:
    """Return what is to be tapped and is smaller than 24 by 24 pixels; links within a sentence may be."""
    small = (
        "all => all.filter(e => e.type != 'hidden' && getComputedStyle(e).display != 'inline'"
        " && e.checkVisibility() && (e.offsetWidth < 24 || e.offsetHeight < 24)).map(e => e.outerHTML)"
    )
    found: list[str] = page.eval_on_selector_all("a, button, input, select, summary", small)
    return found
