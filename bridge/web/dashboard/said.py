"""How the dashboard says things: times in the zone of rules.yaml, shares, and words for stages and outcomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any
from unicodedata import category

from markupsafe import Markup

from bridge.model import Case, Outcome, Severity, Stage
from bridge.show import duration, moment, until

STAGES: Mapping[Stage, str] = {
    Stage.UNCONFIRMED: "unconfirmed",
    Stage.ASSIGNED: "assigned",
    Stage.ACKNOWLEDGED: "acknowledged",
    Stage.CONTACTED: "contacted",
    Stage.SOLVED: "solved",
    Stage.SURVEYED: "asked again",
    Stage.ENDED: "ended",
}
OUTCOMES: Mapping[Outcome, str] = {
    Outcome.RECOVERED: "recovered",
    Outcome.IMPROVED: "improved",
    Outcome.NOT_RECOVERED: "not recovered",
    Outcome.NO_RESPONSE: "no response",
    Outcome.UNFIXABLE: "cannot be fixed",
    Outcome.STOPPED: "stopped",
    Outcome.DISMISSED: "dismissed",
}
NEXT: Mapping[str, str] = {"acknowledged": "acknowledge", "replied": "reply", "solved": "solve"}  # deadlines as tasks
PARTIES: Mapping[str, str] = {
    "service": "service",
    "product": "product",
    "policy": "policy",
    "third_party": "third party",
}


@dataclass(frozen=True)
class Moment:
    """A time on a page: for people in their zone, for programs in UTC."""

    at: datetime
    text: str

    def __html__(self) -> str:
        return Markup('<time datetime="{}">{}</time>').format(moment(self.at), self.text)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Clock:
    """Now, and the zone in which times are shown."""

    now: datetime
    zone: tzinfo

    def time(self, at: datetime) -> Moment:
        """Return a time with its day; the year only where it is another one."""
        here = at.astimezone(self.zone)
        year = "" if here.year == self.now.astimezone(self.zone).year else f" {here.year}"
        return Moment(at, f"{here:%a} {here.day} {here:%b}{year}, {here:%H:%M}")

    def day(self, at: datetime) -> Moment:
        """Return the day of a time."""
        here = at.astimezone(self.zone)
        return Moment(at, f"{here:%a} {here.day} {here:%b %Y}")

    def hour(self, at: datetime) -> Moment:
        """Return a time of today without its day, another one with it."""
        here = at.astimezone(self.zone)
        today = here.date() == self.now.astimezone(self.zone).date()
        return Moment(at, f"{here:%H:%M}") if today else self.time(at)

    def left(self, at: datetime) -> str:
        """Say how long is left until a time, or how long it is past."""
        return until(at, self.now)

    def is_past(self, at: datetime | None) -> bool:
        """True for a time that has come."""
        return at is not None and at <= self.now


def visible(value: Any) -> Any:
    """Return what stands on a page without characters that nobody sees, such as those that turn text around."""
    if not isinstance(value, str) or isinstance(value, Markup) or value.isascii():
        return value
    return "".join(letter for letter in value if letter in "\n\t" or category(letter) not in ("Cc", "Cf", "Cs"))


def standing(case: Case) -> str:
    """Say where a case stands, or how it ended."""
    return OUTCOMES[case.outcome] if case.outcome else STAGES[case.stage]


def is_pressing(severity: Severity) -> bool:
    """True for severities that a page brings out."""
    return severity in (Severity.HIGH, Severity.CRITICAL)


def lasted(length: timedelta | None) -> str:
    """Return how long something took."""
    return duration(length) if length is not None else "none yet"
