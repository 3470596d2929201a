"""The forms of the small texts of rules.yaml, as JSON Schema: what editors check while somebody types.

Each lets through all that the reader in `values` or `fields` takes, and as little else as a pattern can say. Only
keywords that mean the same in every draft since 07 are used: editors know different ones.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

Form = dict[str, Any]

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WEEKDAY = "(?:" + "|".join("".join(f"[{c.upper()}{c}]" for c in day) for day in _DAYS) + ")"
_DURATION = r"(?=[0-9])(?:[0-9]{1,5}d)?\s*(?:[0-9]{1,6}h)?\s*(?:[0-9]{1,7}m)?"
_CLOCK = r"(?:(?:[01]?[0-9]|2[0-3]):[0-5][0-9]|24:00)"
_SPAN = rf"\s*{_CLOCK}\s*-\s*{_CLOCK}\s*"
_MONEY = r"[0-9]{1,9}(?:\.[0-9]{1,2})? [A-Z]{3}"
_EMAIL = r"[^@\s<>,;\"()]{1,64}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+"
_SECURE = r"(?:[Hh][Tt][Tt][Pp][Ss]://|[Hh][Tt][Tt][Pp]://(?:[Ll][Oo][Cc][Aa][Ll][Hh][Oo][Ss][Tt]|127\.|\[))"
_LANGUAGE = r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{1,8})*"


def text(pattern: str) -> Form:
    """Return the form of a text that has this pattern, with whatever spaces around it."""
    return {"type": "string", "pattern": rf"^\s*(?:{pattern})\s*$"}


def one_of(*words: str) -> Form:
    """Return the form of a text that is one of these words, in any letter case."""
    return {"anyOf": [{"enum": list(words)}, {"type": "string", "pattern": _any_case(words)}]}


def _any_case(words: Collection[str]) -> str:
    letters = "|".join("".join(f"[{c.upper()}{c}]" if c.isalpha() else c for c in word) for word in words)
    return rf"^\s*(?:{letters})\s*$"


def some(item: Form) -> Form:
    """Return the form of a list with at least one item."""
    return {"type": "array", "items": item, "minItems": 1}


def words_for(**forms: Form) -> Form:
    """Return the form of a mapping with at least one of these keys, and no other."""
    return {"type": "object", "properties": forms, "additionalProperties": False, "minProperties": 1}


TEXT: Form = {"type": "string", "pattern": r"\S"}
NAME: Form = {"type": "string", "pattern": r"^\S(?:[^\n]*\S)?$", "maxLength": 100}
DURATION = text(_DURATION)
CLOCK = text(_CLOCK)
SPAN = text(_SPAN)
DAY = text(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
MONEY = text(_MONEY)
MONEY_LIMIT = text(rf"{_MONEY}\s* in \s*{_DURATION}")
COUNT_LIMIT = text(rf"[1-9][0-9]{{0,3}}\s* in \s*{_DURATION}")
EMAIL = text(_EMAIL)
SENDER = text(rf"{_EMAIL}|[^<>\r\n\"]{{1,80}} <{_EMAIL}>")
LANGUAGE = text(_LANGUAGE)
ADDRESS = text(rf"{_SECURE}\S+")
PAGE = text(rf"{_SECURE}[^\s?#]+")
HOST = text(rf"{_SECURE}[^\s/?#@]*/*")
TARGET = text(rf"{_EMAIL}|#[^\s#]{{1,80}}|{_SECURE}\S+")
TAG = text(r"(?![Ss][Rr]_)[^\s,]{1,32}")
VERSION = text(r"[0-9]{1,4}(?:\.[0-9]{1,4}){0,2}")
TICKET_FIELD: Form = {"anyOf": [{"type": "integer", "minimum": 0}, text(r"[0-9]{1,20}|cf_[a-z0-9_]{1,200}")]}
HOLIDAYS: Form = {"anyOf": [text(r"[A-Z]{2}(?:-[A-Z0-9]{1,6})?"), {"type": "array", "items": DAY}]}
SHARE: Form = {
    "anyOf": [
        {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        {"type": "string", "pattern": r"^[0-9]{1,3}(?:\.[0-9]+)? ?%$"},
    ]
}
WEEK: Form = {
    "type": "object",
    "propertyNames": {"pattern": rf"^\s*{_WEEKDAY}(?:-{_WEEKDAY})?\s*$"},
    "additionalProperties": text(rf"{_SPAN}(?:,{_SPAN})*"),
    "minProperties": 1,
}
CONDITIONS: Form = {"$ref": "#/$defs/Conditions"}  # see conditions()

# ------------------------------------------------------------------ conditions
RATING: Form = {
    "anyOf": [
        one_of("bad", "neutral", "good"),
        some(one_of("bad", "neutral", "good")),
        words_for(
            any_of={"anyOf": [one_of("bad", "neutral", "good"), some(one_of("bad", "neutral", "good"))]},
            none_of={"anyOf": [one_of("bad", "neutral", "good"), some(one_of("bad", "neutral", "good"))]},
            at_least={"type": "number", "minimum": 1, "maximum": 5},
            at_most={"type": "number", "minimum": 1, "maximum": 5},
        ),
    ]
}
_COUNTED: Form = {"type": "integer", "minimum": 0, "maximum": 1000}
COUNT = words_for(at_least=_COUNTED, at_most=_COUNTED)
AGE = words_for(older_than=DURATION, newer_than=DURATION)
YES_OR_NO: Form = {"type": "boolean"}
TAGS = words_for(has=TEXT, has_any=some(TEXT), has_all=some(TEXT), has_none=some(TEXT))
COMMENT = words_for(
    present=YES_OR_NO,
    mentions={
        "anyOf": [
            some(TEXT),
            {
                "type": "object",
                "propertyNames": {"pattern": rf"^{_LANGUAGE}$"},
                "additionalProperties": some(TEXT),
                "minProperties": 1,
            },
        ]
    },
)


def choice(item: Form = TEXT) -> Form:
    """Return the form of a condition on a text: one, a list, or any_of and none_of."""
    one_or_more = {"anyOf": [item, some(item)]}
    return {"anyOf": [item, some(item), words_for(any_of=one_or_more, none_of=one_or_more)]}


def conditions(fields: Mapping[str, Form]) -> Form:
    """Return the form of a block: lines by field, bad ratings in any number of days, alternatives one level deep."""
    inner = {
        "type": "object",
        "properties": dict(fields),
        "patternProperties": {"^bad_ratings_[1-9][0-9]{0,3}d$": fields["bad_ratings_90d"]},
        "additionalProperties": False,
        "minProperties": 1,
    }
    alternatives = {"description": "one of these blocks is enough", **some(inner)}
    return {**inner, "properties": {**fields, "any": alternatives}}
