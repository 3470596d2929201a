"""Signing in: as people who may, as people who may not any more, and as somebody who tries."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from bridge.errors import SettingsError
from bridge.logins import Logins, Role
from bridge.web import web_app
from bridge.web.counts import Counts
from bridge.web.login import MOST_WAITING, Login
from bridge.web.proxied import behind
from bridge.web.service import web_server
from bridge.web.tries import LONGEST, MOST_KNOWN, Tries
from tests.web.people import KEY, NOW, PASSWORDS, entry, logins_in, sign_in
from tests.web.test_hooks import call

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
HTTPS = "https://bridge.example"
PROXY, STRANGER = "127.0.0.1", "203.0.113.9"
USER = "X-Forwarded-User"
FORM = {"content-type": "application/x-www-form-urlencoded"}


async def home(request: Request) -> Response:
    """Say who looks."""
    visitor = request.state.visitor
    return PlainTextResponse(f"{visitor.name} {visitor.role} {visitor.csrf}")


class House:
    """A guarded page and its login, with a clock of its own."""

    def __init__(self, logins: Logins, user_header: str | None = None) -> None:
        self.now, self.logins, self.counts = NOW, logins, Counts()
        self.login = self.opened(user_header=user_header)

    def opened(self, key: str = KEY, user_header: str | None = None) -> Login:
        return Login(self.logins, key, lambda: self.now, self.counts, user_header=user_header)

    def app(self, login: Login | None = None, proxies: str = "", header: str = "") -> Any:
        login = login or self.login
        pages = [Route("/", login.guard(home)), Route("/cases/{rest:path}", login.guard(home), methods=["GET", "POST"])]
        return behind(web_app([pages, login.routes()], self.counts), proxies, header)

    def browser(self, url: str = HTTPS, source: str = STRANGER, **how: Any) -> TestClient:
        return TestClient(self.app(**how), base_url=url, client=(source, 1), follow_redirects=False)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(logins_in(tmp_path))
    yield house
    house.login.close()


@pytest.fixture
def browser(house: House) -> TestClient:
    return house.browser()


@pytest.fixture
def signed_in(browser: TestClient) -> TestClient:
    assert sign_in(browser).status_code == 303
    return browser


def who(browser: TestClient) -> str:
    """Return who the page says is looking, "" if it asks."""
    answer = browser.get("/")
    return " ".join(answer.text.split()[:2]) if answer.status_code == 200 else ""


def csrf_of(browser: TestClient) -> str:
    return browser.get("/").text.split()[2]


def token(browser: TestClient) -> str:
    return browser.cookies["__Host-recovery-bridge"]


# ------------------------------------------------------------------ coming in
@pytest.mark.parametrize(
    ("asked", "sent_to"),
    [
        ("/", "/login"),
        ("/cases/7", "/login?next=%2Fcases%2F7"),
        ("/cases/?open=1&by=due", "/login?next=%2Fcases%2F%3Fopen%3D1%26by%3Ddue"),
    ],
)
def test_a_stranger_is_asked_to_sign_in_and_comes_back(browser: TestClient, asked: str, sent_to: str) -> None:
    answer = browser.get(asked)

    assert (answer.status_code, answer.headers["location"]) == (303, sent_to)
    assert sign_in(browser, path=sent_to).headers["location"] == "/"  # the path is in the form, not in its address


@pytest.mark.parametrize(("name", "role"), [("ana", "operator"), ("vic", "viewer")])
def test_people_sign_in_and_are_who_the_file_says(browser: TestClient, name: str, role: str) -> None:
    answer = sign_in(browser, name)

    assert (answer.status_code, answer.headers["location"], who(browser)) == (303, "/", f"{name} {role}")


def test_a_session_cookie_is_for_this_host_over_https_and_for_no_script(browser: TestClient) -> None:
    name, _, rest = sign_in(browser).headers["set-cookie"].partition("=")

    assert name == "__Host-recovery-bridge"
    assert set(rest.split("; ")[1:]) == {"HttpOnly", "Max-Age=43200", "Path=/", "SameSite=lax", "Secure"}


def test_without_https_the_cookie_has_another_name(house: House) -> None:
    browser = house.browser("http://bridge.example")
    cookie = sign_in(browser).headers["set-cookie"]

    assert cookie.startswith("recovery-bridge=")
    assert "Secure" not in cookie
    assert who(browser) == "ana operator"


def test_whoever_is_signed_in_is_not_asked_again(signed_in: TestClient) -> None:
    answer = signed_in.get("/login?next=/cases/7")

    assert (answer.status_code, answer.headers["location"]) == (303, "/cases/7")


def test_the_page_tells_browsers_what_they_may_fill_in(browser: TestClient) -> None:
    page = browser.get("/login?next=/cases/7%3Fa=%22b").text

    assert 'autocomplete="username"' in page
    assert 'autocomplete="current-password"' in page
    assert 'name="next" value="/cases/7?a=&#34;b"' in page
    assert "<script" not in page


def test_the_page_is_kept_by_nobody_and_runs_nothing(browser: TestClient) -> None:
    headers = browser.get("/login").headers

    assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert (headers["cache-control"], headers["x-frame-options"]) == ("no-store", "DENY")
    assert headers["referrer-policy"] == "same-origin"  # with no-referrer a form of ours would come from `null`


def test_while_nobody_can_sign_in_the_page_names_the_command(house: House, browser: TestClient) -> None:
    for name in ("ana", "vic"):
        house.logins.remove(name)

    page = browser.get("/login").text

    assert "recovery-bridge login add YOUR-NAME --role operator" in page
    assert "<form" not in page


# ------------------------------------------------------------------ staying out
@pytest.mark.parametrize(
    ("name", "password"),
    [("ana", "a wrong harbour"), ("nobody", PASSWORDS["ana"]), ("vic", PASSWORDS["ana"]), ("pam", "-"), ("", "")],
)
def test_a_wrong_password_and_an_unknown_name_are_answered_alike(browser: TestClient, name: str, password: str) -> None:
    answer = browser.post("/login", data={"name": name, "password": password})

    assert answer.status_code == 403
    assert "The name or the password is not right." in answer.text
    assert f'value="{name}"' in answer.text
    assert "set-cookie" not in answer.headers


def test_no_password_stands_in_a_page_or_in_the_log(browser: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        wrong = browser.post("/login", data={"name": "kanarienvogel", "password": "a password of mine"}).text
        right = sign_in(browser)

    said = [f"{record.getMessage()} {vars(record)}" for record in caplog.records]
    assert "a password of mine" not in wrong + " ".join(said)
    assert not [line for line in said if "kanarienvogel" in line or PASSWORDS["ana"] in line]
    assert PASSWORDS["ana"] not in right.text + str(right.headers)


@pytest.mark.parametrize(
    "body", [b"name=ana", b"", b"\xff\xfe=%ff", b"name=ana&name=vic&password=%00", b"a=b&" * 11 + b"c=d"]
)
def test_a_form_that_is_none_lets_nobody_in(browser: TestClient, body: bytes) -> None:
    assert browser.post("/login", content=body, headers=FORM).status_code in (403, 422)


def test_what_is_no_form_is_not_read(browser: TestClient) -> None:
    answer = browser.post("/login", json={"name": "ana", "password": PASSWORDS["ana"]})

    assert (answer.status_code, "set-cookie" in answer.headers) == (415, False)


@pytest.mark.parametrize(
    "path",
    ["//evil.example", "/\\evil.example", "https://evil.example", "\\\\evil.example", "/\t/evil.example",
     "javascript:x", "/\n/evil.example", "/a\r\nSet-Cookie: x=y", " //evil.example", "evil.example", "", "/%09",
     "/login?next=/login", "/logout", "/" + "a" * 600, "/\u0435vil", "///evil.example"],
)  # fmt: skip
def test_after_signing_in_nobody_is_led_elsewhere(browser: TestClient, path: str) -> None:
    answer = browser.post("/login", data={"name": "ana", "password": PASSWORDS["ana"], "next": path})
    shown = browser.get("/login", params={"next": path})

    for one in (answer, shown):
        assert (one.status_code, one.headers["location"]) == (303, "/%09" if path == "/%09" else "/")


# ------------------------------------------------------------------ being let in no more
ENDINGS: dict[str, Callable[[House], None]] = {
    "removed": lambda house: house.logins.remove("ana"),
    "another role": lambda house: house.logins.put(replace(house.logins.entries()["ana"], role=Role.VIEWER)),
    "another password": lambda house: house.logins.put(entry("ana", Role.OPERATOR, "some other words")),
    "the same password anew": lambda house: house.logins.put(entry("ana", Role.OPERATOR, PASSWORDS["ana"])),
    "no password any more": lambda house: house.logins.put(entry("ana", Role.OPERATOR)),
    "half a day later": lambda house: setattr(house, "now", NOW + 12 * HOUR),
}


@pytest.mark.parametrize("how", ENDINGS)
def test_a_session_ends_at_once(house: House, signed_in: TestClient, how: str) -> None:
    assert who(signed_in) == "ana operator"

    ENDINGS[how](house)

    assert who(signed_in) == ""


def test_a_session_lasts_a_working_day_and_outlives_a_restart(house: House, signed_in: TestClient) -> None:
    house.now += 12 * HOUR - SECOND
    restarted = house.browser(login=house.opened())
    restarted.cookies.set("__Host-recovery-bridge", token(signed_in))

    assert who(restarted) == "ana operator"


def test_changing_somebody_elses_line_ends_no_session(house: House, signed_in: TestClient) -> None:
    house.logins.remove("vic")

    assert who(signed_in) == "ana operator"


def test_no_copy_of_a_session_that_was_signed_out_is_worth_anything(house: House, signed_in: TestClient) -> None:
    copy = token(signed_in)
    answer = signed_in.post("/logout", data={"csrf": csrf_of(signed_in)})

    assert (answer.headers["location"], who(signed_in)) == ("/login", "")
    assert 'recovery-bridge=""; ' in answer.headers["set-cookie"]
    for end in ("", "=", "A"):  # the last letters of a signature can be written in several ways
        signed_in.cookies.set("__Host-recovery-bridge", copy + end)
        assert who(signed_in) == ""


def test_a_cookie_that_is_not_ours_is_worth_nothing(house: House, signed_in: TestClient) -> None:
    real = token(signed_in)
    stranger = house.opened(key="00" * 32)
    for forged in (
        "", "x", "x.y", real[:-2], real[1:], real.replace(real[5], "A" if real[5] != "A" else "B", 1), "\u00fc" * 9,
        stranger._sessions.begin(house.logins.entries()["ana"]),
    ):  # fmt: skip
        answer = signed_in.get("/", headers={"cookie": f"__Host-recovery-bridge={forged}".encode()})
        assert (forged, answer.status_code) == (forged, 303)


def test_a_session_over_http_is_not_taken_over_https(house: House) -> None:
    plain, secure = house.browser("http://bridge.example"), house.browser()
    sign_in(plain)
    secure.cookies.set("recovery-bridge", plain.cookies["recovery-bridge"])

    assert who(secure) == ""


@pytest.mark.parametrize("what", ["unreadable", "open to all"])
def test_while_the_file_cannot_be_used_nobody_is_let_in(
    house: House, signed_in: TestClient, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    if what == "unreadable":
        house.logins.path.write_text("nonsense\n")
    else:
        house.logins.path.chmod(0o644)

    answers = [signed_in.get("/"), signed_in.get("/login"), sign_in(signed_in)]

    assert [one.status_code for one in answers] == [503] * 3
    assert all(
        "the log of the service says why" in one.text and str(house.logins.path) not in one.text for one in answers
    )
    assert [str(house.logins.path) in record.getMessage() for record in caplog.records] == [True]  # once


# ------------------------------------------------------------------ forms of somebody else
CROSS_SITE = [
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "cross-site", "origin": HTTPS},
    {"origin": "https://evil.example"},
    {"origin": "https://evil.bridge.example"},
    {"origin": "https://bridge.example.evil"},
    {"origin": "null"},
    {"origin": ""},
    {"origin": "http://["},
]


@pytest.mark.parametrize("headers", CROSS_SITE)
def test_a_form_of_another_site_signs_nobody_in(browser: TestClient, headers: dict[str, str]) -> None:
    answer = browser.post("/login", data={"name": "ana", "password": PASSWORDS["ana"]}, headers=headers)

    assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)


@pytest.mark.parametrize(
    "headers", [{}, {"origin": HTTPS}, {"sec-fetch-site": "same-origin", "origin": "http://10.0.0.1:8080"}]
)
def test_a_form_of_ours_signs_in(browser: TestClient, headers: dict[str, str]) -> None:
    answer = browser.post("/login", data={"name": "ana", "password": PASSWORDS["ana"]}, headers=headers)

    assert answer.status_code == 303


@pytest.mark.parametrize(
    ("csrf", "headers"),
    [("", {}), ("0" * 32, {}), ("vic's", {}), ("\u00fc", {}), *(("own", one) for one in CROSS_SITE)],
)
def test_nobody_can_sign_out_somebody_else(
    house: House, signed_in: TestClient, csrf: str, headers: dict[str, str]
) -> None:
    other = house.browser()
    sign_in(other, "vic")
    sent = {"own": csrf_of(signed_in), "vic's": csrf_of(other)}.get(csrf, csrf)

    signed_in.post("/logout", data={"csrf": sent}, headers=headers)

    assert who(signed_in) == "ana operator"


def test_two_sessions_of_one_person_have_forms_of_their_own(house: House, signed_in: TestClient) -> None:
    other = house.browser()
    sign_in(other)

    assert csrf_of(other) != csrf_of(signed_in)


# ------------------------------------------------------------------ trying often
def attempt(browser: TestClient, name: str = "ana", password: str = "wrong") -> tuple[int, str]:
    answer = browser.post("/login", data={"name": name, "password": password})
    return answer.status_code, answer.headers.get("retry-after", "")


def test_a_source_that_fails_often_waits_ever_longer(house: House, browser: TestClient) -> None:
    answers = []
    for number in range(9):
        answers.append(attempt(browser, f"name{number}"))
        if answers[-1][0] == 429:
            house.now += timedelta(seconds=int(answers[-1][1]))

    assert answers == [(403, "")] * 5 + [(429, "1"), (403, ""), (429, "2"), (403, "")]


def test_while_a_source_waits_no_password_is_looked_at(house: House, browser: TestClient) -> None:
    for _ in range(5):
        attempt(browser)

    assert sign_in(browser).status_code == 429
    assert "please try again in 1 second." in sign_in(browser).text
    house.now += SECOND
    assert sign_in(browser).status_code == 303


def test_who_gets_in_at_last_begins_anew(house: House, browser: TestClient) -> None:
    for _ in range(4):
        attempt(browser)
    sign_in(browser)

    assert [attempt(browser)[0] for _ in range(5)] == [403] * 5


def test_a_name_is_guarded_against_many_sources(house: House) -> None:
    statuses = [attempt(house.browser(source=f"198.51.100.{number}"))[0] for number in range(12)]

    assert statuses == [403] * 10 + [429] * 2
    assert attempt(house.browser(source="198.51.100.99"), "vic")[0] == 403


def test_strangers_cannot_lock_out_somebody_from_where_they_are_known(house: House, signed_in: TestClient) -> None:
    for number in range(12):
        attempt(house.browser(source=f"198.51.100.{number}"))

    assert sign_in(signed_in).status_code == 303


def test_names_that_nobody_has_are_guarded_alike(house: House) -> None:
    statuses = [attempt(house.browser(source=f"198.51.100.{number}"), "nobody")[0] for number in range(12)]

    assert statuses == [403] * 10 + [429] * 2


def test_the_longest_wait_is_bounded_and_forgotten_after_an_hour() -> None:
    now = NOW
    tries = Tries(2, lambda: now)
    for _ in range(99):
        tries.fail("a source")

    assert tries.wait("a source") == LONGEST
    now += HOUR + SECOND
    assert tries.wait("a source") == timedelta()


def test_only_so_many_are_remembered() -> None:
    tries = Tries(1, lambda: NOW)
    for number in range(MOST_KNOWN + 1):
        tries.fail(str(number))

    assert [bool(tries.wait(one)) for one in ("0", "1", str(MOST_KNOWN))] == [False, True, True]


def test_passwords_are_checked_one_at_a_time_and_few_wait(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, at_once, stretch, app = threading.Event(), [0, 0], hashlib.scrypt, house.app()

    def slow(*words: Any, **cost: Any) -> bytes:
        at_once[0] += 1
        at_once[1] = max(at_once)
        gate.wait(5)
        at_once[0] -= 1
        return stretch(*words, **cost)

    async def crowd() -> list[int]:
        forms = [urlencode({"name": f"name{number}", "password": "wrong"}) for number in range(MOST_WAITING + 5)]
        tasks = [
            asyncio.create_task(call(app, "/login", FORM, [form.encode()], f"198.51.100.{number}"))
            for number, form in enumerate(forms)
        ]
        for _ in range(99):
            await asyncio.sleep(0)  # until all stand where they stay
        gate.set()
        return sorted(status for status, _, _ in await asyncio.gather(*tasks))

    monkeypatch.setattr(hashlib, "scrypt", slow)
    statuses = asyncio.run(crowd())

    assert (statuses, at_once[1]) == ([403] * MOST_WAITING + [429] * 5, 1)


def test_the_log_says_from_where_somebody_was_not_let_in(browser: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    attempt(browser, "kanarienvogel")

    wrong = f"somebody at {STRANGER} was not let in: the name or the password is not right"
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [wrong]


def test_that_a_source_has_to_wait_is_logged_once_in_a_quarter_of_an_hour(
    house: House, browser: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    said = []
    for later in (timedelta(), timedelta(minutes=14), timedelta(minutes=1)):
        house.now += later
        for _ in range(7):
            attempt(browser)
        said.append(caplog.text.count(f"whoever signs in from {STRANGER} has to wait"))

    assert said == [1, 1, 2]


def test_what_became_of_tries_is_counted(house: House, browser: TestClient) -> None:
    attempt(browser)
    sign_in(browser)

    assert [house.counts.get("logins_total", outcome=one) for one in ("refused", "let_in")] == [1, 1]


# ------------------------------------------------------------------ by a proxy
@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[House]:
    house = House(logins_in(tmp_path), user_header=USER)
    yield house
    house.login.close()


def through(house: House, source: str = PROXY, proxies: str = PROXY) -> TestClient:
    return house.browser("http://bridge.example", source, proxies=proxies, header=USER)


@pytest.mark.parametrize(("name", "who"), [("pam", "pam viewer"), ("ANA", "ana operator")])
def test_whom_a_proxy_names_comes_in_with_the_role_of_the_file(proxied: House, name: str, who: str) -> None:
    answer = through(proxied).get("/", headers={USER: name})

    assert (answer.status_code, " ".join(answer.text.split()[:2])) == (200, who)


@pytest.mark.parametrize("forwarded", [{}, {"x-forwarded-for": PROXY}, {"x-forwarded-for": "10.0.0.9, 127.0.0.1"}])
@pytest.mark.parametrize("source", [STRANGER, "::1", "127.0.0.2", "testclient"])
def test_nobody_else_can_name_anybody(proxied: House, forwarded: dict[str, str], source: str) -> None:
    for header in (USER, USER.lower(), USER.upper()):
        answer = through(proxied, source).get("/", headers={header: "ana", **forwarded})
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")


@pytest.mark.parametrize("address", ["203.0.113.9", STRANGER])
def test_behind_a_proxy_the_name_comes_from_the_connection_not_from_the_client(proxied: House, address: str) -> None:
    answer = through(proxied).get("/", headers={USER: "pam", "x-forwarded-for": address, "x-forwarded-proto": "https"})

    assert answer.text.startswith("pam viewer")


def test_a_network_of_proxies_may_name_people(proxied: House) -> None:
    browser = through(proxied, "10.0.0.7", "192.0.2.1, 10.0.0.0/24")

    assert browser.get("/", headers={USER: "pam"}).status_code == 200


@pytest.mark.parametrize("names", [["ana", "vic"], ["ana", "ana"], [""], [" "], ["ana, vic"], ["<ana>"]])
def test_a_header_that_names_nobody_or_several_lets_nobody_in(proxied: House, names: list[str]) -> None:
    answer = through(proxied).get("/", headers=[(USER, name) for name in names])

    assert (answer.status_code, "did not say who you are" in answer.text) == (403, True)


def test_somebody_whom_the_file_does_not_name_learns_how_to_be_let_in(proxied: House) -> None:
    answer = through(proxied).get("/", headers={USER: "eve@x.example"})

    assert answer.status_code == 403
    assert "recovery-bridge login add eve@x.example --no-password" in answer.text


def test_forms_of_people_by_a_proxy_are_their_own_and_end_with_their_role(proxied: House) -> None:
    def csrf(name: str) -> str:
        return through(proxied).get("/", headers={USER: name}).text.split()[2]

    before = csrf("pam")

    assert before == csrf("pam") != csrf("ana")
    proxied.logins.put(entry("pam", Role.OPERATOR))
    assert csrf("pam") != before


def test_people_with_a_password_sign_in_beside_the_proxy(proxied: House) -> None:
    browser = through(proxied, STRANGER)
    sign_in(browser)

    assert who(browser) == "ana operator"


def test_whoever_comes_round_the_proxy_is_sent_back(proxied: House) -> None:
    for name in ("ana", "vic"):
        proxied.logins.remove(name)

    answer = through(proxied, STRANGER).get("/login")

    assert (answer.status_code, "come by the proxy" in answer.text) == (403, True)


def test_without_a_header_in_the_settings_no_proxy_names_anybody(house: House) -> None:
    answer = house.browser(source=PROXY, proxies=PROXY).get("/", headers={USER: "ana"})

    assert answer.status_code == 303


@pytest.mark.parametrize("proxies", ["", "*", "proxy.example", "10.0.0.1, x"])
def test_a_header_needs_the_address_of_a_proxy(house: House, proxies: str) -> None:
    with pytest.raises(SettingsError, match="--proxy"):
        behind(house.app(), proxies, USER)


@pytest.mark.parametrize(("proxies", "status"), [(PROXY, 200), ("10.0.0.1", 303)])
def test_the_server_itself_looks_at_who_is_connected(proxied: House, proxies: str, status: int) -> None:
    with (
        socket.create_server((PROXY, 0)) as listening,
        web_server(proxied.app(), listening, proxies=proxies, user_header=USER),
        closing(HTTPConnection(*listening.getsockname(), timeout=20)) as connection,
    ):
        connection.request("GET", "/", headers={USER: "pam", "X-Forwarded-For": "192.0.2.1"})
        answer = connection.getresponse()

        assert answer.status == status


def test_https_of_a_proxy_makes_the_cookie_a_secure_one(house: House) -> None:
    form = {"name": "ana", "password": PASSWORDS["ana"]}
    browser = house.browser("http://bridge.example", PROXY, proxies=PROXY)

    cookie = browser.post("/login", data=form, headers={"x-forwarded-proto": "https"}).headers["set-cookie"]

    assert re.match(r"__Host-recovery-bridge=\S+; .*Secure", cookie)
