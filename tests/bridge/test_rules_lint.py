"""Warnings of `check`, and proofs by chance: what it claims about rules is never wrong."""

from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
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
    found = warnings_of(f"{{rating: {{at_most: {threshold}}}}}", head=HEAD.replace("zendesk", connector, 1))

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
