"""The small texts of rules.yaml: durations, money, addresses, hours, dates; each reader says what it wanted instead.

The readers are pydantic validators: what they raise ends in one problem at the place of the value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from functools import lru_cache
from ipaddress import ip_address
from itertools import pairwise
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, ValidationInfo
from pydantic_core import PydanticCustomError, core_schema

from bridge import __version__
from bridge.hours import MIDNIGHT, Hours, PublicHolidays, parse_duration
from bridge.rules import forms, guesses
from bridge.rules.conditions import Block, for_ignore, for_rule
from bridge.rules.document import Items, Map
from bridge.rules.facts import fold_language
from bridge.rules.fields import LANGUAGE_TAG, read_block
from bridge.rules.notes import SURVEY_PLACEHOLDERS, Note, NoteError, parse_note
from bridge.rules.problems import Reporter, Spot, unknown

T = TypeVar("T")

LONGEST_TAG = 32  # characters: Freshdesk takes no more

_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_EMAIL = re.compile(r"[^@\s<>,;\"()]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")
_MONEY = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,2})?) ([A-Z]{3})")
_DURATION_HERE = re.compile(r"[0-9]+[dhm](?: ?[0-9]+[hm])*")
_COUNTRY = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,6})?")


@dataclass(frozen=True)
class Known:
    """The names that a rules file defines, for the checks of what refers to them; *report* takes problems."""

    report: Reporter
    names: Mapping[str, Collection[str] | None]  # of accounts, people, notes, playbooks; None: not known


@dataclass(frozen=True)
class Money:
    """An amount in one currency."""

    amount: Decimal
    currency: str

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"


@dataclass(frozen=True)
class CountWithin:
    """So many in so long."""

    count: int
    within: timedelta


@dataclass(frozen=True)
class MoneyWithin:
    """So much money in so long."""

    money: Money
    within: timedelta


def wrong(message: str, suggestion: str | None = None, *, key: str | None = None) -> PydanticCustomError:
    """Make the error that says in *message* what to write instead of a value, or of the value of *key* in it."""
    return PydanticCustomError("advice", "{advice}", {"advice": message, "suggestion": suggestion, "key": key})


def _not_a(what: str, text: str, like: str, right: str | None = None) -> PydanticCustomError:
    """Make the error for a text that is not *what* it should be, with what was probably meant or how it is written."""
    shown = text if len(text) <= 80 else f"{text[:80]} ..."
    if right is not None and right != text:
        return wrong(f'"{shown}" is not {what}; write {right}', right)
    return wrong(f'"{shown}" is not {what}; write it like {like}')


def _text(value: Any, like: str) -> str:
    if isinstance(value, str) and value.strip():
        return value.strip()
    if isinstance(value, bool | int | float):
        shown = str(value).lower()
        raise wrong(f'{shown} is not text here; write it like {like}, or put it in quotes: "{shown}"')
    if value is None:
        raise wrong(f"a value is missing here; write it like {like} (text that begins with # needs quotes)")
    raise wrong(f"text is wanted here, like {like}")


def _measure(value: Any, like: str) -> str:
    """Return a text that must have a unit; reports a bare number, which quotes would not mend."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise wrong(f"{value} of what? Write it with its unit, like {like}")
    return _text(value, like)


def _duration(value: Any) -> timedelta:
    text = _measure(value, "30m, 4h or 2d")
    try:
        return parse_duration(text)
    except ValueError as exc:
        right = guesses.duration(text)
        raise _not_a("a duration", text, "", right) if right else wrong(str(exc)) from exc


def _email(value: Any) -> str:
    text = _text(value, "ana@example.com")
    if not _EMAIL.fullmatch(text):
        inside = _EMAIL.search(text)
        what = "an e-mail address alone" if inside else "an e-mail address"
        raise _not_a(what, text, "ana@example.com", inside[0] if inside else None)
    return text


