"""What came in: ratings with the cursor behind them, unreadable records, failures, and who is the same customer."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

from sqlalchemy import (
    Connection,
    CursorResult,
    Row,
    Select,
    and_,
    bindparam,
    delete,
    exists,
    func,
    or_,
    select,
    union,
    update,
)

from bridge.model import Audit, Category, Malformed, Rating, RatingPage
from bridge.store.cases import insert_audits
from bridge.store.inbox import Inbox
from bridge.store.notebook import putting
from bridge.store.rows import Failure, Found, PageCount, StoredRating
from bridge.store.tables import (
    BAD,
    COMMENT_LENGTH,
    DECIDED,
    UNDECIDED,
    account_state,
    clean,
    cursor,
    customer,
    inbox,
    rating,
    time_text,
)

_RATING_FIELDS = (
    "rating_id", "ticket_id", "comment", "reason", "requester_id", "assignee_id", "group_id",
    "category", "value", "scale_max", "rated_at", "updated_at",
)  # fmt: skip
_COLUMNS = ("account", "version", *_RATING_FIELDS, "source", "seen_at", "outcome", "why")
_INSERT = (
    f"INSERT INTO rating ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608
    " ON CONFLICT DO NOTHING"
)
_KNOWN = (
    "SELECT row_id, rating_id, version, category, source, outcome, rated_at FROM rating"
    " WHERE account = ? AND rating_id IN ({})"
)
_UNREADABLE = "SELECT delivery_key FROM inbox WHERE account = ? AND source = 'record' AND state = 'failed'"
_PUT_CURSOR = (  # an unchanged one is not written: an idle poll costs no sync of the disk
    "INSERT INTO cursor (account, stream, value) VALUES (?, ?, ?)"
    " ON CONFLICT (account, stream) DO UPDATE SET value = excluded.value WHERE cursor.value <> excluded.value"
)
_SETTLE = update(rating).where(rating.c.row_id == bindparam("row"), UNDECIDED)
_ACCOUNT = rating.c.account == bindparam("account")
_IN_ORDER = select(rating).order_by(rating.c.rated_at, rating.c.row_id)
_PENDING = _IN_ORDER.where(
    _ACCOUNT, UNDECIDED, or_(rating.c.not_before.is_(None), rating.c.not_before <= bindparam("now"))
).limit(bindparam("limit"))
_OF_TICKET = _IN_ORDER.where(_ACCOUNT, rating.c.ticket_id == bindparam("ticket_id"))
_OF_RATING = _IN_ORDER.where(_ACCOUNT, rating.c.rating_id == bindparam("rating_id"))
_GIVEN = select(rating.c.rating_id).where(
    _ACCOUNT, rating.c.rated_at >= bindparam("since"), rating.c.source != "request"
)  # without what agents asked for
_RATED = select(func.count()).select_from(  # each half has an index
    union(_GIVEN.where(UNDECIDED), _GIVEN.where(DECIDED)).subquery()
)
_CURSOR = select(cursor.c.value).where(cursor.c.account == bindparam("account"), cursor.c.stream == bindparam("stream"))
_DONE = (
    update(inbox)
    .where(inbox.c.inbox_id.in_(bindparam("hint_ids", expanding=True)), inbox.c.state == "new")
    .values(state="done", error=None)
)
_LINKED = select(customer).where(customer.c.customer_key.in_(bindparam("keys", expanding=True)))
# Two lists find more than the pairs, and the last of each rating is taken later: so an index answers. For a list of
# pairs, or with GROUP BY, SQLite reads every rating of the account.
_BAD_TIMES = (
    select(rating.c.account, rating.c.requester_id, rating.c.rating_id, rating.c.rated_at)
    .where(
        BAD,
        rating.c.account.in_(bindparam("accounts", expanding=True)),
        rating.c.requester_id.in_(bindparam("requesters", expanding=True)),
        rating.c.rated_at >= bindparam("since"),
    )
    .order_by(rating.c.rated_at)
)

POLLED_MOST = 10_000
HELD = datetime(9999, 1, 1, tzinfo=UTC)  # not before a person says so


class Ratings(Inbox):
    """The verbs of what came in."""

    def add_page(
        self, account: str, stream: str, page: RatingPage, *, source: str, seen_at: datetime, memory_before: datetime
    ) -> PageCount:
        """Store the ratings of a page that were not seen in this version, and the cursor behind them.

        Ratings given before *memory_before*, and those of an import, are memory: never to be decided. One that an
        import saw first but that was given later is decided as soon as another source shows it.
        """
        with self._writing() as tx:
            fresh, known = _add(tx, account, page.ratings, _Seen(source, seen_at, memory_before))
            malformed = self._keep_malformed(tx, account, page.malformed, seen_at)
            _direct(tx, _PUT_CURSOR, (account, stream, page.cursor))
        return _page_count(page.ratings, fresh, known, malformed)

    def add_ratings(
        self, account: str, ratings: Sequence[Rating], *, source: str, seen_at: datetime, memory_before: datetime
    ) -> PageCount:
        """Store ratings that belong to no stream, as `add_page` does."""
        with self._writing() as tx:
            fresh, known = _add(tx, account, ratings, _Seen(source, seen_at, memory_before))
        return _page_count(ratings, fresh, known, 0)

    def follow_hints(
        self,
        account: str,
        hint_ids: Sequence[int],
        ratings: Sequence[Rating],
        *,
        seen_at: datetime,
        acts_from: datetime,
    ) -> int:
        """Store what hints led to and record, in the same moment, that they were followed; returns what was new.

        Ratings given before *acts_from* are memory, as in `add_page`.
        """
        with self._writing() as tx:
            fresh, _ = _add(tx, account, ratings, _Seen("hint", seen_at, acts_from))
            tx.execute(_DONE, {"hint_ids": list(hint_ids)})
        return len(fresh)

    def _keep_malformed(self, tx: Connection, account: str, found: Sequence[Malformed], seen_at: datetime) -> int:
        if not found:
            return 0
        failed = (inbox.c.account == account, inbox.c.source == "record", inbox.c.state == "failed")
        asked = select(inbox.c.delivery_key, inbox.c.raw).where(*failed)
        known = {(row.delivery_key, row.raw) for row in tx.execute(asked)}
        rows = [
            {
                "account": account, "source": "record", "delivery_key": record.key, "received_at": seen_at,
                "raw": record.raw, "state": "failed", "error": record.error,
            }
            for record in found
            if (clean(record.key), clean(record.raw)) not in known
        ]  # fmt: skip
        if rows:
            new = self._insert(inbox)
            again = {name: new.excluded[name] for name in ("received_at", "raw", "state", "error")}
            tx.execute(
                new.on_conflict_do_update(index_elements=["account", "source", "delivery_key"], set_=again), rows
            )
        return len(rows)

    def cursor(self, account: str, stream: str) -> str | None:
        """Return where to go on reading, None at the first time."""
        with self._reading() as tx:
            return tx.execute(_CURSOR, {"account": account, "stream": stream}).scalar()

    def set_cursor(self, account: str, stream: str, value: str | None) -> None:
        """Go on reading from there; None forgets it."""
        with self._writing() as tx:
            if value is None:
                tx.execute(delete(cursor).where(cursor.c.account == account, cursor.c.stream == stream))
            else:
                _direct(tx, _PUT_CURSOR, (account, stream, value))

    # -------------------------------------------------------------- deciding
    def pending(self, account: str, now: datetime, limit: int) -> list[StoredRating]:
        """Return ratings that still have to be decided, oldest first; those that failed wait for their time."""
        return self._ratings(_PENDING, account=account, now=now, limit=limit)

    def ratings_of_ticket(self, account: str, ticket_id: str) -> list[StoredRating]:
        """Return every version of every rating of a ticket, oldest first."""
        return self._ratings(_OF_TICKET, account=account, ticket_id=ticket_id)

    def versions_of(self, account: str, rating_id: str) -> list[StoredRating]:
        """Return every version of one rating, oldest first."""
        return self._ratings(_OF_RATING, account=account, rating_id=rating_id)

    def _ratings(self, asked: Select[Any], **values: Any) -> list[StoredRating]:
        with self._reading() as tx:
            return [stored(row) for row in tx.execute(asked, values)]

    def consider_since(self, account: str, since: datetime) -> int:
        """Make memory pending again: the last version of each rating given at or after *since* and never decided.

        Returns how many.
        """
        other = rating.alias()
        same = and_(other.c.account == rating.c.account, other.c.rating_id == rating.c.rating_id)
        decided = or_(other.c.outcome.is_(None), other.c.outcome != "memory", other.c.row_id > rating.c.row_id)
        changed = (
            update(rating)
            .where(rating.c.account == account, rating.c.rated_at >= since, rating.c.outcome == "memory")
            .where(~exists().where(same, decided))
            .values(outcome=None, why=None)
        )
        with self._writing() as tx:
            return tx.execute(changed).rowcount

    def settle_ratings(self, rows: Iterable[tuple[int, str, str]]) -> None:
        """Record what became of ratings that are still undecided: (row_id, outcome, why) each."""
        values = [{"row": row_id, "outcome": outcome, "why": why} for row_id, outcome, why in sorted(rows)]
        if not values:
            return
        with self._writing() as tx:
            tx.execute(_SETTLE, values)

    def fail_rating(self, row_id: int, error: str, not_before: datetime) -> None:
        """Count a failed try at deciding a rating; it comes again at *not_before*."""
        failed = update(rating).where(rating.c.row_id == row_id, UNDECIDED)
        with self._writing() as tx:
            tx.execute(failed.values(tries=rating.c.tries + 1, error=error, not_before=not_before))

    def hold_rating(self, account: str, row_id: int, why: str, now: datetime) -> bool:
        """Leave a rating undecided until somebody resumes its account; True if it is the first, that stops the account.

        Both at once: a rating that is held on an account that goes on would wait for ever.
        """
        rest = (rating.c.row_id == row_id, rating.c.outcome.is_(None))
        stopped = (account_state.c.account == account, account_state.c.key == "held")
        of = {"account": account}
        with self._writing() as tx:
            is_first = not tx.execute(select(account_state.c.value).where(*stopped).with_for_update()).scalar()
            if is_first:
                begun = [of | {"key": "held", "value": why}, of | {"key": "held_at", "value": now.isoformat()}]
                tx.execute(putting(self._insert, account_state), begun)
            tx.execute(update(rating).where(*rest).values(why=why, not_before=HELD))
        return is_first

    def resume(self, audit: Audit) -> int:
        """Let an account go on that a limit stopped: its held ratings are decided, each as it was changed last.

        Returns how many there were. *audit* says which account, when and who.
        """
        of = {"account": audit.account}
        held = (rating.c.account == audit.account, rating.c.outcome.is_(None), rating.c.not_before == HELD)
        later = rating.alias()
        same = and_(later.c.account == rating.c.account, later.c.rating_id == rating.c.rating_id)
        changed = update(rating).where(*held, exists().where(same, later.c.row_id > rating.c.row_id))
        going_on = [of | {"key": "held", "value": ""}, of | {"key": "resumed_at", "value": audit.at.isoformat()}]
        with self._writing() as tx:
            tx.execute(putting(self._insert, account_state), going_on)
            insert_audits(tx, [audit])
            tx.execute(changed.values(outcome="known", why="the customer changed the rating while it was held"))
            return tx.execute(update(rating).where(*held).values(why=None, not_before=None)).rowcount

    def rated_since(self, account: str, since: datetime) -> int:
        """Return how many ratings were given at or after *since*, without memory and what agents asked for."""
        with self._reading() as tx:
            return int(tx.execute(_RATED, {"account": account, "since": since}).scalar_one())

    def last_row(self) -> int:
        """Return the number of the rating that was stored last, 0 if there is none."""
        with self._reading() as tx:
            return int(tx.execute(select(func.max(rating.c.row_id))).scalar() or 0)

    def found_by_polls(self, after_row: int, up_to_row: int) -> list[Found]:
        """Return the bad ratings that polls and sweeps stored behind one row, up to another; at most POLLED_MOST."""
        found = select(rating.c.account, rating.c.ticket_id, rating.c.seen_at).where(
            rating.c.row_id > after_row, rating.c.row_id <= up_to_row, BAD, rating.c.source.in_(("poll", "sweep"))
        )
        with self._reading() as tx:
            rows = tx.execute(found.order_by(rating.c.row_id).limit(POLLED_MOST))
            return [Found(row.account, row.ticket_id, row.seen_at) for row in rows]

    def category_before(self, account: str, changed: Rating) -> Category | None:
        """Return what the version of a rating that was seen before this one was; None if there is none."""
        same = (rating.c.account == account, rating.c.rating_id == changed.rating_id)
        this = select(rating.c.row_id).where(*same, rating.c.version == changed.version).scalar_subquery()
        asked = select(rating.c.category).where(*same, rating.c.row_id < this).order_by(rating.c.row_id.desc())
        with self._reading() as tx:
            return tx.execute(asked.limit(1)).scalar()

    # -------------------------------------------------------------- failures
    def failures(self) -> list[Failure]:
        """Return what came in and could not be worked on, oldest first, of every account."""
        kept = select(inbox).where(inbox.c.error.is_not(None), inbox.c.state != "done").order_by(inbox.c.inbox_id)
        stuck = select(rating).where(rating.c.error.is_not(None), UNDECIDED)
        with self._reading() as tx:
            return [
                Failure(row.account, row.source, row.delivery_key, row.ticket_id, row.received_at, row.error, row.tries)
                for row in tx.execute(kept)
            ] + [
                Failure(row.account, "rating", row.rating_id, row.ticket_id, row.seen_at, row.error, row.tries)
                for row in tx.execute(stuck.order_by(rating.c.row_id))
            ]

    def retry_failures(self) -> int:
        """Let failed hints, answers and ratings come at once, with all their tries; returns how many.

        Unreadable records stay: they are forgiven as soon as a page shows their rating in a form that can be read.
        """
        told = inbox.c.source.in_(("hint", "answer"))
        hint = update(inbox).where(told, inbox.c.error.is_not(None), inbox.c.state != "done")
        stuck = update(rating).where(rating.c.error.is_not(None), UNDECIDED)
        again = {"error": None, "tries": 0, "not_before": None}
        with self._writing() as tx:
            hints = tx.execute(hint.values(state="new", **again)).rowcount
            return hints + tx.execute(stuck.values(**again)).rowcount

    # -------------------------------------------------------------- customers
    def link_customers(self, account: str, keys: Mapping[str, str]) -> None:
        """Remember which customer each requester is: {requester_id: key}."""
        if not keys:
            return
        rows = [{"account": account, "requester_id": rid, "customer_key": key} for rid, key in sorted(keys.items())]
        with self._writing() as tx:
            tx.execute(_link(self._insert), rows)

    def unlinked_requesters(self, account: str, since: datetime, limit: int) -> list[str]:
        """Return requesters who rated badly at or after *since* and are not known as customers yet."""
        known = exists().where(customer.c.account == account, customer.c.requester_id == rating.c.requester_id)
        asked = select(rating.c.requester_id).distinct().where(rating.c.account == account, BAD, ~known)
        asked = asked.where(rating.c.requester_id.is_not(None), rating.c.rated_at >= since)
        with self._reading() as tx:
            return list(tx.execute(asked.order_by(rating.c.requester_id).limit(limit)).scalars())

    def customer_key(self, account: str, requester_id: str) -> str | None:
        """Return the key that joins a requester with the same person elsewhere."""
        whose = (customer.c.account == account, customer.c.requester_id == requester_id)
        with self._reading() as tx:
            return tx.execute(select(customer.c.customer_key).where(*whose)).scalar()

    def bad_times(
        self, customer_key: str | None, account: str, requester_id: str | None, since: datetime
    ) -> tuple[datetime, ...]:
        """Return when a customer rated badly, on any account, at or after *since*; one time per rating, sorted."""
        person = (customer_key, requester_id)
        return self.bad_times_of(account, [person], since)[person]

    def bad_times_of(
        self, account: str, people: Iterable[tuple[str | None, str | None]], since: datetime
    ) -> dict[tuple[str | None, str | None], tuple[datetime, ...]]:
        """Return `bad_times` of many customers of an account by their (customer_key, requester_id)."""
        asked = set(people)
        with self._reading() as tx:
            linked = _linked(tx, {key for key, _ in asked if key})
            whose = {person: {(account, person[1])} | linked.get(person[0], set()) for person in asked}
            rated = _bad_times(tx, {known for group in whose.values() for known in group if known[1]}, since)
        return {
            person: tuple(sorted(at for known in group for at in rated.get(known, ())))
            for person, group in whose.items()
        }


@functools.cache
def _link(insert: Any) -> Any:
    new = insert(customer)
    return new.on_conflict_do_update(
        index_elements=["account", "requester_id"],
        set_={"customer_key": new.excluded.customer_key},
        where=customer.c.customer_key != new.excluded.customer_key,
    )


# ------------------------------------------------------------------ adding
@dataclass(frozen=True)
class _Seen:
    """How ratings came to be seen."""

    source: str
    at: datetime
    memory_before: datetime

    @property
    def acts_from(self) -> datetime | None:
        """From when on ratings are to be decided; None for an import: never."""
        return None if self.source == "import" else self.memory_before


def _add(tx: Connection, account: str, ratings: Sequence[Rating], seen: _Seen) -> tuple[list[Rating], set[str]]:
    """Insert what is new; return it, and the ids of those that were known in any version."""
    known = _known(tx, account, ratings)
    versions = {(row.rating_id, row.version): row for row in known}
    fresh = [one for one in ratings if (one.rating_id, one.version) not in versions]
    _insert(tx, account, fresh, seen, {row.rating_id for row in known if row.category != Category.BAD.value})
    if seen.acts_from:
        shown = {(one.rating_id, one.version) for one in ratings}
        _wake(tx, [row for version, row in versions.items() if version in shown], seen.acts_from)
    return fresh, {row.rating_id for row in known}


def _page_count(ratings: Sequence[Rating], fresh: Sequence[Rating], known: set[str], malformed: int) -> PageCount:
    ids = {one.rating_id for one in fresh}
    bad = sum(one.category is Category.BAD for one in fresh)
    return PageCount(len(ratings), len(ids - known), len(ids & known), bad, malformed)


def _known(tx: Connection, account: str, ratings: Sequence[Rating]) -> Sequence[Row[Any]]:
    if not ratings:
        return []
    asked = _KNOWN.format(", ".join("?" * len(ratings)))
    return _direct(tx, asked, (account, *[clean(one.rating_id) for one in ratings])).all()


def _wake(tx: Connection, shown: Iterable[Row[Any]], acts_from: datetime) -> None:
    """Make pending what an import took for memory although it was given later."""
    text = time_text(acts_from)
    asleep = [
        row.row_id for row in shown if row.source == "import" and row.outcome == "memory" and row.rated_at >= text
    ]
    if asleep:
        tx.execute(update(rating).where(rating.c.row_id.in_(asleep)).values(outcome=None, why=None))


def _insert(tx: Connection, account: str, fresh: Sequence[Rating], seen: _Seen, content: set[str]) -> None:
    """Insert versions of ratings; those of *content* were not bad before, so a bad one now is given now."""
    if not fresh:
        return
    seen_at, acts_from = time_text(seen.at), seen.acts_from
    turned = {one.rating_id for one in fresh if one.category is Category.BAD} & content
    rows = [_row(account, one, seen.source, seen_at, acts_from, turned=one.rating_id in turned) for one in fresh]
    # In the order of their ids, so that two processes on PostgreSQL cannot wait for each other.
    rows.sort(key=itemgetter(2))
    _direct(tx, _INSERT, rows)
    _forgive(tx, account, {row[2] for row in rows})


def _forgive(tx: Connection, account: str, rating_ids: set[str]) -> None:
    """Mark unreadable records as done whose ratings can be read now."""
    if readable := rating_ids & set(_direct(tx, _UNREADABLE, (account,)).scalars()):
        records = (inbox.c.account == account, inbox.c.source == "record", inbox.c.delivery_key.in_(readable))
        tx.execute(update(inbox).where(*records).values(state="done"))


def _direct(tx: Connection, sql: str, values: Any) -> CursorResult[Any]:
    """Execute SQL past SQLAlchemy, which costs three times as much for each row: there are 100 on every page."""
    return tx.exec_driver_sql(sql if tx.dialect.name == "sqlite" else sql.replace("?", "%s"), values)


# ------------------------------------------------------------------ rows
def _row(
    account: str, found: Rating, source: str, seen: str, before: datetime | None, *, turned: bool
) -> tuple[Any, ...]:
    """Return the values of _COLUMNS as both drivers store them; *before* None makes it memory."""
    given_at = found.updated_at if turned else found.rated_at  # vendors keep the time of the first answer
    past = before is None or given_at < before
    words: tuple[str | None, ...] = (
        found.rating_id, found.ticket_id, found.comment, found.reason,
        found.requester_id, found.assignee_id, found.group_id,
    )  # fmt: skip
    said = "".join([word for word in words if word])
    if not said.isascii() or "\0" in said or len(said) > COMMENT_LENGTH:
        words = tuple([word and clean(word, COMMENT_LENGTH) for word in words])
    rated_at = time_text(given_at)
    return (
        account,
        found.version,
        *words,
        found.category.value,
        found.value,
        found.scale_max,
        rated_at,
        rated_at if found.updated_at == given_at else time_text(found.updated_at),
        source,
        seen,
        "memory" if past else None,
        ("imported" if before is None else "given before the bridge acts") if past else None,
    )


def stored(row: Row[Any]) -> StoredRating:
    """Read a row of `rating`."""
    found = Rating(**{name: getattr(row, name) for name in _RATING_FIELDS})
    vars(found)["version"] = row.version  # the cut comment would make another one
    return StoredRating(row.row_id, found, row.source, row.seen_at, row.tries, row.outcome, row.why, row.case_id)


def _linked(tx: Connection, keys: set[str]) -> dict[str | None, set[tuple[str, str | None]]]:
    found: dict[str | None, set[tuple[str, str | None]]] = {}
    for row in tx.execute(_LINKED, {"keys": list(keys)}):
        found.setdefault(row.customer_key, set()).add((row.account, row.requester_id))
    return found


def _bad_times(
    tx: Connection, people: set[tuple[str, str | None]], since: datetime
) -> dict[tuple[str, str | None], list[datetime]]:
    """Return when each person rated badly: a rating counts once, when it last was bad, even if it is good by now."""
    accounts, requesters = {account for account, _ in people}, {requester_id for _, requester_id in people}
    asked = {"accounts": list(accounts), "requesters": list(requesters), "since": since}
    last = {(row[0], row[1], row[2]): row[3] for row in tx.execute(_BAD_TIMES, asked)}
    found: dict[tuple[str, str | None], list[datetime]] = {}
    for (account, requester_id, _), at in last.items():
        found.setdefault((account, requester_id), []).append(at)
    return found
