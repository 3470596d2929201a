"""The text of rules_test.yaml as scenes: a ticket, the people, what happens when, and what is expected.

Read like rules.yaml itself: every problem at once, with its place. What a scene leaves out it takes from the top.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StrictBool, model_validator

from bridge.errors import RulesError
from bridge.hours import parse_duration
from bridge.model import Category, Severity, Stage, point_of
from bridge.rules import Rules
from bridge.rules.document import Document, Items, Loc, Map, compose
from bridge.rules.loading import understood
from bridge.rules.problems import Problem, Reporter, unknown
from bridge.rules.schema import Part
from bridge.rules.values import Email, Known, LanguageTag, MoneyText, Name, Reads, wrong

NOTHING = "nothing"
NOBODY = "nobody"
NONE = "none"  # no rule
_POINTS = re.compile(r"([1-9][0-9]?)(?: of ([1-9][0-9]?))?")
_BAD_RATINGS = re.compile(r"bad_ratings_([1-9][0-9]{0,3})d")
_DEEDS = (  # what people do, as a test writes it
    r"(?P<verb>acknowledged|replied|solved|reopened|closed|merged|deleted)",
    r"customer (?P<verb>wrote)",
    r"(?P<verb>assigned) to (?P<what>.+?)( by a human)?",
    r"(?P<verb>tagged) (?P<what>\S+)",
    r"(?P<verb>rated) (?P<what>.+)",
    r"(?P<what>\S+) is (?P<verb>away|back)",
    r"(?P<what>\S+) (?P<verb>leaves)",
)
DEEDS_IN_WORDS = (
    "acknowledged, replied, solved, reopened, closed, merged, deleted, customer wrote, assigned to ANA, tagged TAG,"
    " rated good, ANA is away, ANA is back, ANA leaves"
)


@dataclass(frozen=True)
class Said:
    """A rating: its category, and its place on a scale."""

    category: Category
    value: int
    scale_max: int

    @property
    def point(self) -> float:
        """The value on a scale from 1 to 5."""
        return point_of(self.value, self.scale_max)


@dataclass(frozen=True)
class Deed:
    """What somebody does: the verb, and whom or what it is about."""

    verb: str
    what: str = ""


@dataclass(frozen=True)
class Moment:
    """A time in a test: so long after the scene began, or by the clock of the rules' timezone."""

    after: timedelta = timedelta()
    clock: datetime | None = None  # without a zone

    def at(self, begun: datetime, zone: tzinfo) -> datetime:
        """Return the moment in UTC."""
        return in_utc(self.clock, zone) if self.clock else begun + self.after


def in_utc(clock: datetime, zone: tzinfo) -> datetime:
    """Return what a clock in that zone shows as a moment in UTC."""
    return clock.replace(tzinfo=zone).astimezone(UTC)


# ------------------------------------------------------------------ the small texts
def said(value: Any) -> Said:
    """Read a rating such as bad, 2 or 4 of 7; points are classed as on a scale from 1 to 5."""
    text = str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if text in list(Category):
        value = {"bad": 1, "neutral": 3, "good": 5}[text]
        return Said(Category(text), value, 5)
    found = _POINTS.fullmatch(text)
    number, scale = (int(found[1]), int(found[2] or 5)) if found else (0, 0)
    if scale < 2 or not 1 <= number <= scale:
        raise wrong(f'"{value}" is not a rating; write bad, neutral or good, or points like 2 of 5')
    point = point_of(number, scale)
    return Said(Category.BAD if point < 2.5 else Category.NEUTRAL if point < 3.5 else Category.GOOD, number, scale)


def _moment(value: Any) -> Moment:
    text = value if isinstance(value, str) else ""
    if not (found := re.fullmatch(r"([+-])\s*(.+)", text)):
        return Moment(clock=_clock(value))
    try:
        amount = parse_duration(found[2])
    except ValueError as exc:
        raise wrong(str(exc)) from exc
    return Moment(after=amount if found[1] == "+" else -amount)


def _clock(value: Any) -> datetime:
    text = value if isinstance(value, str) else ""
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}", text):
        raise wrong(f'"{value}" is not a moment; write 2026-03-09 10:00, or +1d 2h in a step')
    try:
        return datetime.fromisoformat(text)
    except ValueError as exc:
        raise wrong(f'"{text}" is not in the calendar') from exc


def _deed(value: Any) -> Deed:
    text = value.strip() if isinstance(value, str) else ""
    found = next((found.groupdict() for deed in _DEEDS if (found := re.fullmatch(deed, text))), None)
    if found is None:
        raise wrong(f'"{value}" is nothing that anybody does here; there are: {DEEDS_IN_WORDS}')
    if found["verb"] == "rated":
        said(found["what"])
    return Deed(found["verb"], found.get("what") or "")