def _sender(value: Any) -> str:
    text = _text(value, "Acme Care <care@acme.example>")
    named = re.fullmatch(r"[^<>\r\n\"]{1,80} <([^<>]+)>", text)
    if not _EMAIL.fullmatch(named[1] if named else text):
        raise _not_a("a sender", text, "Acme Care <care@acme.example>")
    return text


def _language(value: Any) -> str:
    text = _text(value, "de or pt-br")
    if not LANGUAGE_TAG.fullmatch(text):
        raise _not_a("a language tag", text, "de or pt-br", guesses.language(text))
    return fold_language(text)


def _notify(value: Any) -> str:
    text = _text(value, 'ana@example.com, "#channel" or an https address')
    if _EMAIL.fullmatch(text) or re.fullmatch(r"#[^\s#]{1,80}", text):
        return text
    if text.lower().startswith(("http:", "https:")):
        return _url(text)
    if inside := _EMAIL.search(text):
        raise _not_a("an e-mail address alone", text, "", inside[0])
    right = f'"#{text.lower()}"' if re.fullmatch(r"[A-Za-z0-9_-]{2,80}", text) else None
    meant = f"; for a channel write {right}" if right else ""
    raise wrong(f'"{text}" cannot be notified; write an e-mail address, "#channel" or an https address{meant}', right)


def _url(value: Any) -> str:
    text = _text(value, "https://acme.zendesk.com")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as exc:
        raise wrong("this is not an address; write it like https://acme.zendesk.com") from exc
    if parts.username or parts.password:
        raise wrong("no secret belongs in this file; take the part before @ out of the address")
    right = guesses.url(text)
    if not host or any(character.isspace() for character in text):
        raise wrong(f"this is not an address; write it like {right or 'https://acme.zendesk.com'}", right)
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise wrong("write an https address; plain http is only for a loopback address such as 127.0.0.1", right)
    return text.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _host_url(value: Any) -> str:
    text = _url(value)
    parts = urlsplit(text)
    if parts.path or parts.query or parts.fragment:
        right = f"{parts.scheme}://{parts.netloc}"
        raise wrong(f"only the host belongs here: {right}", right)
    return text


def _page_url(value: Any) -> str:
    text = _url(value)
    found = re.search("[?#]", text)
    if found:
        right = text[: found.start()].rstrip("/")
        raise wrong(f"paths are added to this address; write it without what begins with {found[0]}: {right}", right)
    return text


def _field_name(value: Any) -> str:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else _text(value, "cf_cause")
    if not re.fullmatch(r"[0-9]{1,20}|cf_[a-z0-9_]{1,200}", text):
        raise wrong(
            f'"{text}" is no ticket field; write its id in Zendesk (a number), or its name in Freshdesk (cf_...)'
        )
    return text


def _money(value: Any) -> Money:
    text = _measure(value, "20 EUR")
    found = _MONEY.fullmatch(text)
    if not found:
        raise _not_a("an amount", text, "20 EUR", guesses.money(text))
    return Money(Decimal(found[1]), found[2])


def _within(value: Any, like: str) -> tuple[str, timedelta]:
    text = _measure(value, like)
    first, between, last = text.partition(" in ")
    if between and guesses.duration(last) is None:
        return first.strip(), _duration(last)
    if between and _DURATION_HERE.fullmatch(last.strip()):
        return first.strip(), _duration(last)
    found = guesses.within(text)
    right = f"{guesses.money(found[0]) or found[0]} in {found[1]}" if found else None
    raise _not_a("so much in so long", text, like, right)


def _count_within(value: Any) -> CountWithin:
    count, within = _within(value, "1 in 30d")
    if not re.fullmatch(r"[1-9][0-9]{0,3}", count):
        raise wrong(f'"{value}" is not understood; write it like 1 in 30d')
    return CountWithin(int(count), within)


def _money_within(value: Any) -> MoneyWithin:
    money, within = _within(value, "120 EUR in 90d")
    return MoneyWithin(_money(money), within)


