"""The survey page in a real browser, without JavaScript: seen by axe, and used by keyboard and by touch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.chromium import LOOKS, findings, overflow, picture, serving, window
from tests.web.survey_states import Desk, path

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ALTERED = path()[:-3] + "AAA"
STATES = {
    "question": path(brand="Acme"),
    "answered": path("before", brand="Acme"),
    "settled": path("settled"),
    "over": path("over"),
    "expired": path(days=-1),
    "unknown": ALTERED,
    "down": path("down"),
    "german": path(language="de", brand="Acme"),
    "arabic": path(language="ar", brand="Acme"),
    "hebrew": path(language="he"),
    "japanese": path(language="ja"),
}


@pytest.fixture
def desk() -> Desk:
    return Desk(kept={"before": (4, None)})


@pytest.fixture
def address(desk: Desk) -> Iterator[str]:
    with serving(desk.app()) as address:
        yield address


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_every_state_is_accessible(
    browser: Browser, address: str, pictures: Path | None, size: str, scheme: str
) -> None:
    found = {}
    with window(browser, size, scheme, script=True) as page:
        for name, link in STATES.items():
            page.goto(address + link)
            picture(page, pictures, f"survey-{name}-{size}-{scheme}")
            found[name] = [*findings(page), *overflow(page), *too_small(page)]

    assert {name: what for name, what in found.items() if what} == {}


@pytest.mark.parametrize("look", [(*look, language) for look in LOOKS for language in ("en", "ar")])
def test_thanks_and_troubles_are_accessible(
    browser: Browser, address: str, desk: Desk, pictures: Path | None, look: tuple[str, str, str]
) -> None:
    found, (size, scheme, language) = {}, look
    with window(browser, size, scheme, script=True) as page:
        page.goto(address + path(language=language, brand="Acme"))
        page.eval_on_selector("form", "form => form.noValidate = true")
        page.fill("textarea", "The part is missing.\nPlease send it.")
        page.click("button")
        picture(page, pictures, f"survey-no_choice-{language}-{size}-{scheme}")
        found["no choice"] = [*findings(page), *overflow(page)]
        page.check("input[value='4']")
        desk.down = True
        page.click("button")
        picture(page, pictures, f"survey-not_saved-{language}-{size}-{scheme}")
        found["not saved"] = [*findings(page), *overflow(page)]
        desk.down = False
        page.click("button")
        picture(page, pictures, f"survey-thanks-{language}-{size}-{scheme}")
        found["thanks"] = [*findings(page), *overflow(page), *too_small(page)]

    assert desk.kept["c0ffee42"] == (4, "The part is missing.\nPlease send it.")
    assert {name: what for name, what in found.items() if what} == {}


def test_a_customer_answers_by_touch_and_changes_their_mind(browser: Browser, address: str, desk: Desk) -> None:
    with window(browser, "phone") as page:
        page.goto(address + path())
        page.tap("label:has-text('Not really')")
        page.tap("button")
        page.tap("a")
        page.tap("label:has-text('Mostly')")
        page.fill("textarea", "It works now")
        page.tap("button")

        assert "Mostly" in page.inner_text(".answer >> nth=0")
    assert desk.kept == {"before": (4, None), "c0ffee42": (4, "It works now")}


def test_a_customer_answers_by_keyboard_alone(browser: Browser, address: str, desk: Desk) -> None:
    with window(browser, "desktop") as page:
        page.goto(address + path())
        for key in ("Tab", "Space", "ArrowDown", "Tab"):
            page.keyboard.press(key)
        page.keyboard.type("By keyboard")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_selector("h1:has-text('Thank you')")

    assert desk.kept["c0ffee42"] == (2, "By keyboard")


def test_without_a_choice_the_browser_itself_asks_for_one(browser: Browser, address: str, desk: Desk) -> None:
    with window(browser, "phone") as page:
        page.goto(address + path())
        page.tap("button")

        assert re.search(r"Have we made it right", page.inner_text("h1"))
    assert "c0ffee42" not in desk.kept


def test_the_style_is_not_stopped_by_our_own_policy(browser: Browser, address: str) -> None:
    said: list[str] = []
    with window(browser, "phone", script=True) as page:
        page.on("console", lambda message: said.append(message.text))
        page.goto(address + path())

        assert page.eval_on_selector("button", "button => button.offsetHeight") >= 44
    assert [text for text in said if "favicon" not in text] == []


def too_small(page: Page) -> list[str]:
    """Return what is to be tapped and is smaller than 24 by 24 pixels."""
    small = "all => all.filter(e => e.offsetWidth < 24 || e.offsetHeight < 24).map(e => e.outerHTML)"
    found: list[str] = page.eval_on_selector_all("a, button, input, textarea, label.choice", small)
    return found