def _texts(value: Any) -> tuple[str, ...]:
    found = tuple(value) if isinstance(value, Items) else (value,)
    if not all(isinstance(item, str) and item.strip() for item in found):
        raise wrong("text is wanted here, or a list of texts like [one, two]")
    return found


Rated = Annotated[Said, Reads(said)]
When = Annotated[Moment, Reads(_moment)]
Clock = Annotated[datetime, Reads(_clock)]  # without a zone
Does = Annotated[Deed, Reads(_deed)]
Texts = Annotated[tuple[str, ...], Reads(_texts)]
Count = Annotated[int, Field(strict=True, ge=0, le=1_000_000)]


# ------------------------------------------------------------------ the file
class AgentEntry(Part):
    """An agent: their team, and whether they can take a ticket."""

    group: Name | None = None
    email: Email | None = None  # NAME@example.com, if it is left out
    available: StrictBool = True
    left: StrictBool = False
    open_recoveries: Count = 0


class TicketEntry(Part):
    """The rating and its ticket."""

    rating: Rated | None = None
    rated: When | None = None  # -10m, if it is left out
    comment: str | None = None
    reason: str | None = None
    requested: StrictBool = False  # an agent asked with the tag sr_request: there is no rating
    account: Name | None = None
    original_agent: Name | None = None  # who held it when it was rated
    assignee: Name | None = None  # who holds it now: the same one, if it is left out
    group: Name | None = None  # the assignee's, if it is left out
    status: Literal["open", "pending", "solved", "closed", "archived", "deleted", "spam", "merged"] = "solved"
    channel: str | None = None
    priority: Literal["low", "normal", "high", "urgent"] | None = None
    brand: str | None = None
    subject: str | None = None
    language: LanguageTag | None = None
    tags: tuple[str, ...] = ()
    customer_tags: tuple[str, ...] = ()
    organization_tags: tuple[str, ...] = ()
    customer_first_name: str | None = None
    reopens: Count = 0
    bad_ratings: dict[int, Count] = Field(
        default_factory=dict
    )  # within so many days, with this one; written bad_ratings_90d: 3

    @model_validator(mode="before")
    @classmethod
    def _counts(cls, value: Any) -> Any:
        """Take `bad_ratings_90d: 3` for any number of days."""
        if not isinstance(value, Map):
            return value
        days = {key: found for key in value if (found := _BAD_RATINGS.fullmatch(key))}
        rest = {key: item for key, item in value.items() if key not in days}
        return {**rest, "bad_ratings": {int(found[1]): value[key] for key, found in days.items()}} if days else value


class Expect(Part):
    """What must come of it; what is left out is not looked at."""

    rule: Name | None = None
    ignored_by: Name | None = None
    severity: Severity | None = None
    playbook: Name | None = None
    stage: Stage | None = None
    ticket: Literal["reopen", "follow_up", "note_only", "nothing"] | None = None
    assign: Name | None = None
    priority: Literal["low", "normal", "high", "urgent", "none"] | None = None
    tags: tuple[str, ...] | None = None  # that are added
    note_contains: Texts | None = None
    goodwill_up_to: MoneyText | None = None
    remind: Name | None = None
    notify: Texts | None = None
    task: Name | None = None
    send: Literal["survey", "reminder"] | None = None
    end: Literal["recovered", "improved", "not recovered", "no response", "stopped", "dismissed"] | None = None


class StepExpect(Expect):
    """What must have happened since the step before; whatever else is done, beyond notes and tags, is a failure."""

    @model_validator(mode="before")
    @classmethod
    def _nothing(cls, value: Any) -> Any:
        if value == NOTHING:
            return {}
        if isinstance(value, str):
            raise wrong("write nothing, or what is expected, like {remind: ana}")
        return value


class Step(Part):
    """A moment, and what somebody does then, or what must have happened by then."""

    at: When
    do: Does | None = None
    expect: StepExpect | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.do is None and self.expect is None:
            raise wrong("nothing is done or expected here; write do or expect")
        return self


class Variant(TicketEntry):
    """One of several tickets of a scene, with what is expected of it."""

    expect: Expect


class Scene(Part):
    """One test."""

    name: Name
    now: Clock | None = None
    agents: dict[Name, AgentEntry] = Field(default_factory=dict)
    ticket: TicketEntry = Field(default_factory=TicketEntry)
    expect: Expect | None = None
    each: tuple[Variant, ...] = ()
    steps: tuple[Step, ...] = ()

    @model_validator(mode="after")
    def _expects_something(self) -> Self:
        said = [self.expect, *(one.expect for one in self.each)]
        if any(one is not None and one.model_fields_set for one in said):
            return self
        if not any(step.expect is not None for step in self.steps):
            raise wrong("this test expects nothing; write expect, or a step with one")
        return self