def _tag(value: Any) -> str:
    text = _text(value, "csat-recovery")
    if re.search(r"[\s,]", text):
        right = re.sub(r"[\s,]+", "-", text)
        raise wrong(f'a tag has no spaces or commas; write "{right}"', right)
    if len(text) > LONGEST_TAG:
        raise wrong(f"this tag has {len(text)} characters; Freshdesk takes at most {LONGEST_TAG}")
    if text.casefold().startswith("sr_"):
        raise wrong("tags that begin with sr_ are the bridge's own; choose another")
    return text


def _share(value: Any) -> float:
    number = value
    if isinstance(value, str) and (found := re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]+)?) ?%", value)):
        number = float(found[1]) / 100
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 < number <= 1:
        advice = "a share above 0 and at most 1 is wanted here, like 0.5 or 50%"
        right = f"{number}%" if isinstance(number, int) and 1 < number <= 100 else None
        raise wrong(f"{advice}; write {right}" if right else advice, right)
    return float(number)


def _needs(value: Any) -> str:
    text = _text(value, '"1.0"')
    if not re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,4}){0,2}", text):
        raise _not_a("a version", text, '"1.0"')
    if _version(text) > _version(__version__):
        raise wrong(f"this file needs version {text} of recovery-bridge, and this is {__version__}; update it")
    return text


def _version(text: str) -> tuple[int, ...]:
    numbers = [int(number) for number in re.findall(r"[0-9]+", text)[:3]]
    return tuple(numbers + [0] * (3 - len(numbers)))


def _name(value: Any) -> str:
    text = _text(value, "Angry VIP")
    if len(text) > 100 or "\n" in text or text != value:
        raise wrong("a name is one line of at most 100 characters, without spaces around it")
    return text


# ------------------------------------------------------------------ time
def _zone(value: Any) -> ZoneInfo:
    text = _text(value, "Europe/Berlin")
    try:
        return ZoneInfo(text)
    except (KeyError, ValueError, OSError) as exc:
        if re.fullmatch(r"[A-Z]{2,5}|(?:UTC|GMT) ?[+-][0-9:]+", text):  # of several places, and not of their summer
            raise _not_a("a time zone that knows the clock changes", text, "Europe/Berlin") from exc
        raise wrong(*unknown("timezone", text, available_timezones())) from exc


def _clock(text: str) -> time:
    text = text.strip()
    if text == "24:00":
        return MIDNIGHT
    found = _CLOCK.fullmatch(text)
    if not found:
        raise _not_a("a time of day", text, "09:00", guesses.clock(text))
    return time(int(found[1]), int(found[2]))


def _span(text: str) -> tuple[time, time]:
    first, _, last = text.partition("-")
    right = guesses.span(text)
    if right and not all(_CLOCK.fullmatch(half.strip()) or half.strip() == "24:00" for half in (first, last)):
        raise _not_a("from one time of day to another", text, "", right)
    if not last:
        raise _not_a("from one time of day to another", text, "09:00-18:00")
    start, end = _clock(first), _clock(last)
    if start == end and start != MIDNIGHT:
        raise wrong(f'"{text}" begins and ends at once; for the whole day write 00:00-24:00')
    return start, end


def _time_of_day(value: Any) -> time:
    return _clock(_text(value, "17:00"))


def _quiet(value: Any) -> tuple[time, time]:
    return _span(_text(value, "21:00-08:00"))


def _working_hours(value: Any, info: ValidationInfo) -> tuple[Hours, ...]:
    """Read `{mon-fri: 09:00-18:00, ...}` into the hours of each weekday; what is past midnight goes to the next day."""
    if not isinstance(value, Map):
        raise wrong("days with hours are wanted here, like mon-fri: 09:00-18:00")
    report = _known(info).report
    week: list[list[tuple[time, time]]] = [[] for _ in _WEEKDAYS]
    for key, hours in value.items():
        days = _or_report(_days, key, value.key_spots[key], report) or ()
        spans = _or_report(_spans, hours, value.value_spots[key], report) or ()
        for day in days:
            for start, end in spans:
                _open(week, day, start, end)
    for number, day_hours in enumerate(week):
        _refuse_overlap(sorted(day_hours), _WEEKDAYS[number])
    if not value:
        raise wrong("no day is ever open; write at least one, like mon-fri: 09:00-18:00")
    return tuple(tuple(sorted(day_hours)) for day_hours in week)


