"""Backtests: past ratings and their tickets are read once into the store, then the rules are tried on them.

A rating that the bridge has decided about is judged by the facts of that day, any other by its ticket as it was read
for a backtest: tags and groups may have changed since.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bridge import show
from bridge.app import App
from bridge.backtest import (
    MEMORY,
    Badness,
    Difference,
    Figures,
    Past,
    Span,
    differences,
    figures,
    judge,
    stops,
)
from bridge.engine import MEMORY_REACHES_BACK
from bridge.errors import Throttled
from bridge.model import Category, Ticket, point_of
from bridge.reading import BATCH
from bridge.rules import Facts, Rules, in_force
from bridge.rules.facts import TAG_FACTS, TICKET_FACTS, ticket_facts
from bridge.rules.schema import SHARE_COUNTS_FROM
from bridge.store import GivenRating, Store

WIDEST = 40  # characters of the longest bar
OVERLAP = timedelta(days=1)
MOST_SHOWN = 10  # tickets about which two files differ
_OF_TICKET = tuple(TICKET_FACTS)
Tell = Callable[[int, int], None]


# ------------------------------------------------------------------ reading, once
def read_past(app: App, account: str, span: Span, rules: Sequence[Rules], tell: Tell) -> None:
    """Read into the store what it lacks of a time: ratings, then the tickets of those that any of *rules* may match.

    *tell* hears how many tickets of how many have been read. Waits for the rate limit as long as it takes.
    """
    _read_ratings(app, account, span.since)
    wanted = _unread(app.store, account, span, rules)
    desk = app.engine.desks[account]
    for start in range(0, len(wanted), BATCH):
        tell(start, len(wanted))
        tickets = _read(app, account, wanted[start : start + BATCH])
        directory = desk.directory()
        found = [(key, ticket_facts(ticket, directory), ticket.status) for key, ticket in tickets.items()]
        app.store.put_past_tickets(account, found, app.now())


def _read_ratings(app: App, account: str, since: datetime) -> None:
    """Read the ratings that neither runs nor earlier backtests have read."""
    state, now = app.store.account_state(account), app.now()
    begun = [datetime.fromisoformat(state["began_at"]) - MEMORY_REACHES_BACK] if "imported_at" in state else []
    read = [datetime.fromisoformat(state["read_back_to"])] if "read_back_to" in state else []
    if since >= min([*begun, *read], default=now):
        if begun:  # runs read what is new
            return
        since = max(since, datetime.fromisoformat(state["read_at"]) - OVERLAP)
    for page in app.engine.desks[account].past_ratings(since):
        app.store.add_page(account, "backtest", page, source="import", seen_at=now, memory_before=now)
    app.store.put_account_state(account, read_back_to=min([since, *read]).isoformat(), read_at=now.isoformat())


def _read(app: App, account: str, ticket_ids: Sequence[str]) -> Mapping[str, Ticket]:
    while True:
        try:
            return app.engine.reading.tickets(app.engine.desks[account], ticket_ids)
        except Throttled as exc:
            app.sleep(max(1.0, (exc.until - app.now()).total_seconds()))


def _unread(store: Store, account: str, span: Span, rules: Sequence[Rules]) -> list[str]:
    """Return the tickets, once each, about which a rule might ask and nothing is known."""
    pasts = past_of(store, account, span)
    asking = (past for past in pasts if not past.is_known and any(one.could_match(past.facts) for one in rules))
    return list(dict.fromkeys(past.ticket_id for past in asking))


# ------------------------------------------------------------------ what is known
def past_of(store: Store, account: str, span: Span) -> Iterator[Past]:
    """Yield the ratings that were given in a time, with what is known of their tickets."""
    then, tickets, bad = store.facts_then(account, span.since), store.past_tickets(account), Badness()
    for row in store.given_between(account, span.since - MEMORY, span.until):
        category, rated_at = Category(row.category), datetime.fromisoformat(row.rated_at)
        bad_times = bad.with_this(row.requester_id, category, rated_at)
        if rated_at < span.since:  # only remembered
            continue
        said, status = tickets.get(row.ticket_id, (None, None))
        known = then.get(row.rating_id) or said
        of_rating = {"category": category, "rated_at": rated_at, "now": rated_at, "bad_rated_at": bad_times}
        facts = _facts(row, account, of_rating, known)
        closed = None if status is None else status.is_locked or status.is_gone
        yield Past(row.rating_id, row.ticket_id, row.requester_id, row.assignee_id, facts, known is not None, closed)


def _facts(row: GivenRating, account: str, of_rating: Mapping[str, Any], known: Mapping[str, Any] | None) -> Facts:
    """Return the facts of a rating with what is known of its ticket."""
    of_ticket = {name: known[name] for name in _OF_TICKET if name in known} if known else {}
    for name in TAG_FACTS:
        if of_ticket.get(name) is not None:
            of_ticket[name] = tuple(of_ticket[name])
    return Facts(
        point=point_of(row.value, row.scale_max),
        account=account,
        comment=row.comment,
        comment_present=bool(row.comment and row.comment.strip()),
        reason=row.reason or None,
        **of_rating,
        **of_ticket,
    )


# ------------------------------------------------------------------ the report
@dataclass(frozen=True)
class Report:
    """What the rules would have done on one account in a time."""

    account: str
    span: Span
    rules: Rules
    names: show.Names
    figures: Figures
    against: str | None = None  # the name of the other file
    differences: Sequence[Difference] = ()

    def as_text(self) -> str:
        """Return the report as lines for a terminal."""
        found, zone = self.figures, self.rules.settings.timezone
        days = f"{self.span.since.astimezone(zone):%Y-%m-%d} to {self.span.until.astimezone(zone):%Y-%m-%d}"
        head = f"{self.account}, {days}: {show.count(found.ratings, 'rating')}, {found.flagged} flagged"
        if not found.ratings:
            return f"{head}; no rating of that time is stored; without --offline the helpdesk is asked"
        lines = [head, *self._by_rule(), *self._by_week(), *self._load(), *self._afterwards(), *self._differences()]
        return "\n".join(lines)

    def _by_rule(self) -> Iterator[str]:
        for entry in (*in_force(self.rules.ignore), *in_force(self.rules.rules)):
            below = [(name, count) for (taken, name), count in self.figures.overlaps.items() if taken == entry.name]
            also = ", ".join(f'{count} also match "{name}"' for name, count in below)
            yield f"  {self.figures.rules[entry.name]:6}  {entry.name}{f' ({also})' if also else ''}"
        yield f"  {self.figures.no_rule:6}  no rule"
        if self.figures.not_known:
            yield f"  of these, {self.figures.not_known} whose ticket was not read: another rule might take them"

    def _by_week(self) -> Iterator[str]:
        most = max(self.figures.weeks.values(), default=0)
        yield "  flagged in the week of"
        for monday, count in self.figures.weeks.items():
            yield f"    {monday}  {'#' * round(WIDEST * count / most) if most else '':{WIDEST}}  {count}"

    def _load(self) -> Iterator[str]:
        found, limits = self.figures, self.rules.limits
        busiest = ", ".join(
            f"{self.names.agent(agent_id)} {count}" for agent_id, count in found.agents.most_common(3) if agent_id
        )
        yield f"  {found.flagged / self.span.days:.1f} a day; most for {busiest or 'nobody'}"
        if found.busiest_agent_day:
            agent_id, day, count = found.busiest_agent_day
            yield f"  busiest day of an agent: {self.names.agent(agent_id)} on {day} with {count}"
        yield f"  busiest hour: {_against(found.busiest_hour, limits.tickets_per_hour, 'tickets_per_hour')}"
        yield f"  busiest day: {_against(found.busiest_day, limits.tickets_per_day, 'tickets_per_day')}"
        share = limits.share_of_rated and f"{limits.share_of_rated:.0%}"
        highest = f"{found.highest_share:.0%}, of days with {SHARE_COUNTS_FROM} ratings or more"
        yield f"  highest share of a day's ratings: {highest} (share_of_rated: {share or 'no limit'})"

    def _afterwards(self) -> Iterator[str]:
        closed, known = self.figures.closed
        good, again = self.figures.good_anyway
        yield f"  tickets that are closed by now: {closed} of {known} that are known"
        yield f"  next rating of the customer was good without us: {good} of {again} who rated again"

    def _differences(self) -> Iterator[str]:
        if self.against is None:
            return
        yield f"  against {self.against}: {show.count(len(self.differences), 'rating')} would end otherwise"
        for one in self.differences[:MOST_SHOWN]:
            yield f"    ticket {one.past.ticket_id}: {one.theirs} -> {one.ours}"
        if len(self.differences) > MOST_SHOWN:
            yield f"    ... and {len(self.differences) - MOST_SHOWN} more; --json lists all"

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        found = self.figures
        return {
            "account": self.account,
            "from": show.moment(self.span.since),
            "to": show.moment(self.span.until),
            **{name: getattr(found, name) for name in ("ratings", "flagged", "ignored", "no_rule", "not_known")},
            "rules": dict(found.rules),
            "overlaps": [{"taken_by": one, "also": other, "ratings": n} for (one, other), n in found.overlaps.items()],
            "weeks": {str(monday): count for monday, count in found.weeks.items()},
            "agents": {agent_id or "nobody": count for agent_id, count in found.agents.most_common()},
            "busiest_hour": found.busiest_hour,
            "busiest_day": found.busiest_day,
            "highest_share": round(found.highest_share, 4),
            "closed_by_now": found.closed,
            "good_anyway": found.good_anyway,
            "differences": [
                {
                    "ticket_id": one.past.ticket_id,
                    "rating_id": one.past.rating_id,
                    "before": one.theirs,
                    "now": one.ours,
                }
                for one in self.differences
            ],
        }


def backtest(store: Store, rules: Rules, account: str, span: Span, against: Rules | None = None) -> Report:
    """Try the rules on what the store knows of a time; *against* are those of another file."""
    ours = judge(rules, past_of(store, account, span))
    theirs = judge(against, (one.past for one in ours)) if against else []
    different = differences(ours, theirs) if against else []
    other, names = against.path if against else None, show.names_of(store, account)
    return Report(account, span, rules, names, figures(ours, rules), other, different)


def _against(count: int, limit: int | None, name: str) -> str:
    return f"{count} ({name}: {limit or 'no limit'}{stops(count, limit)})"
