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
from bridge.rules import forms, guesses
from bridge.rules.conditions import Block, Choice, Comment, Condition, Line, Range, Tags, WordList
from bridge.rules.document import Items, Map
from bridge.rules.facts import fold, fold_language, fold_words
from bridge.rules.problems import Reporter, Spot, unknown

CATEGORIES = tuple(str(category) for category in Category)
CHANNELS = ("email", "chat", "phone", "web", "api", "social", "messaging", "other")
PRIORITIES = ("low", "normal", "high", "urgent")
LONGEST_WINDOW = 3650  # days of bad_ratings_<N>d

_BAD_RATINGS = re.compile(r"bad_ratings_[1-9][0-9]{0,3}d")
_PATTERN = re.compile(
    r"\.[*+]|\\[a-zA-Z]|^\^|\$$|^/.*/[a-z]*$|\(\?|\[[^]]+\]|\w\|\w|^[^*]*\w\*$"
)  # of a regular expression
_COMPARISON = re.compile(r"\s*(<=?|>=?|=<|=>|under|over|below|above|at most|at least)\s*([0-9.]+)\s*")
_JOINED = {  # words by which other tools join conditions
    "and": "all lines of a block must hold anyway; write them one below the other",
    "all": "all lines of a block must hold anyway; write them one below the other",
    "or": "write any: with a list; one of its items is enough",
    "not": "write what must not hold below unless:, beside when",
}
_BESIDE = ("name", "unless", "severity", "playbook", "incident")  # keys of a rule that are easily put one step too deep
LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8})*")


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
            if key not in known and self.value[key] is None and self.value.in_braces:
                advice = f'"{key}" became a key of its own; several are written as a list: [one, {key}]'
                self.report.error(self.value.key_spots[key], advice)
            elif key not in known:
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
    form: forms.Form  # of its value, for editors


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
            right = guesses.language(text)
            message = f'language: "{text}" is not a language tag; write {right or "it like de or pt-br"}'
            place.report.error(place.spot, message, right)
        return fold_language(text)
    names = place.accounts if subject == "account" else known
    parts = [part.strip() for part in text.split(",")]
    if names is not None and len(parts) > 1 and {*map(fold, parts)} <= {*map(fold, names)}:
        right = f"[{', '.join(parts)}]"
        place.report.error(place.spot, f"{place.field}: several are written as a list: {right}", right)
        return None
    if names is not None and fold(text) not in map(fold, names):
        place.report.error(place.spot, *unknown(place.field, text, names))
    return fold(text)


# ------------------------------------------------------------------ ratings and numbers
def _rating(place: Place) -> list[Condition]:
    if _is_comparison(place):
        return []
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


def _is_comparison(place: Place) -> bool:
    """Report a comparison such as `<= 2`; here it is written in words."""
    found = _COMPARISON.fullmatch(place.value) if isinstance(place.value, str) else None
    if not found:
        return False
    low = found[1] in (">", ">=", "=>", "over", "above", "at least")
    number = float(found[2]) if found[2].replace(".", "", 1).isdigit() else 1.0
    if found[1] in ("<", ">", "under", "over", "below", "above"):
        number += 1 if low else -1
    right = f"{{{'at_least' if low else 'at_most'}: {number:g}}}"
    place.report.error(place.spot, f"{place.field}: comparisons are written in words; write {right}", right)
    return True


def _count(place: Place) -> list[Condition]:
    if _is_comparison(place):
        return []
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
            right = guesses.duration(text)
            message = f'"{text}" is not a duration; write {right}' if right else str(exc)
            place.report.error(part.spot, f"rated: {message}", right)
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
        if text is not None and _PATTERN.search(text):
            item.wrong("words are looked for as they stand, not as patterns; write each form: [refund, refunds]")
        elif text is not None and fold_words(text):
            words.add(fold_words(text))
    return frozenset(words)


# ------------------------------------------------------------------ the list
_CHANNEL, _PRIORITY, _TAG = (
    forms.choice(form) for form in (forms.one_of(*CHANNELS), forms.one_of(*PRIORITIES), forms.LANGUAGE)
)

FIELDS: Mapping[str, Field] = {
    "rating": Field(
        "what the helpdesk itself calls it, or a point on a scale from 1 to 5", "[bad, neutral]", _rating, forms.RATING
    ),
    "reason": Field(
        "the reason that the customer picked", "{any_of: [Missing feature]}", _choice("reason"), forms.choice()
    ),
    "comment": Field("what the customer wrote", "{mentions: [refund, still broken]}", _comment, forms.COMMENT),
    "rated": Field("how long ago the rating was given", "{older_than: 14d}", _age, forms.AGE),
    "bad_ratings_90d": Field(
        "this customer's bad ratings in so many days (any number), on all accounts, with this one",
        "{at_least: 3}",
        _count,
        forms.COUNT,
    ),
    "requested": Field(
        "an agent asked for it with the tag sr_request; rules that do not name it are about ratings alone",
        "true",
        _requested,
        forms.YES_OR_NO,
    ),
    "account": Field("which helpdesk", "acme", _choice("account"), forms.choice()),
    "tags": Field("tags of the ticket", "{has_any: [spam, test]}", _tags, forms.TAGS),
    "customer_tags": Field("tags of the requester", "{has: vip}", _tags, forms.TAGS),
    "organization_tags": Field("tags of their organisation", "{has_none: [trial]}", _tags, forms.TAGS),
    "channel": Field(
        f"how the ticket came in: {', '.join(CHANNELS)}", "[chat, phone]", _choice("channel", CHANNELS), _CHANNEL
    ),
    "group": Field("the group that has the ticket", "Support", _choice("group"), forms.choice()),
    "brand": Field("brand (Zendesk) or product (Freshdesk)", "Acme Pro", _choice("brand"), forms.choice()),
    "product": Field("another name for brand", "Acme Pro", _choice("brand"), forms.choice()),
    "priority": Field(
        "the ticket's priority: low, normal, high, urgent",
        "{none_of: [low]}",
        _choice("priority", PRIORITIES),
        _PRIORITY,
    ),
    "language": Field("the requester's language; de also means de-at", "[de, nl]", _choice("language"), _TAG),
    "reopens": Field("how often the ticket was reopened", "{at_least: 2}", _count, forms.COUNT),
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
    elif joined := re.fullmatch(r"([a-z_]+)(?::|\s*(?:=|==|is|:=)\s+|=)(\S.*)", key):
        right = f"{joined[1]}: {joined[2]}"
        report.error(spot, f"a condition is written with a colon and a space: {right}", right)
    elif key in _JOINED:
        report.error(spot, f'there is no "{key}" here: {_JOINED[key]}')
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
