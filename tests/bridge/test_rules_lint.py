"""Warnings of `check`, and proofs by chance: what it claims about rules is never wrong."""

from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any

import pytest

from bridge.model import Category
from bridge.rules import Facts, Rules, check
from bridge.rules.facts import TICKET_FACTS

NOW = datetime(2026, 3, 9, 10, tzinfo=UTC)
HEAD = """\
version: 1
accounts: {acme: {connector: zendesk, url: https://acme.zendesk.com}}
playbooks: {standard: {}}
"""
LAST = "rating: bad"


def file_of(*rules: str, ignore: tuple[str, ...] = (), head: str = HEAD) -> str:
    """A file of rules such as `{rating: bad}, unless: {...}`, named A, B, C, ..."""
    entries = "".join(f"  - {{name: {chr(65 + n)}, playbook: standard, when: {r}}}\n" for n, r in enumerate(rules))
    ignored = "".join(f"  - {{name: I{n}, when: {entry}}}\n" for n, entry in enumerate(ignore))
    return f"{head}{'ignore:' if ignore else ''}\n{ignored}rules:\n{entries}"


def warnings_of(*rules: str, ignore: tuple[str, ...] = (), head: str = HEAD) -> list[str]:
    found, problems = check(file_of(*rules, ignore=ignore, head=head))
    assert found is not None, [problem.headline for problem in problems]
    assert all(problem.is_warning for problem in problems)
    return [problem.message for problem in problems]


NEVER_REACHED = [
    ("{rating: bad}", "{rating: bad, tags: {has: vip}}"),
    ("{rating: [bad, neutral]}", "{rating: bad}"),
    ("{rating: {at_most: 3}}", "{rating: {at_least: 1, at_most: 2}}"),
    ("{tags: {has_any: [a, b]}}", "{tags: {has: a}}"),
    ("{tags: {has_none: [a]}}", "{tags: {has_none: [a, b]}}"),
    ("{channel: {none_of: [chat]}}", "{channel: email}"),
    ("{language: de}", "{language: de-at}"),
    ("{comment: {present: true}}", "{comment: {mentions: [x]}}"),
    ("{comment: {mentions: [x, y]}}", "{comment: {mentions: [x]}}"),
    ("{comment: {mentions: [x, y]}}", "{comment: {mentions: {de: [x], en: [y]}}}"),
    ("{comment: {mentions: {de: [x, y], en: [x]}}}", "{comment: {mentions: [x]}}"),
    ("{rated: {older_than: 1d}}", "{rated: {older_than: 2d}}"),
    ("{bad_ratings_90d: {at_least: 2}}", "{bad_ratings_90d: {at_least: 3}}"),
    ("{any: [{channel: chat}, {channel: email}]}", "{channel: email, group: X}"),
    ("{rating: bad}, unless: {tags: {has: a}}", "{rating: bad, tags: {has_none: [a]}}"),
    ("{rating: bad}, unless: {channel: chat}", "{rating: bad, group: X}, unless: {channel: [chat, email]}"),
    ("{requested: true}", "{requested: true, tags: {has: a}}"),
    ("{any: [{requested: true}, {rating: bad}]}", "{requested: true}"),
    ("{tags: {has: a}}, unless: {requested: true}", "{tags: {has: a}}"),
]
REACHED = [
    ("{rating: bad, tags: {has: vip}}", "{rating: bad}"),
    ("{tags: {has: a}}", "{tags: {has_any: [a, b]}}"),
    ("{channel: {none_of: [chat]}}", "{rating: bad}"),
    ("{language: de-at}", "{language: de}"),
    ("{comment: {mentions: [x]}}", "{comment: {present: true}}"),
    ("{comment: {mentions: {de: [y], en: [x, z]}}}", "{comment: {mentions: {de: [x], en: [z]}}}"),
    ("{comment: {mentions: {de: [x], en: [y]}}}", "{comment: {mentions: [x]}}"),
    ("{tags: {has_any: [a]}}", "{tags: {has_none: [b]}}"),
    ("{bad_ratings_30d: {at_least: 2}}", "{bad_ratings_90d: {at_least: 3}}"),
    ("{rating: bad}, unless: {channel: chat}", "{rating: bad, group: X}"),
    ("{rating: bad}, unless: {channel: [chat, web]}", "{rating: bad, group: X}, unless: {channel: chat}"),
    ("{any: [{channel: chat}, {channel: email}]}", "{any: [{channel: chat}, {channel: web}]}"),
    ("{tags: {has: a}}", "{requested: true, tags: {has: a}}"),
    ("{requested: true}", "{channel: email}"),
    ("{any: [{requested: true, channel: chat}, {channel: email}]}", "{requested: true, channel: email}"),
]


