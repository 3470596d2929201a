"""The index over rules: by chance, that it finds what the loop finds; and that this comparison can fail."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bridge.model import Category
from bridge.rules import Facts, Ignore, Rules, load
from bridge.rules.facts import TICKET_FACTS
from bridge.rules.index import FEWEST, MOST_CLAUSES, PATIENCE, Index, Loop

NOW = datetime(2026, 3, 9, 10, tzinfo=UTC)
HEAD = """\
version: 1
accounts: {acme: {connector: zendesk, url: https://acme.zendesk.com}, shop: {connector: zendesk, url: https://s.example}}
playbooks: {standard: {}}
"""
SETS, RULES, FACTS = 40, 30, 400
TAGS, WORDS, LANGUAGES = ["a", "b", "c", "d", "e", "f"], ["x", "y", "z w"], ["de", "de-at", "de-at-1901", "en"]


# ------------------------------------------------------------------ rules and facts by chance
def conditions(chance: random.Random) -> dict[str, Any]:
    """A few random conditions over few values, so that facts are often just at a bound."""
    pick = chance.choice

    def some(values: list[str], most: int = 2) -> list[str]:
        return chance.sample(values, chance.randint(1, most))

    def choice(*values: str) -> Any:
        return pick([pick(values), {"any_of": some([*values])}, {"none_of": some([*values])}])

    def tags() -> dict[str, list[str]]:
        kinds = chance.sample(["has_any", "has_all", "has_none"], pick([1, 1, 2]))
        return {kind: some(TAGS, len(TAGS) if kind == "has_all" else 2) for kind in kinds}

    makers: dict[str, Callable[[], Any]] = {
        "rating": lambda: pick(
            [pick(list(Category)).value, {"at_most": pick([1, 2, 3])}, {"at_least": 2, "at_most": pick([1, 2, 4])}]
        ),
        "reason": lambda: choice("Too slow", "Rude"),
        "tags": tags,
        "customer_tags": lambda: {"has": pick(TAGS)},
        "organization_tags": lambda: {"has_none": some(TAGS)},
        "channel": lambda: choice("chat", "email", "web"),
        "group": lambda: choice("Support", "Sales"),
        "brand": lambda: choice("One", "Two"),
        "priority": lambda: choice("low", "high"),
        "account": lambda: choice("acme", "shop"),
        "language": lambda: choice(*LANGUAGES),
        "comment": lambda: pick(
            [
                {"present": pick([True, False])},
                {"mentions": some(WORDS)},
                {"mentions": {"de": some(WORDS), "en": some(WORDS)}},
            ]
        ),
        "reopens": lambda: {pick(["at_least", "at_most"]): pick([0, 1, 2])},
        "rated": lambda: {pick(["older_than", "newer_than"]): pick(["1d", "2d"])},
        "bad_ratings_30d": lambda: {pick(["at_least", "at_most"]): pick([1, 2])},
        "bad_ratings_90d": lambda: {"at_least": pick([1, 2, 3])},
        "requested": lambda: pick([True, True, False]),
    }
    return {name: makers[name]() for name in chance.sample(sorted(makers), pick([1, 2, 2, 3]))}


def block(chance: random.Random) -> dict[str, Any]:
    found = conditions(chance)
    if chance.random() < 0.3:
        found["any"] = [conditions(chance) for _ in range(chance.randint(1, 3))]
    return found


def text_of(chance: random.Random) -> str:
    def entry(number: int, more: str) -> str:
        unless = f", unless: {block(chance)}" if chance.random() < 0.3 else ""
        asked = f"{block(chance)}{unless}".replace("'", "").replace("True", "true").replace("False", "false")
        return f"  - {{name: R{number}, {more}when: {asked}}}\n"

    ignored = "".join(entry(number, "") for number in range(2))
    return f"{HEAD}ignore:\n{ignored}rules:\n" + "".join(entry(n, "playbook: standard, ") for n in range(2, RULES))


def random_facts(chance: random.Random) -> Facts:
    pick = chance.choice
    rated_at = NOW - timedelta(days=pick([0, 1, 1.5, 2, 3]))
    comment = pick([None, "x", "Y z", "nothing", "x z  W"])
    facts = Facts(
        category=pick(list(Category)),
        point=pick([1.0, 5 / 3, 2.0, 3.0, 5.0]),
        rated_at=rated_at,
        now=NOW,
        account=pick(["acme", "Shop"]),
        requested=pick([False, False, True]),
        comment=pick([comment, None]),  # the words of a comment may have been forgotten
        comment_present=comment is not None,
        reason=pick([None, "Too  slow", "rude", "Other"]),
        bad_rated_at=tuple(rated_at - timedelta(days=30 * number) for number in range(chance.randint(0, 4))),
        tags=tuple(chance.sample(["A", *TAGS[1:], "other"], chance.randint(0, 7))),
        channel=pick(["chat", "Email", "web", "phone"]),
        group=pick(["Support", "sales", "Billing"]),
        brand=pick(["one", "Two", "Three"]),
        priority=pick(["low", "normal", "HIGH"]),
        customer_tags=tuple(chance.sample(TAGS, chance.randint(0, 3))),
        organization_tags=tuple(chance.sample(TAGS, chance.randint(0, 2))),
        language=pick(["de", "de_AT", "de-at-1901", "en-GB", "den", "fr"]),
        reopens=pick([0, 1, 2]),
    )
    missing = chance.sample(sorted(TICKET_FACTS), pick([0, 0, 1, 3, len(TICKET_FACTS)]))
    return replace(facts, **dict.fromkeys(missing))


@pytest.fixture(scope="module")
def rules_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Rules]:
    path = tmp_path_factory.mktemp("rules") / "rules.yaml"

    def rules(text: str) -> Rules:
        path.write_text(text, encoding="utf-8")
        return load(path)

    return rules


@pytest.fixture(scope="module")
def some_facts() -> list[Facts]:
    chance = random.Random(22)
    return [random_facts(chance) for _ in range(FACTS)]


def entries(rules: Rules) -> tuple[Ignore, ...]:
    return (*rules.ignore, *rules.rules)


# ------------------------------------------------------------------ the same answers
def test_the_index_finds_what_the_loop_finds(rules_of: Callable[[str], Rules], some_facts: list[Facts]) -> None:
    chance = random.Random(2026)
    found: set[int | None] = set()
    for _ in range(SETS):
        asked = entries(rules_of(text_of(chance)))
        loop, index = Loop(asked), Index(asked)
        for facts in some_facts:
            number = loop.first(facts)
            found.add(number)
            assert index.first(facts) == number, (asked, facts)

    assert SETS * FACTS >= 16_000
    assert len(found) == RULES + 1  # every entry was the first at least once, and none at all too


PLANTED = [
    (r"at_least: 2\b", "at_least: 3"),
    (r"older_than: 1d", "older_than: 23h"),
    (r"de-at\b", "de-ch"),
    (r"\bTwo\b", "Three"),
    (r"has_none: \[", "has_none: [f, "),
    (r", unless: .*}$", "}"),
]


@pytest.mark.parametrize(("right", "wrong"), PLANTED)
def test_an_index_with_a_planted_mistake_is_noticed(
    rules_of: Callable[[str], Rules], some_facts: list[Facts], right: str, wrong: str
) -> None:
    chance, differ = random.Random(3), 0
    for _ in range(4):
        text = text_of(chance)
        mistaken = re.sub(right, wrong, text, flags=re.MULTILINE)
        loop, index = Loop(entries(rules_of(text))), Index(entries(rules_of(mistaken)))
        differ += sum(loop.first(facts) != index.first(facts) for facts in some_facts)

    assert differ > 0


def test_after_many_decisions_the_verdicts_are_still_the_same(
    rules_of: Callable[[str], Rules], some_facts: list[Facts]
) -> None:
    rules = rules_of(text_of(random.Random(5)))
    at_first = [rules.decide(facts) for facts in some_facts[: PATIENCE - 1]]

    later = [rules.decide(facts) for facts in some_facts]

    assert len(entries(rules)) >= FEWEST
    assert later[: len(at_first)] == at_first
    assert {verdict.kind for verdict in later} == {"ignored", "matched", "no_rule"}


# ------------------------------------------------------------------ at the edges
def one_rule(when: str) -> str:
    return f"{HEAD}rules:\n  - {{name: R, playbook: standard, when: {{{when}}}}}\n"


def matched(rules: Rules, **known: Any) -> bool:
    """Whether the index over these rules finds one for facts of which nothing is known but *known*."""
    facts = Facts(category=Category.BAD, point=2.0, rated_at=NOW, now=NOW, account="acme", **known)
    return Index(entries(rules)).first(facts) is not None


@pytest.mark.parametrize(
    ("when", "known", "expected"),
    [
        ("channel: {none_of: [chat]}", {}, False),
        ("channel: {none_of: [chat]}", {"channel": "Fax"}, True),
        ("reason: {none_of: [Rude]}", {}, False),
        ("tags: {has_none: [a]}", {}, False),
        ("tags: {has_none: [a]}", {"tags": ()}, True),
        ("reopens: {at_most: 9}", {}, False),
        ("reopens: {at_least: 1, at_most: 1}", {"reopens": 1}, True),
        ("reopens: {at_least: 2, at_most: 1}", {"reopens": 1}, False),
        ("rated: {newer_than: 1d}", {}, True),
        ("language: {none_of: [de]}", {}, False),
        ("language: {any_of: [de], none_of: [de-at]}", {"language": "de-AT-1901"}, False),
        ("language: {any_of: [de], none_of: [de-at]}", {"language": "de-ch"}, True),
        ("comment: {mentions: [x]}", {"comment_present": True}, False),
        ("comment: {mentions: [x]}", {"comment_present": True, "comment": "X!"}, True),
        ("any: [{channel: chat}, {reopens: {at_least: 1}}]", {"reopens": 1}, True),
        ("rating: bad}, unless: {channel: chat", {}, True),
        ("rating: bad}, unless: {channel: chat", {"channel": "chat"}, False),
    ],
)
def test_what_is_not_known_matches_nothing_and_excepts_nothing(
    rules_of: Callable[[str], Rules], when: str, known: dict[str, Any], expected: bool
) -> None:
    assert matched(rules_of(one_rule(when)), **known) == expected


@pytest.mark.parametrize("present", [True, False])
def test_a_rule_that_contradicts_itself_matches_nothing(rules_of: Callable[[str], Rules], present: bool) -> None:
    rules = rules_of(one_rule("comment: {present: true}, any: [{comment: {present: false}}]"))

    assert not matched(rules, comment_present=present)


def test_more_tags_than_there_are_bits_for_are_all_demanded(rules_of: Callable[[str], Rules]) -> None:
    tags = tuple(f"t{number}" for number in range(MOST_CLAUSES + 2))
    rules = rules_of(one_rule(f"tags: {{has_all: [{', '.join(tags)}]}}"))

    assert matched(rules, tags=tags)
    assert not any(matched(rules, tags=tags[:n] + tags[n + 1 :]) for n in range(len(tags)))
