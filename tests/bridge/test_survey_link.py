"""The signed link to our own question: it says whose answer it is, ends by itself, and nobody can make one up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bridge.survey_link import BadLinkError, ExpiredLinkError, Invitation, SurveyLinks

NOW = datetime(2026, 3, 9, 9, 0, tzinfo=UTC)
WEEK = timedelta(days=7)
INVITATION = Invitation("c0ffee42", 1, NOW + WEEK)
LINKS = SurveyLinks("a key of this installation", "https://recovery.example.com/")


def token(invitation: Invitation = INVITATION, by: SurveyLinks = LINKS) -> str:
    return by.link(invitation).rpartition("/")[2]


def test_a_link_leads_to_the_page_and_says_whose_answer_it_is() -> None:
    link = LINKS.link(INVITATION)

    assert link.startswith("https://recovery.example.com/survey/")
    assert LINKS.read(token(), NOW) == INVITATION


@pytest.mark.parametrize(
    ("language", "brand"), [("de-AT", "Acme"), (None, "\u30a2\u30af\u30e1"), ("ar", None), (None, None)]
)
def test_a_link_says_how_its_page_is_to_look(language: str | None, brand: str | None) -> None:
    invitation = Invitation("c0ffee42", 1, NOW + WEEK, language, brand)

    assert LINKS.read(token(invitation), NOW) == invitation


def test_a_link_stays_short_whatever_the_brand_is_called() -> None:
    longest = Invitation("c0ffee42", 1, NOW + WEEK, "pt-br", "".join(map(chr, range(0x4E00, 0x4E00 + 255))))

    assert len(LINKS.link(longest)) < 600


def test_a_link_that_has_expired_is_told_apart_from_one_that_was_altered() -> None:
    with pytest.raises(ExpiredLinkError):
        LINKS.read(token(), NOW + 2 * WEEK)
    with pytest.raises(BadLinkError) as altered:
        LINKS.read(f"{token()}x", NOW + 2 * WEEK)
    assert not isinstance(altered.value, ExpiredLinkError)


@pytest.mark.parametrize("attempt", [1, 2])
def test_each_attempt_has_a_link_of_its_own(attempt: int) -> None:
    assert LINKS.read(token(Invitation("c0ffee42", attempt, NOW + WEEK)), NOW).attempt == attempt


def test_a_link_works_until_its_time_is_over() -> None:
    assert LINKS.read(token(), NOW + WEEK) == INVITATION

    with pytest.raises(BadLinkError, match="over"):
        LINKS.read(token(), NOW + WEEK + timedelta(seconds=1))


@pytest.mark.parametrize("place", range(0, len(token()), 3))
def test_a_link_that_was_altered_anywhere_is_refused(place: int) -> None:
    whole = token()
    other = "A" if whole[place] != "A" else "B"

    with pytest.raises(BadLinkError):
        LINKS.read(whole[:place] + other + whole[place + 1 :], NOW)


@pytest.mark.parametrize(
    "text", ["", ".", "x", token()[:-1], token()[1:], f"{token()}x", "WyJhIiwxLDFd.AAAA", "\u00e9.\u00e9", "\x00"]
)
def test_what_is_no_link_of_ours_is_refused(text: str) -> None:
    with pytest.raises(BadLinkError, match="not one of ours"):
        LINKS.read(text, NOW)


def test_the_key_of_another_installation_makes_no_links_for_this_one() -> None:
    theirs = SurveyLinks("another key", "https://recovery.example.com")

    with pytest.raises(BadLinkError):
        LINKS.read(token(by=theirs), NOW)


def test_a_refusal_repeats_nothing_of_the_link() -> None:
    with pytest.raises(BadLinkError) as refused:
        LINKS.read(f"{token()}x", NOW)

    assert token() not in repr(refused.value)


def test_the_key_is_in_no_repr() -> None:
    assert "a key of" not in repr(LINKS)