def _open(week: list[list[tuple[time, time]]], day: int, start: time, end: time) -> None:
    if end != MIDNIGHT and end < start:
        week[day].append((start, MIDNIGHT))
        week[(day + 1) % 7].append((MIDNIGHT, end))
    else:
        week[day].append((start, end))


def _spans(value: Any) -> list[tuple[time, time]]:
    return [_span(part) for part in _text(value, "09:00-18:00").split(",")]


def _or_report(read: Callable[[Any], T], value: Any, spot: Spot, report: Reporter) -> T | None:
    """Read a part of a value; what is wrong with it is reported at the part's own place."""
    try:
        return read(value)
    except PydanticCustomError as exc:
        found = exc.context or {}
        report.error(spot, found["advice"], found["suggestion"])
        return None


def _days(text: str) -> range | list[int]:
    first, between, last = text.strip().lower().partition("-")
    if (right := guesses.days(text)) and not {first, last or first} <= set(_WEEKDAYS):
        raise _not_a("a day or from one day to another", text, "", right)
    for word in (first, last) if between else (first,):
        if word not in _WEEKDAYS:
            raise wrong(*unknown("day", word, _WEEKDAYS))
    begin, end = _WEEKDAYS.index(first), _WEEKDAYS.index(last or first)
    return range(begin, end + 1) if begin <= end else [*range(begin, 7), *range(end + 1)]


def _refuse_overlap(hours: list[tuple[time, time]], day: str) -> None:
    for (_, end), (start, _) in pairwise(hours):
        if end == MIDNIGHT or start < end:
            raise wrong(f"the hours of {day} overlap; write each hour of a day once")


def _holidays(value: Any, info: ValidationInfo) -> PublicHolidays | frozenset[date]:
    if isinstance(value, Items):
        report = _known(info).report
        days = [_or_report(_day, item, spot, report) for item, spot in zip(value, value.value_spots, strict=True)]
        return frozenset(day for day in days if day is not None)
    text = _text(value, "DE, DE-BE or a list of dates")
    if not _COUNTRY.fullmatch(text):
        right = guesses.country(text)
        raise _not_a("a country or region", text, "DE or DE-BE, or a list of dates", right)
    return _public_holidays(text)


@lru_cache(maxsize=64)
def _public_holidays(code: str) -> PublicHolidays:
    """Return the one object for a place: its dates are loaded once, however often it is named."""
    return PublicHolidays(code)


def _day(value: Any) -> date:
    text = _text(value, "2026-12-20")
    try:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            return date.fromisoformat(text)
    except ValueError as exc:
        raise wrong(f'"{text}" is not in the calendar') from exc
    raise _not_a("a date", text, "2026-12-20", guesses.day(text))


# ------------------------------------------------------------------ what refers to other parts of the file
def _known(info: ValidationInfo) -> Known:
    known: Known = info.context  # type: ignore[assignment]
    return known


def _one_of(kind: str, what: str, *besides: str) -> Callable[[Any, ValidationInfo], str]:
    def read(value: Any, info: ValidationInfo) -> str:
        text = _text(value, f"the name of a {what}")
        names = _known(info).names[kind]
        if names is not None and text not in names and text not in besides:
            raise wrong(*unknown(what, text, [*names, *besides]))
        return text

    return read


def _note(value: Any) -> Note:
    try:
        return parse_note(_text(value, "Please reply to {customer_name} by {reply_by}"))
    except NoteError as exc:
        raise PydanticCustomError("note", "{advice}", {"advice": str(exc), "faults": exc.faults}) from exc


def _survey_text(value: Any) -> Note:
    try:
        return parse_note(_text(value, "Did we make it right? {link}"), SURVEY_PLACEHOLDERS)
    except NoteError as exc:
        raise PydanticCustomError("note", "{advice}", {"advice": str(exc), "faults": exc.faults}) from exc


