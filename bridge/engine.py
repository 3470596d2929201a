"""The one place where thinking meets hands: poll, receive, decide, tick. `bridge/delivery.py` carries out.

Each verb may run at any time, twice, and beside another process: rows and cursor are stored together, ratings are known
by id and version, cases change by compare-and-set. What a helpdesk answers is read, decided about by `recovery`, and
saved; nothing is written to a helpdesk here.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bridge.connector import Connector
from bridge.errors import BadRecord, BridgeError, HelpdeskError, NotFound
from bridge.hours import Calendar
from bridge.log import crash
from bridge.model import Audit, Case, Category, Decision, Directory, EffectState, Rating, Stage, Ticket
from bridge.owner import Staff
from bridge.recovery import DeadlinePassed, RatedAgain, Signal, Situation, advance, open_case
from bridge.rules import Facts, Rule, Rules, facts_of
from bridge.store import StaleCase, Store, StoredRating

log = logging.getLogger(__name__)

BATCH = 100  # tickets per read and per write
MEMORY_REACHES_BACK = timedelta(days=90)
SWEEP_EVERY = timedelta(days=1)
SWEEPS_OVERLAP = timedelta(hours=1)
FRESH_FOR = timedelta(seconds=30)  # how long a ticket that was read to decide may also serve the write
TRY_AGAIN_AFTER = timedelta(hours=1)  # a record whose handling crashed
HISTORY_REACHES_BACK = timedelta(days=366)


def batch_of(desk: Connector) -> int:
    """Return how many tickets are read together: one where a write could overwrite what a human did since the read."""
    return BATCH if desk.conditional_writes else 1


@dataclass
class Tally:
    """What one run did, for its closing line."""

    ratings_seen: int = 0
    cases_opened: int = 0
    found_late: int = 0
    failed_records: int = 0
    effects: Counter[str] = field(default_factory=Counter)


class Reading:
    """Tickets read a moment ago, so that one read serves both the decision and the write that follows it."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._read: dict[tuple[str, str], tuple[datetime, Ticket]] = {}

    def tickets(self, desk: Connector, ticket_ids: Iterable[str]) -> dict[str, Ticket]:
        """Return tickets, reading those that are not fresh; one that cannot be read is left out."""
        wanted = list(dict.fromkeys(ticket_ids))
        known = {key: ticket for key in wanted if (ticket := self._fresh(desk.account, key))}
        read = self._read_from(desk, [key for key in wanted if key not in known])
        now = self._now()
        self._read = {key: value for key, value in self._read.items() if now - value[0] <= FRESH_FOR}
        self._read.update({(desk.account, key): (now, ticket) for key, ticket in read.items()})
        return {**known, **read}

    def _read_from(self, desk: Connector, ticket_ids: Sequence[str]) -> Mapping[str, Ticket]:
        if not ticket_ids:
            return {}
        try:
            return desk.tickets(ticket_ids)
        except BadRecord as exc:
            if len(ticket_ids) == 1:
                log.error("%s", exc)
                return {}
        return {key: ticket for one in ticket_ids for key, ticket in self._read_from(desk, [one]).items()}

    def forget(self, account: str, ticket_ids: Iterable[str]) -> None:
        """Drop tickets that were written, or changed under us."""
        for ticket_id in ticket_ids:
            self._read.pop((account, ticket_id), None)

    def _fresh(self, account: str, ticket_id: str) -> Ticket | None:
        at, ticket = self._read.get((account, ticket_id), (None, None))
        return ticket if at and self._now() - at <= FRESH_FOR else None


