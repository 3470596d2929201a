"""Signing in and acting in a real browser, without JavaScript: what it says of itself is what we ask of a form."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from bridge.model import Outcome
from bridge.store import Store
from bridge.web import web_app
from bridge.web.actions import ActionDesk, action_routes
from bridge.web.counts import Counts
from bridge.web.login import Login
from tests.bridge.test_store_cases import CASE, NOW, decision
from tests.browser.chromium import LOOKS, findings, overflow, picture, serving, window
from tests.web.people import KEY, PASSWORDS, logins_in
from tests.web.test_actions import RULES

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PAGE = """<!doctype html><html lang="en"><title>A case</title><h1>{name}</h1><form method="post" action="{action}">
<input type="hidden" name="csrf" value="{csrf}"><input type="hidden" name="back" value="/">
<input type="hidden" name="version" value="1"><input name="remedy" aria-label="Remedy"><button>Do it</button></form>"""


async def case_page(request: Request) -> Response:
    """Stand in for a page of the dashboard: one form."""
    visitor = request.state.visitor
    action = "/logout" if request.url.path == "/leave" else "/cases/k1/close"
    headers = {"Referrer-Policy": "same-origin"}
    return HTMLResponse(PAGE.format(name=visitor.name, csrf=visitor.csrf, action=action), headers=headers)


class House:
    """A page with a form behind a login, and an address."""

    def __init__(self, folder: Path) -> None:
        self.store = Store.open(f"sqlite:///{folder / 'bridge.db'}", busy=timedelta(milliseconds=5))
        self.store.save(decision(CASE))
        self.logins, counts = logins_in(folder), Counts()
        self.login = Login(self.logins, KEY, lambda: NOW, counts, user_header="X-Forwarded-User")
        desk = ActionDesk(self.store, lambda: RULES, lambda: NOW, lambda _account: None)
        pages = [Route(path, self.login.guard(case_page)) for path in ("/", "/leave", "/cases/7")]
        self.app = web_app([pages, self.login.routes(), action_routes(desk, self.login.guard)], counts)


@pytest.fixture
def house(tmp_path: Path, migrated_file: Path) -> Iterator[House]:
    shutil.copyfile(migrated_file, tmp_path / "bridge.db")
    house = House(tmp_path)
    yield house
    house.login.close()
    house.store.close()


@pytest.fixture
def address(house: House) -> Iterator[str]:
    with serving(house.app) as address:
        yield address


def sign_in(page: Page, name: str = "ana", password: str | None = None) -> None:
    page.fill("#name", name)
    page.fill("#password", password or PASSWORDS[name])
    page.click("button")


@pytest.mark.parametrize("how", LOOKS, ids="-".join)
def test_every_card_is_accessible(browser: Browser, address: str, pictures: Path | None, how: tuple[str, str]) -> None:
    found: dict[str, list[str]] = {}
    with window(browser, *how, script=True) as page:

        def look(name: str) -> None:
            picture(page, pictures, f"login-{name}-{'-'.join(how)}")
            found[name] = [*findings(page), *overflow(page)]

        page.goto(f"{address}/cases/7")
        look("form")
        sign_in(page, password="not the password")
        look("wrong")
        sign_in(page)
        page.fill("[name=remedy]", "Sent again")
        page.click("button")
        look("close")
        page.set_extra_http_headers({"X-Forwarded-User": "eve@x.example"})
        page.goto(address)
        look("shut")

    assert {name: what for name, what in found.items() if what} == {}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_somebody_signs_in_by_keyboard_acts_and_leaves(browser: Browser, house: House, address: str, host: str) -> None:
    with window(browser, "desktop") as page:
        page.goto(f"{address.replace('127.0.0.1', host)}/cases/7")
        for key in ("Tab", "Tab"):  # past the name of this program
            page.keyboard.press(key)
        page.keyboard.type("ana")
        page.keyboard.press("Tab")
        page.keyboard.type(PASSWORDS["ana"])
        page.keyboard.press("Enter")
        page.wait_for_url("**/cases/7")
        page.fill("[name=remedy]", "Sent again")
        page.click("button")
        page.wait_for_selector("text=choose how it ended")
        page.select_option("#outcome", "unfixable")
        page.click("button")
        page.wait_for_url("**/?done=closed")
        page.goto(page.url.replace("/?done=closed", "/leave"))
        page.click("button")
        page.wait_for_url("**/login")

    case = house.store.case("k1")
    assert case
    assert (case.outcome, case.remedy) == (Outcome.UNFIXABLE, "Sent again")


def test_a_page_of_another_site_gets_nothing_done(browser: Browser, house: House, address: str) -> None:
    with window(browser, "desktop") as page:
        page.goto(address)
        sign_in(page)
        page.wait_for_selector("h1:has-text('ana')")
        csrf = page.get_attribute("[name=csrf]", "value")
        page.goto("about:blank")
        page.set_content(
            f'<form method="post" action="{address}/cases/k1/close"><input name="csrf" value="{csrf}">'
            '<input name="version" value="1"><input name="outcome" value="stopped"><button>Win a prize</button></form>'
        )
        page.click("button")
        page.wait_for_url(f"{address}/**")

    assert house.store.case("k1") == CASE