@pytest.mark.parametrize(("above", "below"), NEVER_REACHED)
def test_a_rule_that_one_above_it_takes_everything_from_is_named(above: str, below: str) -> None:
    found = warnings_of(above, below, "{rating: bad}, unless: {account: acme}")

    assert 'rule "B" is never reached: everything it wants is already taken by "A" above it' in found


@pytest.mark.parametrize(("above", "below"), REACHED)
def test_a_rule_that_may_be_reached_is_not_named(above: str, below: str) -> None:
    assert not any('"B"' in message for message in warnings_of(above, below))


def test_several_entries_may_take_everything_together_and_ignore_counts() -> None:
    found = warnings_of("{channel: email}", "{any: [{channel: email}, {tags: {has: x}}]}", ignore=("{tags: {has: x}}",))

    assert 'rule "B" is never reached: everything it wants is already taken by "A" and "I0" above it' in found


def test_a_rule_that_asks_the_same_again_is_named() -> None:
    assert 'rule "B" is never reached: it asks the same as "A" above it' in warnings_of(
        "{rating: bad}", "{rating: BAD}"
    )


@pytest.mark.parametrize(
    ("when", "why"),
    [
        ("{rating: {at_least: 3, at_most: 2}}", "rating cannot be at least 3 and at most 2"),
        ("{rated: {older_than: 2d, newer_than: 2d}}", "a rating cannot be older than 2d and newer than 2d"),
        ("{tags: {has: a, has_none: [a]}}", "tags cannot have and not have a"),
        ("{tags: {has_any: [a, b], has_none: [b, a]}}", "tags cannot have and not have a, b"),
        ("{comment: {present: false, mentions: [x]}}", "there cannot be a comment and no comment"),
        ("{rating: bad, any: [{rating: good}, {rating: neutral}]}", "category cannot be all of this at once"),
        ("{rating: bad}, unless: {rating: [bad, neutral]}", "its unless takes back everything"),
        ("{requested: true}, unless: {requested: true}", "its unless takes back everything"),
        ("{rating: bad}, unless: {requested: false}", "its unless takes back everything"),
        ("{requested: true, any: [{requested: false}]}", "requested cannot be all of this at once"),
    ],
)
def test_a_rule_that_nothing_can_match_is_named_with_the_reason(when: str, why: str) -> None:
    assert f'rule "A" can never match: {why}' in warnings_of(when, "{rating: bad}")


@pytest.mark.parametrize(
    ("connector", "threshold", "left_out"),
    [
        ("zendesk", "1", "2 of 5 is 2 from 1 to 5"),
        ("zendesk", "2", "3 of 5 on an older account is 3 from 1 to 5"),
        ("freshdesk", "1", "-102 of its seven-point scale is 1.67 from 1 to 5"),
        ("freshdesk", "2", "-101 of its seven-point scale is 2.33 from 1 to 5"),
    ],
)
def test_a_number_that_leaves_out_what_a_helpdesk_calls_bad_is_named(
    connector: str, threshold: str, left_out: str
) -> None:
    found = warnings_of(f"{{rating: {{at_most: {threshold}}}}}", head=HEAD.replace("zendesk", connector))

    assert found == [f'rule "A" leaves out what {connector} can call bad: {left_out}; write rating: bad']


