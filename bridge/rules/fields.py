"""The closed list of fields that a condition can name: how each is written, with an example, and how it is read.

Everything that rules.yaml can ask stands in `FIELDS`; what is not in it is a mistake with a place and a suggestion.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from bridge.hours import parse_duration
from bridge.model import Category
from bridge.rules.conditions import Block, Choice, Comment, Condition, Line, Range, Tags, WordList
from bridge.rules.document import Items, Map
from bridge.rules.facts import fold, fold_language, fold_words
from bridge.rules.problems import Reporter, Spot, unknown

CATEGORIES = tuple(str(category) for category in Category)
CHANNELS = ("email", "chat", "phone", "web", "api", "social", "messaging", "other")
PRIORITIES = ("low", "normal", "high", "urgent")
LONGEST_WINDOW = 3650  # days of bad_ratings_<N>d

_BAD_RATINGS = re.compile(r"bad_ratings_[1-9][0-9]{0,3}d")
_BESIDE = ("name", "unless", "severity", "playbook", "incident")  # keys of a rule that are easily put one step too deep
LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*")


@dataclass(frozen=True)
class Place:
    """A value of a condition, where it stands, and what to report about it."""

    field: str
    value: Any
    spot: Spot
    report: Reporter
    accounts: Collection[str] | None = None

    def wrong(self, advice: str) -> None:
        """Report that the value is not written as this field wants it."""
        self.report.error(self.spot, advice)

    def part(self, key: str) -> Place:
        """Return the place of one key's value."""
        return Place(self.field, self.value[key], self.value.value_spots[key], self.report, self.accounts)

    def items(self) -> list[Place]:
        """Return the places of the items of a list; reports what is no list, and an empty one."""
        if not isinstance(self.value, Items):
            shown = self.value if isinstance(self.value, str) else "one, two"
            self.wrong(f"{self.field}: a list is wanted here, like [{shown}]")
            return []
        if not self.value:
            self.wrong(f"{self.field}: the list is empty, so nothing would ever match; name at least one")
        spots = zip(self.value, self.value.value_spots, strict=True)
        return [Place(self.field, value, spot, self.report, self.accounts) for value, spot in spots]

    def keys(self, known: Collection[str]) -> list[str]:
        """Return the keys of a mapping; reports unknown ones."""
        found = [key for key in self.value if key in known]
        for key in self.value:
            if key not in known:
                self.report.error(self.value.key_spots[key], *unknown(f"word for {self.field}", key, known))
        if not self.value:
            self.wrong(f"{self.field}: {{}} asks nothing; write one of: {', '.join(known)}")
        return found

    def text(self) -> str | None:
        """Return the value if it is text; reports anything else."""
        if isinstance(self.value, str) and self.value.strip():
            return self.value
        if isinstance(self.value, bool | int | float):
            shown = str(self.value).lower()
            self.wrong(f'{self.field}: {shown} is not text here; put it in quotes: "{shown}"')
        else:
            self.wrong(f"{self.field}: text is wanted here")
        return None


Reader = Callable[[Place], list[Condition]]


@dataclass(frozen=True)
class Field:
    """One field: what it asks, an example, and how its value is read."""

    help: str
    example: str
    read: Reader


# ------------------------------------------------------------------ texts
def _choice(subject: str, known: Collection[str] | None = None) -> Reader:
    def read(place: Place) -> list[Condition]:
        if not isinstance(place.value, Map):
            return [Choice(subject, _values(subject, place, known))]
        found: list[Condition] = []
        for key in place.keys(("any_of", "none_of")):
            values = _values(subject, place.part(key), known)
            found.append(Choice(subject, values) if key == "any_of" else Choice(subject, no=values))
        return found

    return read


def _values(subject: str, place: Place, known: Collection[str] | None) -> frozenset[str]:
    items = place.items() if isinstance(place.value, Items) else [place]
    return frozenset(value for item in items if (value := _value(subject, item, known)) is not None)


def _value(subject: str, place: Place, known: Collection[str] | None) -> str | None:
    text = place.text()
    if text is None:
        return None
    if subject == "language":
        if not LANGUAGE_TAG.fullmatch(text):
            place.wrong(f'language: "{text}" is not a language tag; write it like de or pt-br')
        return fold_language(text)
    names = place.accounts if subject == "account" else known
    if names is not None and fold(text) not in map(fold, names):
        place.report.error(place.spot, *unknown(place.field, text, names))
    return fold(text)