def _block(value: Any, info: ValidationInfo) -> Block:
    if isinstance(value, Items):
        raise wrong("conditions are lines without dashes: all of them must hold; for alternatives write any:")
    if isinstance(value, str) and (joined := re.fullmatch(r"([a-z_]+)(?:\s*(?:==?|is|:)\s*)(\S.*)", value)):
        right = f"{{{joined[1]}: {joined[2]}}}"
        raise wrong(f"conditions are wanted here, like {right}", right)
    if not isinstance(value, Map):
        raise wrong("conditions are wanted here, like {rating: bad}")
    known = _known(info)
    return read_block(value, known.report, known.names["accounts"])


def _of_rule(value: Any, info: ValidationInfo) -> Block:
    return for_rule(_block(value, info))


def _of_ignore(value: Any, info: ValidationInfo) -> Block:
    return for_ignore(_block(value, info))


class Reads:
    """Tells pydantic to read a value with one function, and nothing else: the cheapest schema there is.

    *form* is the JSON Schema of what the function takes, for editors.
    """

    def __init__(self, read: Callable[..., Any], form: forms.Form = forms.TEXT) -> None:
        self._read = read
        self.form = form

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self._read)


class Refers(Reads):
    """The same for what refers to other parts of the file; the function gets the `Known` names as context."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.with_info_plain_validator_function(self._read)


AccountName = Annotated[str, Refers(_one_of("accounts", "account"))]
HostUrl = Annotated[str, Reads(_host_url, forms.HOST)]
Clock = Annotated[time, Reads(_time_of_day, forms.CLOCK)]
Conditions = Annotated[Block, Refers(_block, forms.CONDITIONS)]
Day = Annotated[date, Reads(_day, forms.DAY)]
Duration = Annotated[timedelta, Reads(_duration, forms.DURATION)]
Email = Annotated[str, Reads(_email, forms.EMAIL)]
FieldName = Annotated[str, Reads(_field_name, forms.TICKET_FIELD)]
Holidays = Annotated[PublicHolidays | frozenset[date], Refers(_holidays, forms.HOLIDAYS)]
IgnoreConditions = Annotated[Block, Refers(_of_ignore, forms.CONDITIONS)]
LanguageTag = Annotated[str, Reads(_language, forms.LANGUAGE)]
MoneyText = Annotated[Money, Reads(_money, forms.MONEY)]
MoneyLimit = Annotated[MoneyWithin, Reads(_money_within, forms.MONEY_LIMIT)]
Name = Annotated[str, Reads(_name, forms.NAME)]
NeededVersion = Annotated[str, Reads(_needs, forms.VERSION)]
NoteName = Annotated[str, Refers(_one_of("notes", "note"))]
NoteText = Annotated[Note, Reads(_note)]
NotifyTarget = Annotated[str, Reads(_notify, forms.TARGET)]
PageUrl = Annotated[str, Reads(_page_url, forms.PAGE)]
PersonName = Annotated[str, Refers(_one_of("people", "person"))]
PlaybookName = Annotated[str, Refers(_one_of("playbooks", "playbook"))]
QuietHours = Annotated[tuple[time, time], Reads(_quiet, forms.SPAN)]
RateLimit = Annotated[CountWithin, Reads(_count_within, forms.COUNT_LIMIT)]
RuleConditions = Annotated[Block, Refers(_of_rule, forms.CONDITIONS)]
Rung = Annotated[str, Refers(_one_of("people", "person", "original_agent", "same_team"))]
Sender = Annotated[str, Reads(_sender, forms.SENDER)]
Share = Annotated[float, Reads(_share, forms.SHARE)]
SurveyNoteText = Annotated[Note, Reads(_survey_text)]
Tag = Annotated[str, Reads(_tag, forms.TAG)]
WeekHours = Annotated[tuple[Hours, ...], Refers(_working_hours, forms.WEEK)]
WholeNumber = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
Zone = Annotated[ZoneInfo, Reads(_zone)]