@pytest.mark.parametrize("others", ["{rating: bad}", "{rating: {at_most: 3}}", "{rating: [neutral, bad]}"])
def test_a_low_threshold_is_fine_if_another_rule_takes_the_rest(others: str) -> None:
    assert warnings_of("{rating: {at_most: 1}}", others) == []


def test_without_a_rule_for_all_bad_ratings_there_is_a_warning() -> None:
    advice = "no rule takes every bad rating; end the list with one whose only condition is rating: bad"

    assert warnings_of("{rating: bad, channel: email}") == [advice]
    assert warnings_of("{rating: bad, channel: email}", "{requested: true}") == [advice]
    assert warnings_of("{any: [{rating: bad}, {channel: email}]}") == []
    assert warnings_of("{rating: bad, requested: false}") == []
    assert warnings_of("{requested: false}") == []


def test_what_nobody_uses_is_named() -> None:
    head = HEAD.replace("{standard: {}}", "{standard: {}, parent: {note: kind}, child: {like: parent}}")
    unused = "notes: {kind: Be kind, rude: Be rude}\npeople: {leads: {group: Leads}}\n"

    assert warnings_of("{rating: bad}", head=head + unused) == [
        'playbook "parent" is not used anywhere; delete it or use it',
        'playbook "child" is not used anywhere; delete it or use it',
        'note "rude" is not used anywhere; delete it or use it',
        'person "leads" is not used anywhere; delete it or use it',
    ]


# ------------------------------------------------------------------ parts that say nothing
@pytest.mark.parametrize(
    ("when", "message"),
    [
        (
            "{rating: bad, any: [{rating: good}, {channel: chat}]}",
            "this alternative can never hold: category",
        ),
        (
            "{any: [{rating: bad}, {rating: bad, channel: chat}]}",
            "this alternative adds nothing: one above it",
        ),
        ("{rating: bad}, unless: {rating: good}", "this unless takes nothing out: none of it can hold beside when"),
        ("{rating: bad, tags: {has_any: [a, b, A]}}", '"A" stands in this list twice; delete one'),
    ],
)
def test_a_part_of_a_rule_that_says_nothing_is_named(when: str, message: str) -> None:
    assert any(found.startswith(message) for found in warnings_of(when, "{rating: bad}"))


def test_a_rule_that_is_switched_off_takes_nothing_and_is_not_judged() -> None:
    head = HEAD + "ignore: [{name: I, disabled: over, when: {rating: bad}}]\n"

    assert warnings_of("{rating: bad}, disabled: why not", "{rating: bad}", head=head) == []
    assert "no rule takes every bad rating" in warnings_of("{rating: bad}, disabled: why not")[0]


def test_more_bad_ratings_in_less_time_are_impossible() -> None:
    why = "there are no 3 bad ratings in 30 days with at most 2 in 90"
    rule = "{bad_ratings_30d: {at_least: 3}, bad_ratings_90d: {at_most: 2}}"

    assert f'rule "A" can never match: {why}' in warnings_of(rule, "{rating: bad}")
    assert warnings_of(rule.replace("30d", "120d"), "{rating: bad}") == []


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("causes: {Slow: {party: service}}", 'nobody can say "Slow" on a ticket: write a tag, or'),
        ("limits: {tickets_per_hour: 50, tickets_per_day: 50}", "this is never reached: tickets_per_day is 50"),
        ("limits: {goodwill_per_ticket: 50 EUR, goodwill_per_customer: 40 EUR in 90d}", "no ticket gets that much"),
        ("settings: {survey_list: [a@example.com]}", "this list means nothing while surveys are off"),
        ("notes: {kind: 'Offer {goodwill_left|nothing}'}", "nothing may be offered in this file, so {goodwill_left}"),
    ],
)
def test_a_section_that_says_nothing_is_named(section: str, message: str) -> None:
    head = HEAD.replace("{standard: {}}", "{standard: {note: kind}}") if section.startswith("notes") else HEAD

    [found] = warnings_of("{rating: bad}", head=f"{head}{section}\n")

    assert found.startswith(message)


