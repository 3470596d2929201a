"""The tables, the same on SQLite and PostgreSQL, and how our values stand in them.

Operators may read these rows: times are UTC text of fixed width, so that they sort and compare as they are; JSON is
text. Whoever changes a table adds a revision to `migrations/versions` and its name to `database.REVISIONS`.
"""

from __future__ import annotations

import json
from collections.abc import Set
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    and_,
    func,
    literal_column,
    or_,
)

from bridge.model import (
    Answer,
    Category,
    EffectKind,
    EffectState,
    LadderStep,
    Outcome,
    Severity,
    Stage,
    Status,
    SurveyWay,
)

COMMENT_LENGTH = 5_000  # characters kept of a customer's comment
TEXT_LENGTH = 20_000  # characters kept of anything else that somebody else wrote


def clean(text: str, limit: int = TEXT_LENGTH) -> str:
    """Return *text* bounded, without the two things that a database refuses: NUL and lone surrogates."""
    text = text[:limit]
    if "\0" in text:
        text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def time_text(at: datetime) -> str:
    """Write an aware time as `2026-11-21T08:30:00.000000Z`; raises ValueError for a naive one."""
    if at.tzinfo is not UTC:
        if at.tzinfo is None:
            raise ValueError(f"time {at} has no zone")
        at = at.astimezone(UTC)
    text = at.isoformat()  # faster than with a timespec, and there are millions of these
    return f"{text[:26]}Z" if at.microsecond else f"{text[:19]}.000000Z"


class Words(TypeDecorator[str]):
    """Text that somebody else wrote, bounded and storable."""

    impl = Text
    cache_ok = True

    def __init__(self, limit: int = TEXT_LENGTH) -> None:
        super().__init__()
        self.limit = limit

    def process_bind_param(self, value: str | None, _dialect: object) -> str | None:
        """Clean what goes in."""
        return None if value is None else clean(value, self.limit)


class Time(TypeDecorator[datetime]):
    """An aware time as text that people can read and both databases compare."""

    impl = String(27)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: object) -> str | None:
        """Write the time in UTC."""
        return None if value is None else time_text(value)

    def process_result_value(self, value: str | None, _dialect: object) -> datetime | None:
        """Read it back, aware."""
        return None if value is None else datetime.fromisoformat(value)


class Json(TypeDecorator[Any]):
    """A JSON value as text; sets become sorted lists, times their text."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, _dialect: object) -> str:
        """Write it on one line, in ASCII; None is a value like others."""
        return json.dumps(value, default=_plain)

    def process_result_value(self, value: str | None, _dialect: object) -> Any:
        """Read it back."""
        return None if value is None else json.loads(value)


def _plain(value: object) -> Any:
    if isinstance(value, Set):
        return sorted(value, key=str)
    return time_text(value) if isinstance(value, datetime) else str(value)


class Amount(TypeDecorator[Decimal]):
    """Money, exact."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, _dialect: object) -> str | None:
        """Write all its digits."""
        return None if value is None else f"{value:f}"

    def process_result_value(self, value: str | None, _dialect: object) -> Decimal | None:
        """Read it back."""
        return None if value is None else Decimal(value)


class Ladder(TypeDecorator[tuple[LadderStep, ...]]):
    """The rungs that were tried, as a JSON list."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: tuple[LadderStep, ...] | None, _dialect: object) -> str:
        """Write every step."""
        return json.dumps([asdict(step) for step in value or ()])

    def process_result_value(self, value: str | None, _dialect: object) -> tuple[LadderStep, ...]:
        """Read them back."""
        return tuple([LadderStep(**step) for step in json.loads(value or "[]")])


class Answered(TypeDecorator[Answer]):
    """What the customer said to the second question, as a JSON object."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Answer | None, _dialect: object) -> str | None:
        """Write it."""
        return None if value is None else json.dumps(asdict(value), default=_plain)

    def process_result_value(self, value: str | None, _dialect: object) -> Answer | None:
        """Read it back, with its time aware."""
        if value is None:
            return None
        said = json.loads(value)
        return Answer(**said | {"at": datetime.fromisoformat(said["at"]), "category": Category(said["category"])})


class OneOf(TypeDecorator[StrEnum]):
    """A member of one of our enumerations, by its value."""

    impl = Text
    cache_ok = True

    def __init__(self, members: type[StrEnum]) -> None:
        super().__init__()
        self.members = members

    def process_bind_param(self, value: StrEnum | None, _dialect: object) -> str | None:
        """Write its value: psycopg would take any Enum for one of its own."""
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, _dialect: object) -> StrEnum | None:
        """Return the member itself."""
        return None if value is None else self.members(value)