class ScriptFile(Part):
    """The whole of rules_test.yaml."""

    version: Literal[1]
    rules: str | None = None  # the file that it tests, beside it; for people: the command names it with --rules
    now: Clock  # every test starts here, in the timezone of the rules
    agents: dict[Name, AgentEntry] = Field(default_factory=dict)
    ticket: TicketEntry = Field(default_factory=TicketEntry)
    tests: tuple[Scene, ...] = Field(min_length=1)


@dataclass(frozen=True)
class Script:
    """The scenes of one file, and where each stands."""

    path: str
    file: ScriptFile
    document: Document

    def line(self, *loc: str | int) -> int:
        """Return the line at which something of the file begins."""
        return self.document.spot(loc).line


def tests_beside(rules_path: Path) -> Path:
    """Return where the tests of a rules file are: rules_test.yaml for rules.yaml."""
    return rules_path.with_name(f"{rules_path.stem}_test{rules_path.suffix}")


def read_script(text: str, rules: Rules, name: str = "rules_test.yaml") -> Script:
    """Read the tests of *rules*; raises RulesError with every problem of the file."""
    report = Reporter(name, text)
    document = compose(text, report)
    if document is None:
        raise RulesError(report.problems)
    if not isinstance(document.data, Map):
        report.error(document.top, "a file of tests has: version, ticket, agents, tests")
        raise RulesError(report.problems)
    given = {key: value for key, value in document.data.items() if value is not None}
    file = understood(ScriptFile, given, document, Known(report, {}))
    if file is not None:
        for loc, what, word, names in _named(file, rules):
            if word not in names:
                report.error(document.spot(loc), *unknown(what, word, names))
        _refuse_twins(file, document, report)
    problems: list[Problem] = report.problems
    if file is None or problems:
        raise RulesError(problems)
    return Script(name, file, document)


# ------------------------------------------------------------------ what names something of the rules, or an agent
_Named = tuple[Loc, str, str, Sequence[str]]


def _named(file: ScriptFile, rules: Rules) -> Iterator[_Named]:
    """Yield every name in the file that must exist: where it stands, of what it is one, and which there are."""
    for number, scene in enumerate(file.tests):
        here: Loc = ("tests", number)
        agents = [*dict.fromkeys((*file.agents, *scene.agents))]
        yield from _of_ticket((*here, "ticket"), scene.ticket, agents, rules)
        yield from _of_expect((*here, "expect"), scene.expect, agents, rules)
        for index, variant in enumerate(scene.each):
            yield from _of_ticket((*here, "each", index), variant, agents, rules)
            yield from _of_expect((*here, "each", index, "expect"), variant.expect, agents, rules)
        for index, step in enumerate(scene.steps):
            at: Loc = (*here, "steps", index)
            yield from _of_expect((*at, "expect"), step.expect, agents, rules)
            if step.do and step.do.verb in ("assigned", "away", "back", "leaves"):
                yield (*at, "do"), "agent", step.do.what, agents
    yield from _of_ticket(("ticket",), file.ticket, [*file.agents], rules)


def _of_ticket(loc: Loc, ticket: TicketEntry, agents: Sequence[str], rules: Rules) -> Iterator[_Named]:
    for key in ("original_agent", "assignee"):
        if name := getattr(ticket, key):
            yield (*loc, key), "agent", name, [*agents, NOBODY]
    if ticket.account:
        yield (*loc, "account"), "account", ticket.account, [*rules.accounts]


def _of_expect(loc: Loc, expect: Expect | None, agents: Sequence[str], rules: Rules) -> Iterator[_Named]:
    if expect is None:
        return
    known: Mapping[str, Sequence[str]] = {
        "rule": [*(rule.name for rule in rules.rules), NONE],
        "ignored_by": [entry.name for entry in rules.ignore],
        "playbook": [*rules.playbooks],
        "assign": [*agents, NOBODY],
        "remind": agents,
        "task": agents,
    }
    for key, names in known.items():
        if word := getattr(expect, key):
            what = {"rule": "rule", "ignored_by": "entry of ignore", "playbook": "playbook"}.get(key, "agent")
            yield (*loc, key), what, word, names
    for word in expect.notify or ():
        yield (*loc, "notify"), "person", word, [*rules.people, NOBODY]


def _refuse_twins(file: ScriptFile, document: Document, report: Reporter) -> None:
    seen: set[str] = set()
    for number, scene in enumerate(file.tests):
        if scene.name.casefold() in seen:
            report.error(document.spot(("tests", number, "name")), f'there is a test "{scene.name}" already')
        seen.add(scene.name.casefold())
