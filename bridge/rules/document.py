"""The text of rules.yaml as plain values that know their place.

YAML is read event by event and composed here, without recursion: own scalar rules (only true and false are booleans,
only plain decimal numbers are numbers, dates stay text), no anchors, aliases, tags or merge keys, no key twice, bounded
size and depth. The parser is libyaml's where PyYAML has it, else PyYAML's own; both give the same events and places.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml

from bridge.rules.pasted import INVISIBLE, QUOTES, SPACES, STRAIGHT_QUOTES, look_over
from bridge.rules.problems import TOP, Reporter, Spot

MAX_SIZE = 1_000_000  # characters
MAX_DEPTH = 50

Loc = tuple[str | int, ...]

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,14})(\.[0-9]{1,15})?")
_ODD_IN_KEY = re.compile(f"[{SPACES}]")
_CONSTANTS = {"true": True, "false": False, "null": None, "~": None, "": None}
_SYNTAX = (  # what the parser says -> what an admin can do about it
    (
        "mapping values are not allowed",
        'a ": " here begins a new key; put the text in quotes, or check the indentation of this line',
    ),
    ("expected ',' or ']'", "this [ is not closed, or a comma is missing; put text with commas or brackets in quotes"),
    ("expected ',' or '}'", "this { is not closed, or a comma is missing; put text with commas or braces in quotes"),
    ("unexpected end of stream", "this quote is not closed"),
    ("unexpected document separator", "this quote is not closed"),
    ("could not find expected ':'", 'this line is no "key: value"; write a colon and a space after the key'),
    ("unknown escape", "inside double quotes a backslash begins an escape; use single quotes"),
    ("'-' indicator", 'this line does not fit the list above it; begin it with "- ", or check the indentation'),
    ("expected key", "this line does not fit those above it; check the indentation, and quote text that has quotes"),
    ("expected <block end>", "this line does not fit those above it; check the indentation, and quotes inside text"),
    ("node content", "a value is missing here, or a bracket is closed that was not opened"),
)
_TIGHT = re.compile(r"\s*(?:- +)?[a-z_]{2,40}:(?![\s/]|$)")  # a key whose colon has no space behind it
_AT_CONTEXT = ("expected ',' or", "unexpected end of stream", "unexpected document", "could not find expected ':'")


class Map(dict[str, Any]):
    """A mapping that knows its place and those of its keys and values."""

    __slots__ = ("in_braces", "key_spots", "spot", "value_spots")

    def __init__(self, spot: Spot = TOP, *, in_braces: bool = False) -> None:
        super().__init__()
        self.spot = spot
        self.in_braces = in_braces
        self.key_spots: dict[str, Spot] = {}
        self.value_spots: dict[str, Spot] = {}


class Items(list[Any]):
    """A list that knows its place and those of its items."""

    __slots__ = ("spot", "value_spots")

    def __init__(self, spot: Spot = TOP) -> None:
        super().__init__()
        self.spot = spot
        self.value_spots: list[Spot] = []


@dataclass
class Document:
    """The composed values of one text."""

    data: Any
    top: Spot = TOP

    def spot(self, loc: Loc) -> Spot:
        """Return the place of the value at *loc*; steps that are not in the text are skipped."""
        return self._walk(loc)[0]

    def key_spot(self, loc: Loc) -> Spot:
        """Return the place of the key at *loc*, or of its value where there is no key."""
        spot, parent = self._walk(loc)
        if isinstance(parent, Map) and loc[-1] in parent.key_spots:
            return parent.key_spots[str(loc[-1])]
        return spot

    def at(self, loc: Loc) -> Any:
        """Return the value at *loc*, or None."""
        here = self.data
        for step in loc:
            if isinstance(here, Map):
                here = here.get(str(step))
            elif isinstance(here, Items) and isinstance(step, int) and step < len(here):
                here = here[step]
            else:
                return None
        return here

    def _walk(self, loc: Loc) -> tuple[Spot, Any]:
        here, spot = self.data, self.top
        parent: Any = None
        for step in loc:
            if isinstance(here, Map) and step in here:
                parent, spot, here = here, here.value_spots[str(step)], here[str(step)]
            elif isinstance(here, Items) and isinstance(step, int) and step < len(here):
                parent, spot, here = here, here.value_spots[step], here[step]
        return spot, parent


def compose(text: str, report: Reporter, *, parser: Any = None) -> Document | None:
    """Compose *text*; None if it cannot be understood at all. Problems go to *report*."""
    if len(text) > MAX_SIZE:
        report.error(TOP, f"the file has {len(text):,} characters; at most {MAX_SIZE:,} are read")
        return None
    if not look_over(text, report):
        return None
    composer = _Composer(report)
    try:
        for event in yaml.parse(text, Loader=parser or getattr(yaml, "CBaseLoader", yaml.BaseLoader)):
            if not composer.take(event):
                return None
    except yaml.MarkedYAMLError as exc:
        spot, message = _explain(exc, composer.long_quote, report)
        if not any(problem.line in (spot.line - 1, spot.line) for problem in report.problems):  # else that is why
            report.error(spot, message)
        return None
    except yaml.YAMLError as exc:
        report.error(TOP, f"not YAML: {exc}")
        return None
    if composer.document is None:
        report.error(TOP, "the file is empty; `recovery-bridge init` writes one to begin with")
    return composer.document


def _explain(exc: yaml.MarkedYAMLError, long_quote: tuple[Spot, int] | None, report: Reporter) -> tuple[Spot, str]:
    """Say where a syntax error is and what to do; the last quoted text of several lines is the usual suspect."""
    problem = exc.problem or "not YAML"
    at_context = exc.context_mark is not None and any(words in problem for words in _AT_CONTEXT)
    mark = exc.context_mark if at_context else exc.problem_mark
    spot = Spot(mark.line + 1, mark.column + 1) if mark else TOP
    if "mapping values are not allowed" in problem or "expected ':'" in problem:
        for number in (spot.line, spot.line - 1):
            if number and (tight := _TIGHT.match(report.line(number))):
                return Spot(number, tight.end()), "put a space after the colon"
    if long_quote and long_quote[1] == spot.line:
        return long_quote[0], f"this quote ends only in line {spot.line}; close it where the text ends"
    if "expected ',' or" in problem and re.match(r"[\[{][^\]}]*\s#", report.line(spot.line)[spot.column - 1 :]):
        return spot, 'what follows a # is a comment; put such text in quotes, like "#channel"'
    if "cannot start any token" in problem or "tab character" in problem:
        return spot, "text cannot begin with a tab, @, ` or %; indent with spaces, and put such text in quotes"
    return spot, next((advice for words, advice in _SYNTAX if words in problem), f"not YAML: {problem}")


class _Composer:
    """Builds the values from events; a stack of open mappings and lists takes the place of recursion."""

    def __init__(self, report: Reporter) -> None:
        self._report = report
        self._stack: list[Map | Items] = []
        self._keys: list[tuple[str, Spot] | None] = []  # for each open mapping: the key that waits for its value
        self.document: Document | None = None
        self.long_quote: tuple[Spot, int] | None = None  # the last quoted text of several lines, and where it ends

    def take(self, event: yaml.Event) -> bool:
        """Take the next event; False if reading on makes no sense."""
        match event:
            case yaml.ScalarEvent():
                self._scalar(event)
            case yaml.MappingStartEvent():
                return self._open(Map(_spot(event), in_braces=bool(event.flow_style)), event)
            case yaml.SequenceStartEvent():
                return self._open(Items(_spot(event)), event)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._stack.pop()
                self._keys.pop()
            case yaml.AliasEvent():
                spot = _spot(event, len(event.anchor or "") + 1)
                self._report.error(spot, "aliases (*name) are not used here; write it out, or in quotes if it is text")
                self._place(None, spot)
            case yaml.DocumentStartEvent() if self.document is not None:
                self._report.error(_spot(event), "one file holds one document; delete the --- and what follows")
                return False
            case _:
                pass
        return True

    def _open(self, holder: Map | Items, event: yaml.Event) -> bool:
        spot = _spot(event)
        if len(self._stack) == MAX_DEPTH:
            self._report.error(spot, f"nested more than {MAX_DEPTH} deep")
            return False
        self._refuse_marks(event, spot)
        if self._wants_key():
            self._report.error(spot, "a key is plain text; put text that begins with { or [ in quotes")
            return False
        self._place(holder, spot)
        self._stack.append(holder)
        self._keys.append(None)
        return True

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        spot = _spot(event, _width(event))
        if event.style in ("'", '"') and (last_line := _last_line(event)) > spot.line:
            self.long_quote = (spot, last_line)
        self._refuse_marks(event, spot)
        if not event.value.isascii() and event.style not in ("'", '"', "|", ">"):
            self._refuse_lookalikes(event.value, spot)
        if not self._wants_key():
            self._place(_plain_value(event.value) if event.implicit[0] else event.value, spot)
            return
        holder = self._stack[-1]
        if event.value == "<<" and event.implicit[0]:
            self._report.error(spot, "merge keys (<<) are not used here; in a playbook write like: NAME")
        elif isinstance(holder, Map) and event.value in holder:
            first = holder.key_spots[event.value].line
            self._report.error(spot, f'the key "{event.value}" stands here twice, first in line {first}; delete one')
        self._keys[-1] = (event.value, spot)

    def _wants_key(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1], Map) and self._keys[-1] is None

    def _place(self, value: Any, spot: Spot) -> None:
        """Put a value where it belongs; the first of two equal keys wins, a merge key is dropped."""
        if not self._stack:
            self.document = Document(value, spot)
            return
        holder = self._stack[-1]
        if isinstance(holder, Items):
            holder.append(value)
            holder.value_spots.append(spot)
            return
        key, key_spot = self._keys[-1] or ("", spot)
        self._keys[-1] = None
        if key not in holder and key != "<<":
            holder[key] = value
            holder.key_spots[key] = key_spot
            holder.value_spots[key] = spot

    def _refuse_lookalikes(self, text: str, spot: Spot) -> None:
        """Report quotes that quote nothing, and characters that nobody sees, in text without quotes."""
        if text.startswith(tuple(QUOTES)):
            self._report.error(spot, STRAIGHT_QUOTES)
        elif odd := INVISIBLE.search(text) or (self._wants_key() and _ODD_IN_KEY.search(text)):
            place = Spot(spot.line, spot.column + odd.start())
            self._report.error(place, f"a character that nobody sees stands here, U+{ord(odd[0]):04X}; delete it")

    def _refuse_marks(self, event: Any, spot: Spot) -> None:
        if event.anchor is not None:
            self._report.error(spot, f"anchors (&{event.anchor}) are not used here; in a playbook write like: NAME")
        if event.tag is not None:
            self._report.error(spot, f"tags ({event.tag}) are not used here; put text that begins with ! in quotes")


def _spot(event: Any, width: int = 1) -> Spot:
    return Spot(event.start_mark.line + 1, event.start_mark.column + 1, width)


def _last_line(event: Any) -> int:
    return int(event.end_mark.line) + 1


def _width(event: Any) -> int:
    one_line = event.start_mark.line == event.end_mark.line
    return max(1, event.end_mark.column - event.start_mark.column) if one_line else 1


def _plain_value(text: str) -> Any:
    """Return what an unquoted scalar means; everything but true, false, null and decimal numbers is text."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    number = _NUMBER.fullmatch(text)
    if not number:
        return text
    return float(text) if number[1] else int(text)