def test_a_helpdesk_behind_the_wrong_connector_is_named() -> None:
    [found] = warnings_of("{rating: bad}", head=HEAD.replace("connector: zendesk", "connector: freshdesk"))

    assert found == "this address is of zendesk, not of freshdesk; write connector: zendesk"


def test_working_time_in_days_is_named_where_a_day_has_no_24_hours() -> None:
    waits = "deadlines: [{within: 1d, until: solved, otherwise: {remind: assignee}}], remind_if_silent: 2d 1h"
    head = HEAD.replace("{standard: {}}", f"{{standard: {{{waits}}}}}")
    hours = "settings: {working_hours: {mon-fri: 09:00-17:30}}\n"

    assert warnings_of("{rating: bad}", head=head) == []
    assert warnings_of("{rating: bad}", head=head + hours) == [
        "these are 24 hours of work; for 1 days of work write 8h 30m",
        "these are 49 hours of work; for 2 days of work write 18h",
    ]


# ------------------------------------------------------------------ proofs by chance
def conditions(chance: random.Random) -> dict[str, Any]:
    """A few random conditions over few values, so that they often overlap."""
    pick, some = chance.choice, lambda values: sorted(chance.sample(values, chance.randint(1, 2)))
    makers = {
        "rating": lambda: pick(
            [pick(list(Category)).value, {"at_most": pick([1, 2, 3])}, {"at_least": 2, "at_most": pick([1, 4])}]
        ),
        "tags": lambda: {
            key: some(["a", "b", "c"]) for key in chance.sample(["has_any", "has_all", "has_none"], pick([1, 1, 2]))
        },
        "customer_tags": lambda: {"has": pick(["a", "b"])},
        "channel": lambda: pick([pick(["chat", "email"]), {"none_of": some(["chat", "email", "web"])}]),
        "language": lambda: pick([pick(["de", "de-at", "en"]), {"none_of": some(["de", "de-at", "en"])}]),
        "comment": lambda: pick(
            [
                {"present": pick([True, False])},
                {"mentions": some(["x", "y", "z"])},
                {"mentions": {"de": some(["x", "y"]), "en": some(["x", "z"])}},
            ]
        ),
        "reopens": lambda: {pick(["at_least", "at_most"]): pick([0, 1, 2])},
        "rated": lambda: {pick(["older_than", "newer_than"]): pick(["1d", "2d"])},
        "bad_ratings_30d": lambda: {pick(["at_least", "at_most"]): pick([1, 2])},
        "requested": lambda: pick([True, True, False]),
    }
    return {name: makers[name]() for name in chance.sample(sorted(makers), pick([1, 1, 2, 3]))}


def block(chance: random.Random) -> dict[str, Any]:
    found = conditions(chance)
    if chance.random() < 0.3:
        found["any"] = [conditions(chance), conditions(chance)]
    return found


def random_rules(chance: random.Random) -> tuple[Rules, list[str]]:
    def entry() -> str:
        excepted = f", unless: {block(chance)}" if chance.random() < 0.3 else ""
        return f"{block(chance)}{excepted}".replace("'", "").replace("True", "true").replace("False", "false")

    text = file_of(*(entry() for _ in range(10)), ignore=(entry(),))
    rules, problems = check(text)
    assert rules is not None, [problem.headline for problem in problems]
    return rules, [problem.message for problem in problems]


