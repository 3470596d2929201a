"""The survey page as a customer, a mail scanner and somebody with bad intentions meet it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
import yaml
from starlette.testclient import TestClient

from bridge.web.forms import BODY_MAX
from bridge.web.survey_page import COMMENT_MAX, HERE, REQUESTS_PER_MINUTE, accepted_languages
from tests.web.survey_states import LINKS, Desk, path

WORDS = yaml.safe_load((HERE / "survey_words.yaml").read_text(encoding="utf-8"))
EN = WORDS["en"]
ALTERED = path()[:-3] + "AAA"
CLOSED = [  # link, status, the words that say why
    (path("over"), 410, "over"),
    (path("settled"), 403, "settled"),
    (path(days=-1), 410, "over"),
    (ALTERED, 404, "unknown"),
    ("/survey/x", 404, "unknown"),
    ("/survey/" + "x" * 5000, 404, "unknown"),
    (path("down"), 503, "later"),
]


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def browser(desk: Desk) -> Iterator[TestClient]:
    with TestClient(desk.app()) as client:
        yield client


def test_the_page_asks_one_question_with_five_answers(browser: TestClient) -> None:
    page = browser.get(path(brand="Acme & Sons"))

    assert page.status_code == 200
    assert EN["question"] in page.text
    assert all(choice in page.text for choice in EN["choices"])
    assert page.text.count('type="radio"') == 5
    assert "Acme &amp; Sons" in page.text


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_following_the_link_records_nothing(desk: Desk, browser: TestClient, method: str) -> None:
    for query in ("", "?value=1", "?value=1&comment=x"):
        browser.request(method, path() + query, headers={"Sec-Purpose": "prefetch"})

    assert desk.kept == {}


@pytest.mark.parametrize("value", [1, 2, 3, 4, 5])
def test_an_answer_is_kept_and_thanked_for(desk: Desk, browser: TestClient, value: int) -> None:
    page = browser.post(path(), data={"value": value, "comment": " It <b>works</b>\r\nnow\x00 "})

    assert desk.kept == {"c0ffee42": (value, "It <b>works</b>\nnow")}
    assert page.status_code == 200
    assert EN["thanks"] in page.text
    assert EN["choices"][value - 1] in page.text
    assert "It &lt;b&gt;works&lt;/b&gt;" in page.text


def test_an_answer_needs_no_words(desk: Desk, browser: TestClient) -> None:
    browser.post(path(), data={"value": "5", "comment": "  "})

    assert desk.kept == {"c0ffee42": (5, None)}


def test_who_has_answered_finds_the_answer_and_can_change_it(desk: Desk, browser: TestClient) -> None:
    browser.post(path(), data={"value": "2", "comment": "Private words"})

    page = browser.get(path())
    browser.post(path(), data={"value": "4"})

    assert re.search(r'value="2" required checked', page.text)
    assert EN["answered"] in page.text
    assert "Private words" not in page.text
    assert desk.kept["c0ffee42"][0] == 4


@pytest.mark.parametrize("sent", [{}, {"value": ""}, {"value": "6"}, {"value": "0"}, {"value": "5.0"}, {"value": "x"}])
def test_an_answer_without_a_choice_is_asked_for_again(desk: Desk, browser: TestClient, sent: dict[str, str]) -> None:
    page = browser.post(path(), data={**sent, "comment": "Where do I click?"})

    assert page.status_code == 422
    assert EN["choose"] in page.text
    assert "Where do I click?" in page.text
    assert desk.kept == {}


def test_words_that_are_too_long_are_given_back_whole(desk: Desk, browser: TestClient) -> None:
    longest = "\u5b57" * COMMENT_MAX

    page = browser.post(path(), data={"value": "3", "comment": f"{longest}!"})

    assert page.status_code == 422
    assert EN["shorten"] in page.text
    assert f"{longest}!" in page.text
    assert re.search(r'value="3" required checked', page.text)
    assert browser.post(path(), data={"value": "3", "comment": longest}).status_code == 200


@pytest.mark.parametrize(("link", "status", "why"), CLOSED)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_question_that_takes_no_answer_says_so_kindly(
    browser: TestClient, method: str, link: str, status: int, why: str
) -> None:
    page = browser.request(method, link)

    assert page.status_code == status
    assert method == "HEAD" or (EN[why] in page.text and "<form" not in page.text)
    assert method == "HEAD" or why == "later" or EN["reply"] in page.text


@pytest.mark.parametrize(("link", "status", "why"), CLOSED)
def test_a_question_that_takes_no_answer_keeps_none(
    desk: Desk, browser: TestClient, link: str, status: int, why: str
) -> None:
    assert browser.post(link, data={"value": "1"}).status_code == status
    assert desk.kept == {}


def test_while_the_store_is_down_nobody_is_thanked_and_no_words_are_lost(desk: Desk, browser: TestClient) -> None:
    desk.down = True

    page = browser.post(path(), data={"value": "4", "comment": "My words"})

    assert page.status_code == 503
    assert EN["later"] in page.text and EN["thanks"] not in page.text
    assert "My words" in page.text
    assert re.search(r'value="4" required checked', page.text)
    desk.down = False
    assert browser.post(path(), data={"value": "4", "comment": "My words"}).status_code == 200


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("application/json", b'{"value": 1}', 415),
        ("multipart/form-data; boundary=x", b"--x", 415),
        ("application/x-www-form-urlencoded", b"value=1&comment=" + b"x" * BODY_MAX, 413),
        ("application/x-www-form-urlencoded", b"&".join(b"a%d=1" % n for n in range(11)), 422),
        ("application/x-www-form-urlencoded; charset=utf-8", b"value=\xff\xfe", 422),
    ],
)
def test_what_is_not_our_form_is_refused(desk: Desk, browser: TestClient, kind: str, body: bytes, status: int) -> None:
    assert browser.post(path(), content=body, headers={"Content-Type": kind}).status_code == status
    assert desk.kept == {}


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods_are_refused(browser: TestClient, method: str) -> None:
    assert browser.request(method, path()).status_code == 405


def test_a_link_that_is_asked_too_often_rests_for_a_minute_and_others_do_not(desk: Desk, browser: TestClient) -> None:
    seen = [browser.get(path()).status_code for _ in range(REQUESTS_PER_MINUTE + 1)]

    refused = browser.post(path(), data={"value": "1"})
    assert (seen[-2:], refused.status_code, refused.headers["retry-after"]) == ([200, 429], 429, "60")
    assert (browser.get(path("another")).status_code, desk.kept) == (200, {})
    desk.now += timedelta(minutes=1)
    assert browser.get(path()).status_code == 200


@pytest.mark.parametrize(("link", "status"), [(path(), 200), *((link, status) for link, status, _ in CLOSED)])
def test_every_answer_keeps_to_itself(browser: TestClient, link: str, status: int) -> None:
    found = browser.get(link)

    assert found.status_code == status
    assert found.headers["cache-control"] == "no-store"
    assert found.headers["referrer-policy"] == "no-referrer"
    assert found.headers["x-content-type-options"] == "nosniff"
    assert "noindex" in found.headers["x-robots-tag"]
    policy = found.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert "set-cookie" not in found.headers
    assert not re.search(r"<script|\son\w+=|https?://", found.text)


def test_no_page_repeats_the_link_or_the_case(browser: TestClient) -> None:
    token = path().rpartition("/")[2]

    for page in (browser.get(path()), browser.post(path(), data={"value": "1"}), browser.get(ALTERED)):
        assert token not in page.text and "c0ffee42" not in page.text


@pytest.mark.parametrize(
    ("of_customer", "browser_wants", "spoken"),
    [
        ("de-AT", "fr", "de"),
        ("pt-BR", "", "pt-BR"),
        ("pt", "", "pt-BR"),
        ("tlh", "ar-EG,en;q=0.5", "ar"),
        (None, "en;q=0.2, he-IL;q=0.9", "he"),
        (None, "ja", "ja"),
        (None, "fr;q=0, tlh", "en"),
        (None, "", "en"),
    ],
)
def test_the_page_speaks_the_customer_s_language(
    browser: TestClient, of_customer: str | None, browser_wants: str, spoken: str
) -> None:
    page = browser.get(path(language=of_customer), headers={"Accept-Language": browser_wants})

    direction = "rtl" if spoken in ("ar", "he") else "ltr"
    assert f'<html lang="{spoken}" dir="{direction}">' in page.text
    assert page.headers["content-language"] == spoken
    assert WORDS[spoken.lower()]["question"] in page.text


def test_a_browser_s_wishes_are_read_in_their_order() -> None:
    assert accepted_languages("de;q=0.5, fr, *;q=x, it;q=0, es;q=0.7") == ["fr", "es", "de"]


@pytest.mark.parametrize("language", WORDS)
def test_every_language_says_everything(language: str) -> None:
    words = WORDS[language]

    assert set(words) - {"dir"} == set(EN)
    assert len(set(words["choices"])) == 5
    assert all(text.strip() == text and text for text in (*words.values(),) if isinstance(text, str))
    assert language == "en" or words["question"] != EN["question"]


def test_the_page_lives_below_the_path_that_the_rules_name(desk: Desk) -> None:
    with TestClient(desk.app("/recovery/")) as browser:
        assert browser.get(f"/recovery{path()}").status_code == 200


def test_an_old_link_without_language_and_brand_still_works() -> None:
    token = path().rpartition("/")[2]

    found = LINKS.read(token, Desk().now)
    assert (found.language, found.brand) == (None, None)