@dataclass
class Engine:
    """The verbs of one installation. *desks* are its accounts by name."""

    rules: Rules
    store: Store
    desks: Mapping[str, Connector]
    now: Callable[[], datetime]
    new_id: Callable[[], str]
    known_as: Callable[[str], str]  # address -> the key of a customer on every account
    stopping: Callable[[], bool] = lambda: False
    tally: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        self.started_at = self.now()
        self.reading = Reading(self.now)
        self.calendar: Calendar = self.rules.calendar()

    # -------------------------------------------------------------- what helpdesks say
    def poll(self, account: str, since: datetime | None = None) -> None:
        """Read what may have been rated, page by page; a page is stored together with the cursor behind it.

        The first poll imports MEMORY_REACHES_BACK of ratings as memory. *since* reaches back explicitly.
        """
        desk, now = self.desks[account], self.now()
        state = self._begin(account, now, since)
        if "imported_at" not in state:
            self._import(desk, state, now)
        if since:
            self.store.consider_since(account, since)
        for page in desk.new_ratings(self.store.cursor(account, "new")):
            count = self.store.add_page(
                account, "new", page, source="poll", seen_at=self.now(), memory_before=_acts_from(state)
            )
            self._count(count.seen, count.malformed)
            if self.stopping():
                return
        if "recognised_at" not in state:
            self._recognise(desk)
        if self.now() - datetime.fromisoformat(state["swept_at"]) >= SWEEP_EVERY:
            self._sweep(desk, state)

    def _begin(self, account: str, now: datetime, since: datetime | None) -> dict[str, str]:
        """Return the account's memory of when things began; going live begins anew and never replays the shadow."""
        state = self.store.account_state(account)
        begun = {} if "began_at" in state else {"began_at": now.isoformat(), "swept_at": now.isoformat()}
        mode = str(self.rules.settings.mode)
        if state.get("mode") != mode:
            begun |= {"mode": mode, "acts_from": now.isoformat()}
        if since:
            begun["acts_from"] = since.isoformat()
        if begun:
            self.store.put_account_state(account, **begun)
        return {**state, **begun}

    def _import(self, desk: Connector, state: dict[str, str], now: datetime) -> None:
        since = datetime.fromisoformat(state["began_at"]) - MEMORY_REACHES_BACK
        log.info(
            "importing the ratings of %d days as memory", MEMORY_REACHES_BACK.days, extra={"account": desk.account}
        )
        for page in desk.past_ratings(since, self.store.cursor(desk.account, "import")):
            count = self.store.add_page(
                desk.account, "import", page, source="import", seen_at=self.now(), memory_before=_acts_from(state)
            )
            self._count(count.seen, count.malformed)
            if self.stopping():
                return
        state["imported_at"] = now.isoformat()
        self.store.put_account_state(desk.account, imported_at=state["imported_at"])

    def _recognise(self, desk: Connector) -> None:
        """Learn once whose the bad ratings of the import are, so that a customer is known on every account."""
        since = self.now() - MEMORY_REACHES_BACK
        while unknown := self.store.unlinked_requesters(desk.account, since, BATCH):
            addresses = desk.addresses(unknown)
            known = {key: self.known_as(address) for key, address in addresses.items()}
            self.store.link_customers(desk.account, {key: known.get(key, f"{desk.account}:{key}") for key in unknown})
            if self.stopping():
                return
        self.store.put_account_state(desk.account, recognised_at=self.now().isoformat())

    def _sweep(self, desk: Connector, state: dict[str, str]) -> None:
        """Read all scores once a day and count the bad ones that the polls had not seen."""
        begun = self.now()
        late = 0
        since = datetime.fromisoformat(state["swept_at"]) - SWEEPS_OVERLAP
        for page in desk.past_ratings(since, self.store.cursor(desk.account, "sweep")):
            count = self.store.add_page(
                desk.account, "sweep", page, source="sweep", seen_at=self.now(), memory_before=_acts_from(state)
            )
            late += count.new_bad
            self._count(count.seen, count.malformed)
            if self.stopping():
                return
        self.tally.found_late += late
        total = int(state.get("found_late", "0")) + late
        self.store.put_account_state(desk.account, swept_at=begun.isoformat(), found_late=str(total))
        self.store.set_cursor(desk.account, "sweep", None)
        if late:
            log.warning(
                "the daily sweep found %d bad ratings that polling had missed", late, extra={"account": desk.account}
            )

    def receive(self, account: str, delivery_key: str, ticket_id: str) -> bool:
        """Store the hint that a ticket was rated; False if this delivery is known. `decide` reads the rating itself."""
        return self.store.add_hint(account, delivery_key, ticket_id, self.now())

    def _follow_hints(self, desk: Connector) -> None:
        """Read the ratings that hints point at."""
        for hint in self.store.hints(desk.account, self.now(), BATCH):
            try:
                ratings = desk.ratings_of(hint.ticket_id)
            except NotFound as exc:
                self.store.fail_hint(hint.hint_id, str(exc), self.now() + TRY_AGAIN_AFTER)
                continue
            state = self.store.account_state(desk.account)
            self.store.add_ratings(
                desk.account, ratings, source="hint", seen_at=self.now(), memory_before=_acts_from(state)
            )
            self.store.finish_hint(hint.hint_id)

    # -------------------------------------------------------------- deciding
    def decide(self, account: str) -> bool:
        """Give one batch of pending ratings exactly one named outcome each; False if nothing was pending."""
        desk = self.desks[account]
        self._follow_hints(desk)
        rows = self.store.pending(account, self.now(), BATCH)
        if asking := self._settle_what_no_rule_can_match(account, rows):
            self._decide_about(desk, asking[: batch_of(desk)])
        return bool(rows)

    def _settle_what_no_rule_can_match(self, account: str, rows: Sequence[StoredRating]) -> list[StoredRating]:
        """Settle ratings that no rule matches whatever their ticket says; return the others."""
        open_on = self.store.open_cases_on(account, [row.rating.ticket_id for row in rows])
        asking, settled = [], []
        for row in rows:
            facts = facts_of(row.rating, None, None, account=account, bad_rated_at=(), now=self.now())
            if row.rating.ticket_id in open_on or self.rules.could_match(facts):
                asking.append(row)
            else:
                settled.append((row.row_id, "no_rule", "no rule matches such a rating, whatever its ticket says"))
        self.store.settle_ratings(settled)
        return asking

    def _decide_about(self, desk: Connector, rows: Sequence[StoredRating]) -> None:
        tickets = self.reading.tickets(desk, [row.rating.ticket_id for row in rows])
        for row in rows:
            if row.rating.ticket_id not in tickets:
                why = f"ticket {row.rating.ticket_id} cannot be read"
                self.store.fail_rating(row.row_id, why, self.now() + TRY_AGAIN_AFTER)
        rows = [row for row in rows if row.rating.ticket_id in tickets]
        batch = _Batch(self, desk, tickets, [row.rating for row in rows])
        for row in rows:
            try:
                self._decide_one(batch, row)
            except HelpdeskError:
                raise
            except Exception as exc:  # one bad record must not stop the ones behind it
                why = str(exc) if isinstance(exc, BridgeError) else crash(exc)
                log.error("a rating could not be decided about: %s", why, extra={"account": desk.account})
                self.tally.failed_records += 1
                self.store.fail_rating(row.row_id, why, self.now() + TRY_AGAIN_AFTER)

    def _decide_one(self, batch: _Batch, row: StoredRating) -> None:
        for _ in range(3):  # another process may decide about the same customer at this moment
            decision, before = batch.think(row.rating)
            try:
                self.store.save(
                    decision,
                    expected_version=before.version if before else None,
                    rating_row=row.row_id,
                    rating_outcome=decision.audit.what,
                    effect_state=EffectState.SHADOW if batch.shadow else EffectState.PLANNED,
                )
            except StaleCase:
                continue
            batch.learn(decision)
            self._tally(decision, opened=before is None)
            return
        raise BridgeError(f"rating {row.rating.rating_id}: its customer's case changes faster than we can read it")

    def _tally(self, decision: Decision, *, opened: bool) -> None:
        if decision.case and opened:
            self.tally.cases_opened += 1
        self.tally.effects["planned"] += len(decision.effects)

    # -------------------------------------------------------------- time
    def tick(self, account: str) -> None:
        """Advance every case whose due time has come."""
        desk = self.desks[account]
        while not self.stopping() and (due := self.store.due_cases(account, self.now(), BATCH)):
            tickets = self.reading.tickets(desk, [case.carrier_id for case in due])
            readable = [(case, tickets[case.carrier_id]) for case in due if case.carrier_id in tickets]
            moved = [self._tick_one(desk, case, ticket) for case, ticket in readable]
            if not any(moved):
                return

    def _tick_one(self, desk: Connector, case: Case, ticket: Ticket) -> bool:
        rating = self._rating_now(desk, case) if case.stage is Stage.UNCONFIRMED else None
        return self.signal(desk, case, DeadlinePassed(rating), ticket)

    def signal(self, desk: Connector, case: Case, signal: Signal, ticket: Ticket) -> bool:
        """Advance one case and save it; False if another process was quicker."""
        situation = self.situation(desk, ticket)
        decision = advance(case, signal, situation)
        try:
            self.store.save(decision, expected_version=case.version)
        except StaleCase:
            return False
        self._tally(decision, opened=False)
        return True

    def situation(
        self, desk: Connector, ticket: Ticket, facts: Facts | None = None, refused: Mapping[str, str] | None = None
    ) -> Situation:
        """Put together what a decision about one ticket looks at; *refused* agents are looked up afresh."""
        directory = desk.directory(fresh=bool(refused))
        staff = Staff(
            self.rules, directory, self.calendar, self.store.open_load(desk.account), self.now(), refused or {}
        )
        return Situation(
            account=desk.account,
            ticket=ticket,
            staff=staff,
            facts=facts,
            link=desk.link(ticket.ticket_id),
            shadow=self.rules.settings.mode == "shadow",
            new_id=self.new_id,
        )

    def _rating_now(self, desk: Connector, case: Case) -> Rating | None:
        try:
            found = desk.ratings_of(case.ticket_id, case.rating_id)
        except NotFound:
            return None
        return next((rating for rating in found if rating.rating_id == case.rating_id), None)

    def _count(self, seen: int, malformed: int) -> None:
        self.tally.ratings_seen += seen
        self.tally.failed_records += malformed


