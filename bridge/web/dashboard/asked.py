"""What the address of a page asks for: every value is checked, and one that is not ours becomes the default."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Any, Self
from urllib.parse import urlencode

from bridge.funnel import monday
from bridge.model import Outcome
from bridge.store import Which

PERIODS = (4, 13, 26, 52)  # weeks
STATES = ("open", "ended", "all")
MOST_PAGES = 100_000
FIRST_YEAR, LAST_YEAR = 2000, 2100  # whatever is nearer can be computed with
A_WEEK = timedelta(weeks=1)
LONGEST = 200  # characters of a name in an address

Query = Mapping[str, str]


class Asked:
    """What two kinds of pages have in common: an address that says what is shown."""

    path = "/"

    def but(self, **other: Any) -> str:
        """Return the address of the same page but for these values."""
        changed = replace(self, **other)  # type: ignore[type-var]
        usual = type(self)()
        said = {k: v for k, v in asdict(changed).items() if v != getattr(usual, k)}  # type: ignore[call-overload]
        return f"{self.path}?{urlencode(said)}" if said else self.path


@dataclass(frozen=True)
class Period(Asked):
    """The weeks and the account that the overview is about; no account: all of them."""

    weeks: int = 4
    account: str | None = None

    @classmethod
    def read(cls, query: Query, accounts: Collection[str]) -> Self:
        """Read an address."""
        weeks = query.get("weeks", "")
        known = [n for n in PERIODS if str(n) == weeks]
        return cls(known[0] if known else PERIODS[0], one_of(query.get("account"), accounts))


@dataclass(frozen=True)
class Selection(Asked):
    """Which cases are listed; None: whatever it is. *week* is the Monday of their flagging."""

    path = "/cases"

    state: str = "open"
    account: str | None = None
    rule: str | None = None
    outcome: Outcome | None = None
    week: date | None = None
    page: int = 1

    def which(self, zone: tzinfo) -> Which:
        """Return what this means to the store; weeks begin at midnight of their Monday in *zone*."""
        return Which(
            account=self.account,
            is_open={"open": True, "ended": False}.get(self.state),
            outcome=self.outcome,
            rule=self.rule,
            since=datetime.combine(self.week, time(), zone) if self.week else None,
            until=datetime.combine(self.week + A_WEEK, time(), zone) if self.week else None,
        )

    @classmethod
    def read(cls, query: Query, accounts: Collection[str]) -> Self:
        """Read an address. An outcome asks for cases that have ended, unless it asks for all of them."""
        outcome = one_of(query.get("outcome"), list(Outcome))
        state = one_of(query.get("state"), STATES) or ("ended" if outcome else "open")
        return cls(
            state="ended" if outcome and state == "open" else state,
            account=one_of(query.get("account"), accounts),
            rule=query.get("rule", "")[:LONGEST] or None,
            outcome=Outcome(outcome) if outcome else None,
            week=_week(query.get("week", "")),
            page=_page(query.get("page", "")),
        )


def one_of(text: str | None, known: Collection[str]) -> str | None:
    """Return a value that is known, else None."""
    return text if text in known else None


def _week(text: str) -> date | None:
    try:
        found = date.fromisoformat(text[:10])
    except ValueError:
        return None
    return monday(found) if FIRST_YEAR <= found.year <= LAST_YEAR else None


def _page(text: str) -> int:
    found = int(text) if text.isascii() and text.isdigit() and len(text) < 7 else 1
    return min(max(found, 1), MOST_PAGES)