# ------------------------------------------------------------------ ratings and numbers
def _rating(place: Place) -> list[Condition]:
    if isinstance(place.value, int | float) and not isinstance(place.value, bool):
        place.wrong(f"rating: for a point on the scale from 1 to 5 write {{at_most: {place.value}}} or at_least")
        return []
    if not isinstance(place.value, Map):
        return [_category(_values("category", place, CATEGORIES))]
    found: list[Condition] = []
    for key in place.keys(("any_of", "none_of", "at_least", "at_most")):
        part = place.part(key)
        if key in ("at_least", "at_most"):
            found += _bound("point", key, _number(part, 1, 5, whole=False))
        else:
            values = _values("category", part, CATEGORIES)
            found.append(_category(values if key == "any_of" else frozenset(CATEGORIES) - values))
    return found


def _category(values: frozenset[str]) -> Choice:
    return Choice("category", values)


def _count(place: Place) -> list[Condition]:
    if not isinstance(place.value, Map):
        shown = place.value if isinstance(place.value, int) else 3
        place.wrong(f"{place.field}: write {{at_least: {shown}}} or {{at_most: {shown}}}")
        return []
    found: list[Condition] = []
    for key in place.keys(("at_least", "at_most")):
        found += _bound(place.field, key, _number(place.part(key), 0, 1000, whole=True))
    return found


def _bound(subject: str, key: str, number: float | None) -> list[Condition]:
    if number is None:
        return []
    return [Range(subject, low=number) if key == "at_least" else Range(subject, high=number)]


def _number(place: Place, low: int, high: int, *, whole: bool) -> float | None:
    kinds = (int,) if whole else (int, float)
    if isinstance(place.value, bool) or not isinstance(place.value, kinds) or not low <= place.value <= high:
        place.wrong(f"{place.field}: a {'whole ' if whole else ''}number from {low} to {high} is wanted here")
        return None
    return float(place.value)


def _age(place: Place) -> list[Condition]:
    if not isinstance(place.value, Map):
        place.wrong("rated: write {older_than: 14d} or {newer_than: 14d}")
        return []
    found: list[Condition] = []
    for key in place.keys(("older_than", "newer_than")):
        part = place.part(key)
        text = part.text()
        if text is None:
            continue
        try:
            seconds = parse_duration(text).total_seconds()
        except ValueError as exc:
            part.wrong(f"rated: {exc}")
            continue
        found.append(Range("age", low=seconds) if key == "older_than" else Range("age", high=seconds))
    return found


def _requested(place: Place) -> list[Condition]:
    if not isinstance(place.value, bool):
        place.wrong("requested: write true: an agent asked for it with the tag sr_request")
        return []
    return [Choice("requested", frozenset({str(place.value).lower()}))]


# ------------------------------------------------------------------ tags and words
def _tags(place: Place) -> list[Condition]:
    if not isinstance(place.value, Map):
        shown = place.value if isinstance(place.value, str) else "vip"
        place.wrong(f"{place.field}: write {{has: {shown}}}, or has_any, has_all, has_none with a list")
        return []
    found: list[Condition] = []
    for key in place.keys(("has", "has_any", "has_all", "has_none")):
        part = place.part(key)
        texts = [item.text() for item in ([part] if key == "has" else part.items())]
        tags = frozenset(fold(text) for text in texts if text is not None)
        if key == "has_any":
            found.append(Tags(place.field, some=(tags,)))
        elif key == "has_none":
            found.append(Tags(place.field, never=tags))
        else:
            found.append(Tags(place.field, every=tags))
    return found


def _comment(place: Place) -> list[Condition]:
    if not isinstance(place.value, Map):
        place.wrong("comment: write {present: true}, or {mentions: [refund, still broken]}")
        return []
    found: list[Condition] = []
    for key in place.keys(("present", "mentions")):
        part = place.part(key)
        if key == "mentions":
            found += _mentions(part)
        elif isinstance(part.value, bool):
            found.append(Comment(present=part.value))
        else:
            part.wrong("present: write true or false")
    return found


def _mentions(place: Place) -> list[Condition]:
    if not isinstance(place.value, Map):
        words = _words(place)
        return [Comment(mentions=(WordList((("", words),)),))] if words else []
    lists = []
    for tag in place.value:
        if not LANGUAGE_TAG.fullmatch(tag):
            place.report.error(place.value.key_spots[tag], f'"{tag}" is not a language tag; write it like de or pt-br')
        lists.append((fold_language(tag), _words(place.part(tag))))
    if not lists:
        place.wrong("mentions: name at least one word")
    return [Comment(mentions=(WordList(tuple(lists)),))] if lists and all(words for _, words in lists) else []