RowId = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up INTEGER keys only

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


def _account() -> Column[str]:
    return Column("account", Words, nullable=False)


# ------------------------------------------------------------------ what came in
inbox = Table(  # hints from webhooks, answers to our own question, and records that could not be read
    "inbox",
    metadata,
    Column("inbox_id", RowId, primary_key=True),
    _account(),
    Column("source", Words, nullable=False),  # hint, answer, record
    Column("delivery_key", Words, nullable=False),  # of the delivery, or of the record
    Column("received_at", Time, nullable=False),
    Column("ticket_id", Words),
    Column("raw", Words),
    Column("state", Words, nullable=False),  # new, done, failed; settled: an answer that stands, without its words
    Column("error", Words),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("not_before", Time),
    UniqueConstraint("account", "source", "delivery_key"),
)
Index("inbox_by_state", inbox.c.account, inbox.c.source, inbox.c.state, inbox.c.received_at)
Index("inbox_failed", inbox.c.inbox_id, sqlite_where=inbox.c.error.is_not(None))

cursor = Table(  # written in the same transaction as the rows that it covers
    "cursor",
    metadata,
    Column("account", Words, primary_key=True),
    Column("stream", Words, primary_key=True),
    Column("value", Text, nullable=False),  # opaque: never cut
)

rating = Table(  # one row per version that a customer gave; never changed but in what became of it
    "rating",
    metadata,
    Column("row_id", RowId, primary_key=True),
    _account(),
    Column("rating_id", Words, nullable=False),
    Column("version", Words, nullable=False),
    Column("ticket_id", Words, nullable=False),
    Column("category", OneOf(Category), nullable=False),
    Column("value", Integer, nullable=False),
    Column("scale_max", Integer, nullable=False),
    Column("rated_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
    Column("comment", Words(COMMENT_LENGTH)),
    Column("reason", Words),  # that the customer picked
    Column("requester_id", Words),
    Column("assignee_id", Words),
    Column("group_id", Words),
    Column("source", Words, nullable=False),  # poll, sweep, import, hint
    Column("seen_at", Time, nullable=False),
    Column("outcome", Words),  # NULL: still to be decided
    Column("why", Words),  # the reason for that outcome
    Column("case_id", Words),
    Column("error", Words),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("not_before", Time),
    UniqueConstraint("account", "rating_id", "version"),
)
UNDECIDED = rating.c.outcome.is_(None)
BAD = rating.c.category == literal_column("'bad'")  # written out, or no query finds its index
DECIDED = rating.c.outcome != literal_column("'memory'")
TELLING = or_(BAD, UNDECIDED, DECIDED)
ACTED_ON = or_(UNDECIDED, DECIDED)  # all but memory
Index("rating_undecided", rating.c.account, rating.c.rated_at, sqlite_where=UNDECIDED)
Index("rating_given", rating.c.account, rating.c.rated_at, rating.c.rating_id, sqlite_where=DECIDED)
Index("rating_failed", rating.c.row_id, sqlite_where=rating.c.error.is_not(None))
Index(  # with its condition's columns, or SQLite reads each row to see whether that holds
    "rating_bad",
    rating.c.account,
    rating.c.rated_at,
    rating.c.rating_id,
    rating.c.category,
    rating.c.outcome,
    sqlite_where=and_(BAD, ACTED_ON),
)
# Without the good ones of an import: that is most of all ratings, and this index would slow it down by a third.
Index("rating_of_requester", rating.c.requester_id, rating.c.account, rating.c.category, sqlite_where=TELLING)

customer = Table(  # the same key on every account means the same person; the address itself is not here
    "customer",
    metadata,
    Column("account", Words, primary_key=True),
    Column("requester_id", Words, primary_key=True),
    Column("customer_key", Words, nullable=False),  # keyed hash of the address
)
Index("customer_by_key", customer.c.customer_key)

past_ticket = Table(  # what rules look at, of the tickets of past ratings: read once, for backtests
    "past_ticket",
    metadata,
    Column("account", Words, primary_key=True),
    Column("ticket_id", Words, primary_key=True),
    Column("facts", Json, nullable=False),
    Column("status", OneOf(Status), nullable=False),
    Column("read_at", Time, nullable=False),
)

# ------------------------------------------------------------------ what was decided
cases = Table(  # the fields of model.Case by their names, and the lease of whoever works on it
    "cases",
    metadata,
    Column("case_id", Words, primary_key=True),
    _account(),
    Column("ticket_id", Words, nullable=False),
    Column("rating_id", Words, nullable=False),
    Column("category", OneOf(Category), nullable=False),
    Column("rating", Integer, nullable=False),
    Column("scale_max", Integer, nullable=False),
    Column("rated_at", Time, nullable=False),
    Column("flagged_at", Time, nullable=False),
    Column("rule", Words, nullable=False),
    Column("rules_hash", Words, nullable=False),
    Column("playbook", Words, nullable=False),
    Column("severity", OneOf(Severity), nullable=False),
    Column("stage", OneOf(Stage), nullable=False),
    Column("due_at", Time),
    Column("next_step", Words, nullable=False),
    Column("reason", Words, nullable=False),
    Column("original_agent_id", Words),
    Column("assignee_id", Words),
    Column("group_id", Words),
    Column("ladder", Ladder, nullable=False),
    Column("customer", Words),
    Column("work_ticket_id", Words),
    Column("survey_ticket_id", Words),
    Column("outcome", OneOf(Outcome)),
    Column("assigned_at", Time),
    Column("confirmed_at", Time),
    Column("acknowledged_at", Time),
    Column("contacted_at", Time),
    Column("replied_at", Time),
    Column("nudged_at", Time),
    Column("promise", Words),
    Column("promised_by", Time),
    Column("promise_broken_at", Time),
    Column("solved_at", Time),
    Column("checked_in_at", Time),
    Column("asked_at", Time),
    Column("asked_by", OneOf(SurveyWay)),
    Column("reminded_at", Time),
    Column("not_asked", Words),
    Column("answer", Answered),
    Column("ended_at", Time),
    Column("attempt", Integer, nullable=False),
    Column("deadlines_done", Integer, nullable=False),
    Column("chosen_by_human", Boolean, nullable=False),
    Column("seen_stamp", Words, nullable=False),
    Column("seen_at", Time),
    Column("incident", Words),
    Column("cause_asked_at", Time),
    Column("cause", Words),
    Column("remedy", Words),
    Column("party", Words),
    Column("version", Integer, nullable=False),
    Column("lease_epoch", Integer, nullable=False, server_default="0"),
    Column("lease_until", Time),
    # What figures count: funnel.Marks. Milestones are seconds after the flagging, from the first time on; they stay.
    Column("counted", Words, nullable=False),  # facts and milestones, then a JSON list: rule, cause, party, group
    Column("flagged_after", Integer),  # the rating
    Column("written_after", Integer),
    Column("acknowledged_after", Integer),
    Column("contacted_after", Integer),
    Column("solved_after", Integer),
    Column("asked_after", Integer),
    Column("answered_after", Integer),
    CheckConstraint("(stage = 'ended') = (outcome IS NOT NULL)", name="ended"),
)
OPEN = cases.c.outcome.is_(None)
Index(
    "one_open_case_of_customer",
    cases.c.account,
    cases.c.customer,
    unique=True,
    sqlite_where=OPEN,
)
Index(
    "one_open_case_on_ticket",
    cases.c.account,
    cases.c.ticket_id,
    unique=True,
    sqlite_where=OPEN,
)
Index("case_due", cases.c.account, cases.c.due_at, sqlite_where=OPEN)
Index("case_load", cases.c.account, cases.c.assignee_id, sqlite_where=OPEN)
# The account last, so that no other query is tempted: SQLite believes that an account has ten cases.
Index("case_of_rating", cases.c.rating_id, cases.c.account)
Index("case_of_ticket", cases.c.ticket_id, cases.c.account)
Index("case_of_work_ticket", cases.c.work_ticket_id, cases.c.account, sqlite_where=cases.c.work_ticket_id.is_not(None))
Index(
    "case_of_survey_ticket",
    cases.c.survey_ticket_id,
    cases.c.account,
    sqlite_where=cases.c.survey_ticket_id.is_not(None),
)
Index("case_of_incident", cases.c.incident, cases.c.account, sqlite_where=cases.c.incident.is_not(None))
Index("case_of_customer", cases.c.customer, cases.c.flagged_at)
_FIGURES = (
    "flagged_at", "case_id", "account", "outcome", "version", "written_after", "counted", "flagged_after",
    "acknowledged_after", "contacted_after", "solved_after", "asked_after", "answered_after", "rule",
)  # fmt: skip
Index("case_figures", *[cases.c[name] for name in _FIGURES])  # with it figures and lists need no row

audit = Table(  # append-only
    "audit",
    metadata,
    Column("audit_id", RowId, primary_key=True),
    Column("at", Time, nullable=False),
    _account(),
    Column("ticket_id", Words, nullable=False),
    Column("what", Words, nullable=False),
    Column("reason", Words, nullable=False),
    Column("case_id", Words),
    Column("rating_id", Words),
    Column("rule", Words),
    Column("rules_hash", Words),
    Column("facts", Json, nullable=False),
)
Index("audit_of_ticket", audit.c.account, audit.c.ticket_id)
Index("audit_of_case", audit.c.case_id)

effect = Table(  # what to do, stored before it is done; within a case in the order of `place`
    "effect",
    metadata,
    Column("place", RowId, primary_key=True),
    Column("effect_id", Words, nullable=False, unique=True),
    Column("case_id", Words, ForeignKey("cases.case_id"), nullable=False),
    _account(),
    Column("ticket_id", Words, nullable=False),
    Column("kind", OneOf(EffectKind), nullable=False),
    Column("step", Words, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("change", Json, nullable=False),
    Column("seen_assignee_id", Words),
    Column("person", Words),
    Column("target", Words),
    Column("text", Words),
    Column("bundle", Words),
    Column("way", OneOf(SurveyWay)),
    Column("planned_at", Time, nullable=False),
    Column("state", OneOf(EffectState), nullable=False),
    Column("not_before", Time),
    Column("first_sent_at", Time),
    Column("last_sent_at", Time),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("epoch", Integer),  # of the claim that holds it; NULL: nobody does
    Column("job", Words),
    Column("remote_ref", Words),
    Column("error", Words),
    UniqueConstraint("case_id", "step", "generation", "kind"),
)
UNFINISHED = effect.c.state.in_([literal_column("'planned'"), literal_column("'sending'")])
Index("effect_by_state", effect.c.state, effect.c.case_id, effect.c.kind, effect.c.place)
Index("effect_of_ticket", effect.c.ticket_id, effect.c.account)
Index("effect_tally", effect.c.kind, effect.c.state, effect.c.account)
MISSED = func.substr(effect.c.step, literal_column("1"), literal_column("9")) == literal_column("'deadline:'")
Index("effect_of_deadline", effect.c.account, sqlite_where=MISSED)

# ------------------------------------------------------------------ what is owed to a customer, on every account
asked = Table(  # second questions, so that nobody is asked too often
    "asked",
    metadata,
    Column("asked_for", Words, primary_key=True),  # the case and its attempt
    _account(),
    Column("customer", Words, nullable=False),
    Column("at", Time, nullable=False),
)
Index("asked_of_customer", asked.c.customer, asked.c.at)

opted_out = Table(  # who wants to be asked nothing
    "opted_out",
    metadata,
    Column("customer", Words, primary_key=True),
    Column("at", Time, nullable=False),
    Column("why", Words, nullable=False),
)

spent = Table(  # goodwill that people gave; the bridge pays nothing
    "spent",
    metadata,
    Column("spent_id", RowId, primary_key=True),
    Column("case_id", Words, nullable=False),
    _account(),
    Column("ticket_id", Words, nullable=False),
    Column("customer", Words),
    Column("at", Time, nullable=False),
    Column("amount", Amount, nullable=False),
    Column("currency", Words, nullable=False),
    Column("because", Words),
)
Index("spent_on_ticket", spent.c.account, spent.c.ticket_id)
Index("spent_for_customer", spent.c.customer, spent.c.at)

# ------------------------------------------------------------------ what is remembered
rate = Table(  # the state of bridge.http.Budget, for the next process
    "rate",
    metadata,
    Column("account", Words, primary_key=True),
    Column("state", Json, nullable=False),
)

memory = Table(  # what a connector remembers between runs
    "memory",
    metadata,
    Column("account", Words, primary_key=True),
    Column("name", Words, primary_key=True),
    Column("value", Json, nullable=False),
    Column("at", Time, nullable=False),
)

rules_text = Table(  # every rules.yaml that ever decided something
    "rules_text",
    metadata,
    Column("hash", Words, primary_key=True),
    Column("text", Text, nullable=False),
    Column("first_seen_at", Time, nullable=False),
)

account_state = Table(
    "account_state",
    metadata,
    Column("account", Words, primary_key=True),
    Column("key", Words, primary_key=True),
    Column("value", Json, nullable=False),
)


def tell_postgresql() -> None:
    """Say to PostgreSQL, too, which rows a partial index holds.

    Not above, because SQLAlchemy would then load that dialect, and asyncpg's with it, for everybody at each start.
    """
    for table in metadata.tables.values():
        for index in table.indexes:
            index.dialect_options["postgresql"]["where"] = index.dialect_options["sqlite"]["where"]