class _Batch:
    """What up to BATCH ratings of one account need to be decided about: read once, kept up to date as cases open."""

    def __init__(
        self, engine: Engine, desk: Connector, tickets: Mapping[str, Ticket], ratings: Sequence[Rating]
    ) -> None:
        self.engine, self.desk, self.tickets = engine, desk, tickets
        self.store, self.rules = engine.store, engine.rules
        self.shadow = self.rules.settings.mode == "shadow"
        self.directory: Directory = desk.directory()
        self.load = Counter(self.store.open_load(desk.account))
        self.customers = {rating.rating_id: self._customer(rating) for rating in ratings}
        self._link_customers(ratings)
        people = {(self.customers[rating.rating_id], rating.requester_id) for rating in ratings}
        self.bad_times = self.store.bad_times_of(desk.account, people, engine.now() - HISTORY_REACHES_BACK)

    def think(self, rating: Rating) -> tuple[Decision, Case | None]:
        """Return the decision about one rating, and the case as it was before if there is one."""
        ticket = self.tickets[rating.ticket_id]
        customer = self.customers[rating.rating_id]
        facts = self._facts(rating, ticket)
        verdict = self.rules.decide(facts)
        rule = verdict.rule if isinstance(verdict.rule, Rule) else None
        situation = self._situation(ticket, facts)
        case = self._open_case(rating, customer)
        if case and (rule or case.rating_id == rating.rating_id):
            return advance(case, RatedAgain(rating, rule), situation), case
        if rule is None:
            return self._nothing(rating, verdict.kind, verdict.reason, facts), None
        if why := self._already_known(rating):
            return self._nothing(rating, "known", why, facts), None
        return open_case(rating, rule, self._original_agent(rating), customer, situation), None

    def learn(self, decision: Decision) -> None:
        """Count the case that was just opened towards its owner's load."""
        case = decision.case
        if case and case.is_open and case.assignee_id and case.version == 1:
            self.load[case.assignee_id] += 1

    def _customer(self, rating: Rating) -> str | None:
        requester = self.tickets[rating.ticket_id].requester
        if requester and requester.email:
            return self.engine.known_as(requester.email)
        requester_id = rating.requester_id or (requester.requester_id if requester else None)
        return f"{self.desk.account}:{requester_id}" if requester_id else None

    def _link_customers(self, ratings: Sequence[Rating]) -> None:
        links = {
            rating.requester_id: customer
            for rating in ratings
            if rating.requester_id and (customer := self.customers[rating.rating_id])
        }
        self.store.link_customers(self.desk.account, links)

    def _facts(self, rating: Rating, ticket: Ticket) -> Facts:
        times = self.bad_times[self.customers[rating.rating_id], rating.requester_id]
        return facts_of(
            rating, ticket, self.directory, account=self.desk.account, bad_rated_at=times, now=self.engine.now()
        )

    def _situation(self, ticket: Ticket, facts: Facts) -> Situation:
        staff = Staff(self.rules, self.directory, self.engine.calendar, self.load, self.engine.now())
        return Situation(
            account=self.desk.account,
            ticket=ticket,
            staff=staff,
            facts=facts,
            link=self.desk.link(ticket.ticket_id),
            shadow=self.shadow,
            new_id=self.engine.new_id,
        )

    def _open_case(self, rating: Rating, customer: str | None) -> Case | None:
        account = self.desk.account
        by_ticket = self.store.open_case_on(account, rating.ticket_id)
        return by_ticket or (self.store.open_case_of(account, customer) if customer else None)

    def _already_known(self, rating: Rating) -> str | None:
        """Return why this version of a rating is no new failure: its case has ended and it was bad before, too."""
        case = self.store.case_of_rating(self.desk.account, rating.rating_id)
        if case is None or case.is_open:
            return None
        before = self.store.category_before(self.desk.account, rating)
        if before is None or before is not Category.BAD:
            return None
        return f"edited after case {case.case_id} had ended: {case.outcome}"

    def _original_agent(self, rating: Rating) -> str | None:
        """Return who held the ticket when it was rated: the rating's own word, then the ticket's history."""
        if rating.assignee_id:
            return rating.assignee_id
        return self.desk.past_holder(rating.ticket_id, rating.rated_at)

    def _nothing(self, rating: Rating, what: str, reason: str, facts: Facts) -> Decision:
        audit = Audit(
            at=self.engine.now(),
            account=self.desk.account,
            ticket_id=rating.ticket_id,
            what=what,
            reason=reason,
            rating_id=rating.rating_id,
            rules_hash=self.rules.hash,
            facts=facts.as_dict(),
        )
        return Decision(audit)


def _acts_from(state: Mapping[str, str]) -> datetime:
    """Return the moment from which ratings are acted on; earlier ones are memory."""
    return datetime.fromisoformat(state["acts_from"])
