"""What the store hands out and takes in, beyond the words of bridge.model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from bridge.errors import BridgeError
from bridge.model import Case, Category, Decision, Effect, EffectState, Outcome, Rating


class StaleCase(BridgeError):
    """Somebody else was faster: the row changed since it was read, or the lease is lost. Nothing was written."""


@dataclass(frozen=True)
class PageCount:
    """What one page brought."""

    seen: int  # ratings in it
    new: int  # of them, never seen before
    changed: int  # of them, seen before with another answer
    new_bad: int  # of both, bad ones
    malformed: int  # records that cannot be read, and were not known to be so


@dataclass(frozen=True)
class StoredRating:
    """One version of a rating; *outcome* None means that it still has to be decided."""

    row_id: int
    rating: Rating  # its comment is cut at 5,000 characters; its version is that of the whole
    source: str  # poll, sweep, import, hint
    seen_at: datetime
    tries: int
    outcome: str | None = None
    why: str | None = None
    case_id: str | None = None


@dataclass(frozen=True)
class Hint:
    """A webhook's word that a ticket should be looked at."""

    hint_id: int
    ticket_id: str
    received_at: datetime
    tries: int
    raw: str | None = None
    not_before: datetime | None = None  # when it is ripe, or comes again


@dataclass(frozen=True)
class Found:
    """A bad rating that a poll found."""

    account: str
    ticket_id: str
    at: datetime


@dataclass(frozen=True)
class Failure:
    """Something that came in and could not be worked on."""

    account: str
    kind: str  # record (unreadable), hint, rating
    key: str  # id of the record, of the delivery, of the rating
    ticket_id: str | None
    at: datetime
    error: str
    tries: int


@dataclass(frozen=True)
class Saving:
    """One decision on its way to the store, with what it depends on.

    *expected_version* is the version that the case was read at, None for a new case. The rating row, if one is
    named, must still be undecided.
    """

    decision: Decision
    expected_version: int | None = None
    rating_row: int | None = None
    rating_outcome: str | None = None
    effect_state: EffectState = EffectState.PLANNED


@dataclass(frozen=True)
class Claim:
    """An effect that is ours to deliver as long as the case's lease still has this epoch."""

    effect: Effect
    case: Case
    epoch: int
    tries: int
    state: EffectState  # planned, or sending: it may have happened
    first_sent_at: datetime | None
    last_sent_at: datetime | None
    job: str | None


@dataclass(frozen=True)
class StoredEffect:
    """An effect and what became of it."""

    effect: Effect
    state: EffectState
    tries: int
    first_sent_at: datetime | None
    last_sent_at: datetime | None
    job: str | None
    remote_ref: str | None
    error: str | None


@dataclass(frozen=True)
class Spending:
    """Goodwill that a person gave to a customer."""

    case_id: str
    account: str
    ticket_id: str
    customer: str | None
    at: datetime
    amount: Decimal
    currency: str
    because: str | None


@dataclass(frozen=True)
class PastRating:
    """A rating in the history of a customer, in its last version; *outcome* is that of its case, once that ended."""

    account: str
    ticket_id: str
    category: Category
    value: int
    scale_max: int
    rated_at: datetime
    outcome: Outcome | None


@dataclass(frozen=True, slots=True)  # there may be a hundred thousand
class GivenRating:
    """The last version of a rating, in plain values as they are stored."""

    rating_id: str
    ticket_id: str
    requester_id: str | None
    assignee_id: str | None
    category: str
    value: int
    scale_max: int
    rated_at: str  # in ISO format
    comment: str | None
    reason: str | None


@dataclass(frozen=True)
class RuleCount:
    """How many cases a rule opened, and when the last one."""

    cases: int
    last_flagged_at: datetime


@dataclass(frozen=True)
class Counts:
    """The figures of one account for `status`."""

    pending: int  # ratings that still have to be decided
    failed: int  # of them, those that failed at least once, and what the inbox could not read
    open_cases: int
    overdue: int  # open cases whose due_at has passed
    oldest_due_at: datetime | None
    effects: Mapping[EffectState, int]
    rules: Mapping[str, RuleCount]
