"""Notes: placeholders are filled once, and nothing that a customer wrote is more than plain text."""

from __future__ import annotations

import pytest

from bridge.rules import inert
from bridge.rules.notes import NoteError, parse_note


def test_placeholders_are_filled_and_fall_back() -> None:
    note = parse_note('{customer_first_name|The customer} rated {rating_text}: "{ comment | no comment }" {reason}')

    assert note.render({"customer_first_name": "Mia", "rating_text": "bad", "comment": "Slow", "reason": "Other"}) == (
        'Mia rated bad: "Slow" Other'
    )
    assert note.render({"rating_text": "bad", "comment": "", "reason": None}) == (
        'The customer rated bad: "no comment" '
    )


def test_what_a_customer_wrote_is_never_filled_in_again() -> None:
    note = parse_note("{comment} / {customer_name}")

    assert note.render({"comment": "{customer_name} {ticket_id|x}", "customer_name": "{comment}"}) == (
        "{customer_name} {ticket_id|x} / {comment}"
    )


def test_two_values_side_by_side_cannot_make_a_helpdesk_placeholder() -> None:
    note = parse_note("{comment}{reason}ticket.id{reason}%")

    assert "{{" not in note.render({"comment": "a{", "reason": "{"})
    assert "{%" not in note.render({"comment": "a", "reason": "{"})


def test_values_are_made_inert_even_if_nobody_did_before() -> None:
    assert parse_note("{comment}").render({"comment": "a\n\n{{ticket.id}} https://evil.example"}) == (
        "a { {ticket.id} } https[:]//evil.example"
    )


def test_the_number_of_days_of_bad_ratings_is_free() -> None:
    assert parse_note("{bad_ratings_30d} and {bad_ratings_365d|some}").fields == {"bad_ratings_30d", "bad_ratings_365d"}


@pytest.mark.parametrize(
    ("text", "message", "suggestion"),
    [
        ("Dear {customer_nam}", 'unknown placeholder "customer_nam", did you mean "customer_name"?', "customer_name"),
        ("{Comment}", 'did you mean "comment"?', "comment"),
        ("{comment.upper}", 'unknown placeholder "comment.upper"', "comment"),
        ("{bad_ratings_0d}", "unknown placeholder", "bad_ratings_90d"),
        ("a { b", "a { on its own", None),
        ("a } b", "a } on its own", None),
        ("{{ticket.id}}", "placeholders of the helpdesk", "ticket_id"),
        ("{% if x %}", "placeholders of the helpdesk", None),
        ("x" * 10_001, "at most 10,000", None),
    ],
)
def test_anything_else_in_braces_is_a_mistake(text: str, message: str, suggestion: str | None) -> None:
    with pytest.raises(NoteError) as caught:
        parse_note(text)

    assert message in str(caught.value)
    assert caught.value.faults[0].suggestion == suggestion


def test_all_faults_of_a_note_are_told_at_once() -> None:
    with pytest.raises(NoteError) as caught:
        parse_note("{coment} {resaon} {comment")

    assert [fault.suggestion for fault in caught.value.faults] == ["comment", "reason", None]


@pytest.mark.parametrize(
    ("wild", "tame"),
    [
        ("  several\r\n lines\tand\u00a0spaces \u2028 ", "several lines and spaces"),
        ("nul\x00 bell\x07 esc\x1b[31m", "nul bell esc[31m"),
        ("\u202eevil\u202c \u2066x\u2069 \u200bzero\u200d \ufeffbom", "evil x zero bom"),
        ("{{ticket.id}} {%raw%}", "{ {ticket.id} } { %raw% }"),
        ("{\u200b{ticket}\u200b}", "{ {ticket} }"),
        ("{{{{a}}}}", "{ { { {a} } } }"),
        ("see https://evil.example/x?y=1", "see https[:]//evil.example/x?y=1"),
        ("HTTP://A and ftp://b and www.c.example", "HTTP[:]//A and ftp[:]//b and www[.]c.example"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),  # escaping is the connector's job
        ("=cmd|' /C calc'!A0", "=cmd|' /C calc'!A0"),
        ("lone \ud800 surrogate", "lone surrogate"),
        ("Gr\u00fc\u00dfe \u4f60\u597d \U0001f600", "Gr\u00fc\u00dfe \u4f60\u597d \U0001f600"),
        ("", ""),
    ],
)
def test_customers_words_become_harmless_plain_text(wild: str, tame: str) -> None:
    assert inert(wild) == tame


@pytest.mark.parametrize("limit", [0, 1, 5, 500])
def test_long_texts_are_cut_with_an_ellipsis(limit: int) -> None:
    cut = inert("word " * 20_000, limit)

    assert len(cut) <= limit
    assert cut.endswith("\N{HORIZONTAL ELLIPSIS}") or limit == 0


def test_what_fits_is_not_cut() -> None:
    assert inert("x" * 500) == "x" * 500
    assert inert("a" + " " * 2_000 + "b", 50) == "a" + "\N{HORIZONTAL ELLIPSIS}"


def test_making_text_inert_twice_changes_nothing_more() -> None:
    once = inert("{{a}} https://b \u202e www.c.example {%x%} }}}")

    assert inert(once) == once
