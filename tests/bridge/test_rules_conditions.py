"""Conditions: which facts meet each of them, what missing facts do, and what a verdict and its trace say."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bridge.model import REQUEST, Category, Directory, Rating, Requester, Status, Ticket
from bridge.rules import Facts, Rules, check, facts_of

NOW = datetime(2026, 3, 9, 10, tzinfo=UTC)
DAY = timedelta(days=1)
FILE = """\
version: 1
accounts:
  acme: {connector: zendesk, url: https://acme.zendesk.com}
  shop: {connector: freshdesk, url: https://shop.freshdesk.com}
playbooks:
  standard: {}
rules:
"""
FACTS = Facts(
    category=Category.BAD,
    point=2.0,
    rated_at=NOW - 2 * DAY,
    now=NOW,
    account="acme",
    comment="I want a REFUND, it is\n still   broken. Don\u2019t call.",
    comment_present=True,
    reason="Too Slow",
    bad_rated_at=(NOW - 100 * DAY, NOW - 20 * DAY, NOW - 2 * DAY),
    tags=("VIP", "billing"),
    channel="email",
    group="Support",
    brand="Acme Pro",
    priority="high",
    customer_tags=("enterprise",),
    organization_tags=(),
    language="de-AT",
    reopens=2,
)
UNKNOWN = replace(
    FACTS,
    **dict.fromkeys(
        ("tags", "channel", "group", "brand", "priority", "customer_tags", "organization_tags", "language")
    ),
    reopens=None,
)


def rules_of(*rules: str, ignore: str = "") -> Rules:
    """Rules from lines such as `{rating: bad}, unless: {...}`; their names are A, B, C, ..."""
    entries = "".join(f"  - {{name: {chr(65 + n)}, playbook: standard, when: {r}}}\n" for n, r in enumerate(rules))
    ignored = f"ignore:\n  - {{name: I, when: {ignore}}}\n" if ignore else ""
    found, problems = check(FILE + entries + ignored)
    assert found is not None, [problem.headline for problem in problems]
    return found


def holds(when: str, facts: Facts = FACTS) -> bool:
    return rules_of(when).decide(facts).kind == "matched"


MET = [
    "{rating: bad}",
    "{rating: BAD}",
    "{rating: [neutral, bad]}",
    "{rating: {any_of: [bad]}}",
    "{rating: {none_of: [good]}}",
    "{rating: {at_most: 2}}",
    "{rating: {at_least: 2, at_most: 2.0}}",
    "{reason: too slow}",
    "{reason: {any_of: [Other, TOO   SLOW]}}",
    "{reason: {none_of: [Other]}}",
    "{comment: {present: true}}",
    "{comment: {mentions: [refund]}}",
    "{comment: {mentions: [Still Broken]}}",
    '{comment: {mentions: ["don\'t call"]}}',
    "{comment: {mentions: {de: [refund], en: [cash]}}}",
    "{comment: {mentions: {fr: [argent], en: [refund]}}}",
    "{tags: {has: vip}}",
    "{tags: {has_any: [spam, Billing]}}",
    "{tags: {has_all: [vip, billing]}}",
    "{tags: {has_none: [spam]}}",
    "{tags: {has: vip, has_none: [spam]}}",
    "{customer_tags: {has: enterprise}}",
    "{organization_tags: {has_none: [trial]}}",
    "{channel: email}",
    "{channel: {none_of: [chat, phone]}}",
    "{group: support}",
    "{brand: acme pro}",
    "{product: Acme Pro}",
    "{priority: [high, urgent]}",
    "{language: de}",
    "{language: de_at}",
    "{language: {none_of: [en]}}",
    "{account: ACME}",
    "{reopens: {at_least: 2}}",
    "{rated: {older_than: 1d}}",
    "{rated: {newer_than: 2d 1h}}",
    "{bad_ratings_90d: {at_least: 2}}",
    "{bad_ratings_90d: {at_most: 2}}",
    "{bad_ratings_365d: {at_least: 3}}",
    "{bad_ratings_1d: {at_least: 1}}",
    "{any: [{rating: good}, {channel: email}]}",
    "{rating: bad, any: [{tags: {has: spam}}, {reopens: {at_least: 1}, group: Support}]}",
    "{rating: bad}, unless: {channel: chat}",
    "{rating: bad}, unless: {channel: email, group: Sales}",
    "{rating: bad}, unless: {any: [{channel: chat}, {channel: phone}]}",
]
NOT_MET = [
    "{rating: good}",
    "{rating: {none_of: [bad, neutral]}}",
    "{rating: {at_most: 1.99}}",
    "{rating: {any_of: [bad], at_least: 3}}",
    "{reason: slow}",
    "{comment: {present: false}}",
    "{comment: {mentions: [fund]}}",
    "{comment: {mentions: [refunds]}}",
    "{comment: {mentions: [broken still]}}",
    "{comment: {mentions: {de: [geld], en: [refund]}}}",
    "{comment: {present: false, mentions: [refund]}}",
    "{tags: {has: v}}",
    "{tags: {has_all: [vip, spam]}}",
    "{tags: {has_none: [spam, vip]}}",
    "{channel: [chat, web]}",
    "{language: at}",
    "{language: de-de}",
    "{language: {none_of: [de]}}",
    "{account: shop}",
    "{reopens: {at_most: 1}}",
    "{rated: {older_than: 2d}}",
    "{rated: {newer_than: 2d}}",
    "{bad_ratings_30d: {at_least: 3}}",
    "{any: [{rating: good}, {channel: chat}]}",
    "{rating: good, any: [{channel: email}]}",
    "{rating: bad}, unless: {channel: email}",
    "{rating: bad}, unless: {any: [{channel: chat}, {group: Support}]}",
]


@pytest.mark.parametrize("when", MET)
def test_a_condition_is_met(when: str) -> None:
    assert holds(when)


@pytest.mark.parametrize("when", NOT_MET)
def test_a_condition_is_not_met(when: str) -> None:
    assert not holds(when)


@pytest.mark.parametrize(
    "when",
    [
        *("{tags: {has_none: [x]}}", "{channel: {none_of: [chat]}}", "{brand: Acme Pro}", "{reopens: {at_most: 9}}"),
        *("{language: {none_of: [en]}}", "{customer_tags: {has_none: [x]}}", "{group: {none_of: [x]}}"),
    ],
)
def test_what_is_not_known_never_matches(when: str) -> None:
    assert holds(when)
    assert not holds(when, UNKNOWN)


@pytest.mark.parametrize("when", ["{reason: {none_of: [x]}}", "{comment: {mentions: [refund]}}"])
def test_what_the_customer_did_not_say_never_matches(when: str) -> None:
    assert not holds(when, replace(FACTS, reason=None, comment=None, comment_present=False))


def test_an_exception_that_is_not_known_does_not_apply() -> None:
    assert holds("{rating: bad}, unless: {channel: email}", UNKNOWN)


def test_without_a_language_all_word_lists_count() -> None:
    assert holds("{comment: {mentions: {fr: [argent], es: [refund]}}}", UNKNOWN)


@pytest.mark.parametrize(
    ("comment", "word", "found"),
    [
        ("STRASSE kaputt", "stra\u00dfe", True),
        ("\uff32\uff25\uff26\uff35\uff2e\uff24!", "refund", True),
        ("un cafe\u0301 froid", "caf\u00e9", True),
        ("re\u00adfund", "refund", True),
        ("\u89e3\u7d04\u3057\u305f\u3044", "\u89e3\u7d04", True),
        ("my lawyers", "lawyer", False),
        ("C++ is bad", "C++", True),
        ("ab-cd", "cd", True),
        ("snake_case", "case", False),
    ],
)
def test_words_are_found_whatever_their_writing_but_not_inside_others(comment: str, word: str, found: bool) -> None:
    assert holds(f'{{comment: {{mentions: ["{word}"]}}}}', replace(FACTS, comment=comment)) is found


def test_words_of_an_admin_are_no_patterns() -> None:
    assert not holds('{comment: {mentions: ["ref+nd", "re?und", "(a+)+b"]}}')


def test_bad_ratings_are_counted_around_this_rating_not_around_today() -> None:
    late = replace(FACTS, rated_at=NOW - 20 * DAY, bad_rated_at=(NOW - 20 * DAY,))

    assert holds("{bad_ratings_7d: {at_least: 1}}", late)


# ------------------------------------------------------------------ what agents ask for
REQUESTED = replace(FACTS, requested=True, comment=None, comment_present=False, reason=None)


@pytest.mark.parametrize(
    ("when", "of_rating", "of_request"),
    [
        ("{requested: true}", False, True),
        ("{requested: true, tags: {has: vip}}", False, True),
        ("{requested: true, tags: {has: spam}}", False, False),
        ("{requested: false}", True, False),
        ("{rating: bad}", True, False),
        ("{tags: {has: vip}}", True, False),
        ("{channel: {none_of: [chat]}}", True, False),
        ("{bad_ratings_90d: {at_least: 1}}", True, False),
        ("{any: [{requested: true}, {channel: email}]}", True, True),
        ("{any: [{requested: true, channel: chat}, {channel: email}]}", True, False),
        ("{requested: true, any: [{channel: chat}, {channel: email}]}", False, True),
        ("{rating: bad}, unless: {requested: true}", True, False),
        ("{requested: true}, unless: {tags: {has: vip}}", False, False),
    ],
)
def test_a_request_of_an_agent_matches_only_rules_that_name_requested(
    when: str, of_rating: bool, of_request: bool
) -> None:
    assert (holds(when), holds(when, REQUESTED)) == (of_rating, of_request)


@pytest.mark.parametrize(
    ("ignore", "of_rating", "of_request"),
    [
        ("{tags: {has: vip}}", True, True),
        ("{customer_tags: {has: enterprise}}", True, True),
        ("{rating: bad}", True, False),
        ("{rated: {older_than: 1d}}", True, False),
        ("{comment: {present: true}}", True, False),
        ("{reason: Too slow, tags: {has: vip}}", True, False),
        ("{any: [{rating: good}, {channel: email}]}", True, True),
        ("{rating: bad, any: [{channel: email}, {channel: chat}]}", True, False),
        ("{requested: true}", False, True),
    ],
)
def test_what_is_ignored_because_of_its_rating_leaves_requests_alone(
    ignore: str, of_rating: bool, of_request: bool
) -> None:
    rules = rules_of("{rating: bad}", "{requested: true}", ignore=ignore)

    found = [rules.decide(facts).kind == "ignored" for facts in (FACTS, REQUESTED)]

    assert found == [of_rating, of_request]


def test_a_click_without_words_may_be_ignored_and_a_request_has_none() -> None:
    rules = rules_of("{requested: true}", ignore="{comment: {present: false}}")

    assert rules.decide(REQUESTED).reason == 'matched "A"'


def test_a_trace_says_why_a_request_is_not_for_a_rule_and_says_nothing_of_it_otherwise() -> None:
    rules = rules_of("{rating: bad}")

    [of_request], [of_rating] = (
        [
            (line.field, line.wanted, line.seen, line.holds)
            for line in rules.trace(facts)[0].lines
            if line.field != "rating"
        ]
        or ["nothing"]
        for facts in (REQUESTED, FACTS)
    )

    assert of_request == ("requested", "false (the rule does not name it)", "true", False)
    assert of_rating == "nothing"


def test_a_request_is_not_looked_at_if_no_rule_could_want_it() -> None:
    unread = replace(REQUESTED, tags=None)

    assert not rules_of("{tags: {has: vip}}").could_match(unread)
    assert rules_of("{requested: true, tags: {has: vip}}").could_match(unread)


def test_stored_facts_remember_that_an_agent_asked() -> None:
    stored: dict[str, Any] = REQUESTED.as_dict()
    assert Facts.from_dict(stored) == REQUESTED
    del stored["requested"]

    assert Facts.from_dict(stored).requested is False


# ------------------------------------------------------------------ verdicts and traces
def test_the_first_rule_that_matches_wins_and_ignore_comes_before_all() -> None:
    rules = rules_of("{rating: good}", "{rating: bad}", "{tags: {has: vip}}", ignore="{channel: chat}")

    assert rules.decide(FACTS).reason == 'matched "B"'
    assert rules.decide(FACTS).rule is rules.rules[1]
    assert rules.decide(replace(FACTS, channel="chat")).reason == 'ignored by "I"'
    assert rules.decide(replace(FACTS, category=Category.NEUTRAL, tags=())).kind == "no_rule"


def test_a_trace_shows_every_condition_with_what_it_saw() -> None:
    rules = rules_of("{rating: bad, any: [{channel: chat}, {reopens: {at_least: 3}}]}, unless: {tags: {has: spam}}")

    [traced] = rules.trace(replace(FACTS, channel=None))

    assert (traced.kind, traced.name, traced.matches) == ("rule", "A", False)
    assert [(line.part, line.field, line.wanted, line.seen, line.holds) for line in traced.lines] == [
        ("when", "rating", "bad", "bad", True),
        ("when, any 1", "channel", "chat", "not known", None),
        ("when, any 2", "reopens", "at_least 3", "2", False),
        ("unless", "tags", "has spam", "VIP, billing", False),
    ]


def test_a_trace_never_repeats_the_customers_words() -> None:
    [traced] = rules_of("{comment: {mentions: [refund]}}").trace(FACTS)

    assert [line.seen for line in traced.lines] == ["a comment"]


def test_stored_facts_decide_again_without_the_words() -> None:
    rules = rules_of("{comment: {mentions: [refund]}}", "{rating: bad, tags: {has: vip}}")
    stored = FACTS.as_dict()

    assert "comment" not in stored
    assert Facts.from_dict(stored, comment=FACTS.comment) == FACTS
    assert rules.decide(Facts.from_dict(stored, comment=FACTS.comment)).reason == 'matched "A"'
    assert rules.trace(Facts.from_dict(stored))[0].lines[0].holds is None
    assert rules.decide(Facts.from_dict(UNKNOWN.as_dict(), comment="no")).kind == "no_rule"


def test_facts_that_another_version_stored_are_still_read() -> None:
    stored: dict[str, Any] = FACTS.as_dict() | {"mood": "grim"}
    del stored["reopens"]

    assert Facts.from_dict(stored).reopens is None


# ------------------------------------------------------------------ facts of a rating
RATING = Rating("31", "7", Category.BAD, 2, 5, NOW - DAY, NOW, "  ", "Too slow", "c1", "a1", "g1")


def test_facts_come_from_the_rating_the_ticket_and_the_directory() -> None:
    customer = Requester("c1", "Mia", language="de", tags=frozenset({"vip"}), organization_tags=frozenset({"gold"}))
    ticket = Ticket("7", Status.SOLVED, NOW, NOW, tags=("a",), group_id="g1", channel="email", requester=customer)
    directory = Directory(NOW, {}, {"g1": "Support"})

    facts = facts_of(RATING, ticket, directory, account="acme", bad_rated_at=[NOW], now=NOW)

    assert (facts.point, facts.reason, facts.comment_present) == (2.0, "Too slow", False)
    assert (facts.group, facts.channel, facts.tags, facts.language) == ("Support", "email", ("a",), "de")
    assert (facts.customer_tags, facts.organization_tags) == (("vip",), ("gold",))


def test_without_a_ticket_its_facts_are_not_known() -> None:
    facts = facts_of(RATING, None, None, account="acme", bad_rated_at=(), now=NOW)

    assert {facts.tags, facts.channel, facts.group, facts.brand, facts.customer_tags, facts.reopens} == {None}


def test_what_stands_for_a_rating_where_an_agent_asked_is_a_request() -> None:
    asked = replace(RATING, rating_id=f"{REQUEST}7")

    of_both = [facts_of(one, None, None, account="acme", bad_rated_at=(), now=NOW).requested for one in (RATING, asked)]

    assert of_both == [False, True]
