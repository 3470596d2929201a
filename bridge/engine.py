"""The one place where thinking meets hands: poll, receive, decide, tick. `bridge/delivery.py` carries out.

Each verb may run at any time, twice, and beside another process: rows and cursor are stored together, ratings are known
by id and version, cases change by compare-and-set. What a helpdesk answers is read, decided about by `recovery`, and
saved; nothing is written to a helpdesk here.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from bridge.connector import Connector
from bridge.decision import Situation, who_hears
from bridge.errors import (
    BadRecord,
    BridgeError,
    HelpdeskError,
    NotFound,
    StoreError,
)
from bridge.hours import Calendar
from bridge.log import crash
from bridge.model import (
    Activity,
    Audit,
    Case,
    Category,
    Decision,
    Directory,
    Effect,
    EffectKind,
    EffectState,
    Rating,
    Stage,
    Ticket,
    Watched,
)
from bridge.owner import Staff
from bridge.pursuit import is_news
from bridge.reading import BATCH, TRY_AGAIN_AFTER, Reading, batch_of, retry_in
from bridge.recovery import DeadlinePassed, OwnerGone, PeopleActed, RatedAgain, Signal, advance, open_case
from bridge.rules import Facts, Playbook, Rule, Rules, facts_of
from bridge.store import StaleCase, Store, StoredRating

log = logging.getLogger(__name__)

MEMORY_REACHES_BACK = timedelta(days=90)
SWEEP_EVERY = timedelta(days=1)
SWEEPS_OVERLAP = timedelta(hours=1)
WATCH_EVERY = timedelta(minutes=5)
NEVER = "2000-01-01T00:00:00+00:00"
LOOKS_OVERLAP = timedelta(minutes=2)
STAMP_STEP = timedelta(seconds=1)
LIMIT_COUNTS_OVER = timedelta(hours=1)
MODES_OVERLAP = timedelta(minutes=15)  # ratings between the last run of one mode and the first of the next
HISTORY_REACHES_BACK = timedelta(days=366)


@dataclass
class Tally:
    """What one run did, for its closing line."""

    ratings_seen: int = 0
    cases_opened: int = 0
    found_late: int = 0
    failed_records: int = 0
    effects: Counter[str] = field(default_factory=Counter)


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
        self.is_shadow = self.rules.settings.mode == "shadow"

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
            self._count(count.new + count.changed, count.malformed)
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
            begun |= {"mode": mode, "acts_from": _acts_anew_from(state, now).isoformat()}
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
            self._count(count.new + count.changed, count.malformed)
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
            self._count(count.new + count.changed, count.malformed)
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
        looked_at = min(BATCH, 10 * batch_of(desk))  # few, where only one of them is decided about before the next look
        rows = self.store.pending(account, self.now(), looked_at)
        if not rows:
            return False
        if asking := self._settle_what_no_rule_can_match(account, rows):
            self._decide_about(desk, asking[: batch_of(desk)])
        return True

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
                self.store.fail_rating(row.row_id, why, self.now() + retry_in(row.tries))
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
            if decision.case and before is None and (why := self._held(batch.desk.account)):
                if not self._is_decided(batch.desk.account, row):
                    self._hold(batch.desk.account, row, why)
                return
            try:
                self.store.save(
                    decision,
                    expected_version=before.version if before else None,
                    rating_row=row.row_id,
                    rating_outcome=decision.audit.what,
                    effect_state=EffectState.SHADOW if self.is_shadow and not before else EffectState.PLANNED,
                )
            except StaleCase:
                if self._is_decided(batch.desk.account, row):
                    return
                continue
            batch.learn(decision)
            self._tally(decision, opened=before is None)
            return
        raise BridgeError(f"rating {row.rating.rating_id}: its customer's case changes faster than we can read it")

    def _held(self, account: str) -> str | None:
        """Return why no new recovery may begin on this account, or None."""
        limit = self.rules.limits.tickets_per_hour
        if self.is_shadow or limit is None:
            return None
        state = self.store.account_state(account)
        if why := state.get("held"):
            return str(why)
        resumed_at = datetime.fromisoformat(state.get("resumed_at", NEVER))
        if self.store.flagged_since(account, max(resumed_at, self.now() - LIMIT_COUNTS_OVER)) < limit:
            return None
        return f"held: {limit} recoveries began within an hour (limits: tickets_per_hour); then: recovery-bridge resume"

    def _hold(self, account: str, row: StoredRating, why: str) -> None:
        """Leave a rating undecided until `resume`; the first one tells a person."""
        self.store.hold_rating(row.row_id, why)
        if not self.store.account_state(account).get("held"):
            log.error(why, extra={"account": account})
            self.store.put_account_state(account, held=why)
            self._tell_about(account, why)

    def _tell_about(self, account: str, text: str) -> None:
        """Tell a person about an account; the message hangs on its newest case."""
        name = who_hears(Playbook(), self.rules)
        newest = self.store.cases(account=account, limit=1)
        if name is None or not newest:
            return
        person, case = self.rules.person(name), newest[0]
        message = Effect(
            effect_id=self.new_id(), case_id=case.case_id, account=account, ticket_id=case.ticket_id,
            kind=EffectKind.ALERT, step=f"held:{self.now():%Y%m%d%H%M%S}", person=name,
            target=person.notify or person.agent, text=f"{account}: {text}",
        )  # fmt: skip
        audit = Audit(self.now(), account, case.ticket_id, "held", text, case_id=case.case_id)
        self.store.save(Decision(audit, None, (message,)))

    def _is_decided(self, account: str, row: StoredRating) -> bool:
        """True if another process has decided about this rating meanwhile."""
        known = self.store.ratings_of_ticket(account, row.rating.ticket_id)
        return any(one.row_id == row.row_id and one.outcome is not None for one in known)

    def _tally(self, decision: Decision, *, opened: bool) -> None:
        if decision.case and opened:
            self.tally.cases_opened += 1
        self.tally.effects["planned"] += len(decision.effects)

    # -------------------------------------------------------------- people
    def watch(self, account: str) -> None:
        """Notice what people did to the tickets of open cases, and whose owner has left or is absent.

        Looks every WATCH_EVERY, and always before a deadline is acted on.
        """
        desk, begun = self.desks[account], self.now()
        watched_at = datetime.fromisoformat(self.store.account_state(account).get("watched_at", NEVER))
        if begun - watched_at < WATCH_EVERY and not self.store.due_cases(account, begun, 1):
            return
        cases = {} if self.is_shadow else {case.carrier_id: case for case in self.store.watchable(account)}
        if not cases:
            self.store.put_account_state(account, watched_at=begun.isoformat())
            return
        known = watched_at - LOOKS_OVERLAP
        watched = [
            Watched(key, case.seen_stamp, max(case.seen_at or case.flagged_at, case.flagged_at, known))
            for key, case in cases.items()
        ]
        try:
            for activity in desk.activity(watched):
                self._take_notice(desk, cases[activity.ticket.ticket_id], activity)
        except BadRecord as exc:
            log.error("%s", exc)
        self.store.put_account_state(account, watched_at=begun.isoformat())
        self._look_after_owners(desk, self.store.watchable(account))

    def _take_notice(self, desk: Connector, case: Case, activity: Activity) -> None:
        ticket = activity.ticket
        same_second = ticket.read_at - ticket.updated_at < STAMP_STEP  # it may change again without a new stamp
        if same_second:
            activity = replace(activity, ticket=replace(ticket, stamp=""))
        if ticket.status.is_gone or is_news(case, activity):
            self.signal(desk, case, PeopleActed(activity), ticket)
        else:
            self.store.seen(case, activity.ticket.stamp, ticket.read_at)

    def _look_after_owners(self, desk: Connector, cases: Iterable[Case]) -> None:
        staff = Staff(self.rules, desk.directory(), self.calendar, {}, self.now())
        for case in cases:
            owner = case.assignee_id
            if owner is None or case.solved_at:
                continue
            why = staff.why_left(owner) or (None if case.chosen_by_human else staff.why_absent(owner))
            if why and not self._was_moved_from(case, owner):
                tickets = self.reading.tickets(desk, [case.carrier_id])
                if case.carrier_id in tickets:
                    self.signal(desk, case, OwnerGone(why), tickets[case.carrier_id])

    def _was_moved_from(self, case: Case, owner: str) -> bool:
        """True if that owner's absence was acted on before, and nobody could take the case over."""
        effects = self.store.effects_of(case.case_id)
        return any(one.effect.step.split(":")[:2] == ["owner_gone", owner] for one in effects)

    # -------------------------------------------------------------- time
    def tick(self, account: str) -> None:
        """Advance every case whose due time has come; in shadow mode those of an earlier live time wait."""
        desk = self.desks[account]
        while not self.is_shadow and not self.stopping() and (due := self.store.due_cases(account, self.now(), BATCH)):
            tickets = self.reading.tickets(desk, [case.carrier_id for case in due])
            readable = [(case, tickets[case.carrier_id]) for case in due if case.carrier_id in tickets]
            moved = [self._tick_one(desk, case, ticket) for case, ticket in readable]
            if not any(moved):
                return

    def _tick_one(self, desk: Connector, case: Case, ticket: Ticket) -> bool:
        try:
            rating = self._rating_now(desk, case) if case.stage is Stage.UNCONFIRMED else None
            return self.signal(desk, case, DeadlinePassed(rating), ticket)
        except (HelpdeskError, StoreError):
            raise
        except Exception as exc:  # one bad case must not stop the ones behind it
            log.error("a case could not be advanced: %s", crash(exc), extra={"case_id": case.case_id})
            later = replace(case, due_at=self.now() + TRY_AGAIN_AFTER, version=case.version + 1)
            audit = Audit(self.now(), case.account, case.ticket_id, "failed", crash(exc), case_id=case.case_id)
            with suppress(StaleCase):
                self.store.save(Decision(audit, later), expected_version=case.version)
            return True

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
            shadow=self.is_shadow,
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
        case = self._open_case(rating, customer)
        if case and (rule or rating.ticket_id in (case.ticket_id, case.work_ticket_id)):
            carrier = self._ticket(case.carrier_id)
            if carrier is ticket or not carrier.status.is_gone:
                return advance(case, RatedAgain(rating, rule), self._situation(carrier, facts)), case
            self.engine.signal(self.desk, case, DeadlinePassed(None), carrier)  # ends it: this rating needs its own
        if rule is None:
            return self._nothing(rating, verdict.kind, verdict.reason, facts), None
        if why := self._already_known(rating):
            return self._nothing(rating, "known", why, facts), None
        if why := self._enough(rating):
            return self._nothing(rating, "stopped", why, facts), None
        situation = self._situation(ticket, facts)
        return open_case(rating, rule, self._original_agent(rating), customer, situation), None

    def _ticket(self, ticket_id: str) -> Ticket:
        """Return a ticket of this batch, or that of a case which a rating of this batch joins."""
        return self.tickets.get(ticket_id) or self.engine.reading.tickets(self.desk, [ticket_id])[ticket_id]

    def learn(self, decision: Decision) -> None:
        """Count the case that was just opened towards its owner's load."""
        case = decision.case
        if case and case.is_open and case.assignee_id and case.version == 1:
            self.load[case.assignee_id] += 1

    def _customer(self, rating: Rating) -> str | None:
        """Return the key of the customer; a ticket that is gone shows no address, but we may have met them before."""
        requester, account = self.tickets[rating.ticket_id].requester, self.desk.account
        if requester and requester.email:
            return self.engine.known_as(requester.email)
        requester_id = rating.requester_id or (requester.requester_id if requester else None)
        if requester_id is None:
            return None
        return self.store.customer_key(account, requester_id) or f"{account}:{requester_id}"

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
            shadow=self.engine.is_shadow,
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

    def _enough(self, rating: Rating) -> str | None:
        """Know when to quit: return why a ticket gets no further recovery, or None."""
        limit = self.rules.limits.recoveries_per_ticket
        if limit is None or self.store.recoveries_of(self.desk.account, rating.ticket_id) < limit:
            return None
        return f"this ticket had {limit} recoveries already (limits: recoveries_per_ticket)"

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


def _acts_anew_from(state: Mapping[str, str], now: datetime) -> datetime:
    """Return from when on a new mode acts: what the old one saw last is its own, what came right after is ours."""
    last = state.get("succeeded_at")
    return max(datetime.fromisoformat(last), now - MODES_OVERLAP) if last else now


def _acts_from(state: Mapping[str, str]) -> datetime:
    """Return the moment from which ratings are acted on; earlier ones are memory."""
    return datetime.fromisoformat(state["acts_from"])