def random_facts(chance: random.Random) -> Facts:
    pick = chance.choice
    rated_at = NOW - timedelta(days=pick([0, 1, 1.5, 2, 3]))
    comment = pick([None, "x", "y z", "nothing", "x z"])
    return Facts(
        category=pick(list(Category)),
        point=pick([1.0, 5 / 3, 2.0, 3.0, 5.0]),
        rated_at=rated_at,
        now=NOW,
        account="acme",
        requested=pick([False, False, True]),
        comment=comment,
        comment_present=comment is not None,
        bad_rated_at=tuple(rated_at - timedelta(days=40 * number) for number in range(chance.randint(0, 3))),
        tags=pick([None, (), ("a",), ("b", "c"), ("a", "b")]),
        channel=pick([None, "chat", "email", "web"]),
        customer_tags=pick([None, (), ("a",), ("a", "b")]),
        language=pick([None, "de", "de-AT", "en", "fr"]),
        reopens=pick([None, 0, 1, 2]),
    )


PART = re.compile(r"this (alternative|unless) (can never|adds nothing|takes nothing)")


def test_rules_called_unreachable_or_impossible_never_win() -> None:
    chance = random.Random(2026)
    claims: Counter[str] = Counter()
    wins: Counter[bool] = Counter()
    for _ in range(150):
        rules, messages = random_rules(chance)
        claimed = {
            found[1]: found[2] for m in messages if (found := re.match(r'(?:rule|ignore entry) "(\w+)" (is|can) n', m))
        }
        claims.update(claimed.values())
        for _ in range(150):
            rule = rules.decide(random_facts(chance)).rule
            wins[rule is not None] += 1
            assert rule is None or rule.name not in claimed, (rules.text, rule.name)

    assert claims["is"] > 60  # never reached
    assert claims["can"] > 60  # can never match
    assert wins[True] > 5_000 < wins[False] + wins[True]


def test_what_is_said_to_add_or_take_nothing_can_go() -> None:
    """Without the alternative or unless that a warning names, every decision stays the same."""
    chance = random.Random(41)
    gone: Counter[str] = Counter()
    for _ in range(50):
        rules, _ = random_rules(chance)
        for problem in check(rules.text)[1]:
            if found := PART.match(problem.message):
                gone[found[1]] += 1
                without = check(stripped(rules.text, problem.line, problem.column))[0]
                assert without is not None, rules.text
                for _ in range(30):
                    facts = random_facts(chance)
                    assert name_of(rules, facts) == name_of(without, facts), (rules.text, problem.headline)

    assert gone["alternative"] > 10 < gone["unless"]


def name_of(rules: Rules, facts: Facts) -> str | None:
    rule = rules.decide(facts).rule
    return rule.name if rule else None


def stripped(text: str, line: int, column: int) -> str:
    """The text without the alternative or unless that begins there."""
    lines = text.split("\n")
    before, rest = lines[line - 1][: column - 1], lines[line - 1][column - 1 :]
    begins = rest.index("{")
    opened = list(accumulate({"{": 1, "}": -1}.get(character, 0) for character in rest[begins:]))
    after = rest[begins + opened.index(0) + 1 :]
    if begins == 0 and after.startswith(", "):  # the first alternative
        after = after[2:]
    else:
        before = before.removesuffix(", ")
    lines[line - 1] = before + after
    return "\n".join(lines)


def test_what_could_not_match_never_does_whatever_the_ticket_turns_out_to_be() -> None:
    chance = random.Random(7)
    spared = 0
    for _ in range(120):
        rules, _ = random_rules(chance)
        for _ in range(120):
            facts = random_facts(chance)
            hidden = chance.sample(sorted(TICKET_FACTS), chance.randint(1, len(TICKET_FACTS)))
            if not rules.could_match(replace(facts, **dict.fromkeys(hidden))):
                spared += 1
                assert rules.decide(facts).kind != "matched", (rules.text, facts)

    assert spared > 500


def test_the_quick_decision_is_the_one_that_the_trace_shows() -> None:
    chance = random.Random(11)
    for _ in range(40):
        rules, _ = random_rules(chance)
        for _ in range(40):
            facts = random_facts(chance)
            first = next((traced.name for traced in rules.trace(facts) if traced.matches), None)
            rule = rules.decide(facts).rule
            assert (rule.name if rule else None) == first