def _words(place: Place) -> frozenset[str]:
    words = set()
    for item in place.items():
        text = item.text()
        if text is not None and fold_words(text):
            words.add(fold_words(text))
    return frozenset(words)


# ------------------------------------------------------------------ the list
FIELDS: Mapping[str, Field] = {
    "rating": Field("what the helpdesk calls it, or a point from 1 to 5", "rating: [bad, neutral]", _rating),
    "reason": Field("the reason that the customer picked", "reason: {any_of: [Too slow]}", _choice("reason")),
    "comment": Field("what the customer wrote", "comment: {mentions: [refund, still broken]}", _comment),
    "rated": Field("how long ago the rating was given", "rated: {older_than: 14d}", _age),
    "bad_ratings_90d": Field(
        "this customer's bad ratings in so many days, with this one", "bad_ratings_90d: {at_least: 3}", _count
    ),
    "requested": Field(
        "an agent asked for it with the tag sr_request; what does not name it is about ratings",
        "requested: true",
        _requested,
    ),
    "account": Field("which helpdesk", "account: acme", _choice("account")),
    "tags": Field("tags of the ticket", "tags: {has_any: [spam, test]}", _tags),
    "customer_tags": Field("tags of the requester", "customer_tags: {has: vip}", _tags),
    "organization_tags": Field("tags of their organisation", "organization_tags: {has_none: [trial]}", _tags),
    "channel": Field("how the ticket came in", "channel: [chat, messaging]", _choice("channel", CHANNELS)),
    "group": Field("the group that has the ticket", "group: Support", _choice("group")),
    "brand": Field("brand (Zendesk) or product (Freshdesk)", "brand: Acme Pro", _choice("brand")),
    "product": Field("another name for brand", "product: Acme Pro", _choice("brand")),
    "priority": Field("the ticket's priority", "priority: {none_of: [low]}", _choice("priority", PRIORITIES)),
    "language": Field("the requester's language; de also means de-at", "language: de", _choice("language")),
    "reopens": Field("how often the ticket was reopened", "reopens: {at_least: 2}", _count),
}


def read_block(value: Map, report: Reporter, accounts: Collection[str] | None, *, nested: bool = False) -> Block:
    """Read the lines of a `when` or `unless` block, or one nested in `any`; every problem goes to *report*."""
    if not value:
        report.error(value.spot, "{} asks nothing; write at least one condition, like rating: bad")
    lines = []
    alternatives: tuple[Block, ...] = ()
    for key in value:
        place = Place(key, value[key], value.value_spots[key], report, accounts)
        if key == "any" and not nested:
            alternatives = _alternatives(place)
        elif field := _field_named(key):
            lines.append(Line(key, show(value[key]), tuple(field.read(place))))
        else:
            _unknown_field(key, value, report)
    return Block(tuple(lines), alternatives)


def _alternatives(place: Place) -> tuple[Block, ...]:
    found = []
    for item in place.items():
        if isinstance(item.value, Map):
            found.append(read_block(item.value, place.report, place.accounts, nested=True))
        else:
            item.wrong("any: each item is a condition, like - tags: {has: churn-risk}")
    return tuple(found)


def _field_named(key: str) -> Field | None:
    return FIELDS["bad_ratings_90d"] if _BAD_RATINGS.fullmatch(key) else FIELDS.get(key)


def _unknown_field(key: str, block: Map, report: Reporter) -> None:
    spot = block.key_spots[key]
    window = re.fullmatch(r"bad_?ratings?_?([1-9][0-9]{0,3})_?d?(ays)?", key)
    if key == "any":
        report.error(spot, "any inside any is not possible; put all alternatives into one list")
    elif window:
        right = f"bad_ratings_{window[1]}d"
        report.error(spot, f'unknown field "{key}", did you mean "{right}"?', right)
    elif key in _BESIDE:
        report.error(spot, f'"{key}" is no condition; write it beside when, not inside it')
    elif block[key] is None and block.in_braces:
        report.error(spot, f'"{key}" became a key of its own; inside {{ }} put text that has a comma in quotes')
    else:
        report.error(spot, *unknown("field", key, [*FIELDS, "any"]))


def show(value: Any) -> str:
    """Write a value of a condition in one line, as in rules.yaml."""
    if isinstance(value, Map):
        return ", ".join(f"{key} {show(part)}" for key, part in value.items())
    if isinstance(value, Items):
        return f"[{', '.join(map(show, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
