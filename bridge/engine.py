"""The one place where thinking meets hands: poll, receive, decide, tick. `bridge/delivery.py` carries out.

Each verb may run at any time, twice, and beside another process: rows and cursor are stored together, ratings are known
by id and version, cases change by compare-and-set. What a helpdesk answers is read, decided about by `recovery`, and
saved; nothing is written to a helpdesk here.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from bridge.answering import Answering, Standing, answered, is_overtaken
from bridge.asking import why_barred
from bridge.briefing import Briefing
from bridge.connector import Connector
from bridge.deadlines import ASK, REMIND
from bridge.deciding import Batch
from bridge.decision import Situation
from bridge.errors import (
    BadRecord,
    BridgeError,
    HelpdeskError,
    NotFound,
    StoreError,
)
from bridge.hints import KEPT_FOR, Hints
from bridge.limits import NEVER, Brakes
from bridge.log import crash
from bridge.model import (
    REQUEST,
    Activity,
    Audit,
    Case,
    Category,
    Decision,
    EffectState,
    Rating,
    Stage,
    Ticket,
    Watched,
)
from bridge.pursuit import is_news
from bridge.reading import BATCH, TRY_AGAIN_AFTER, Reading, batch_of, retry_in
from bridge.recovery import DeadlinePassed, OwnerGone, PeopleActed, Signal, advance, answer_changed
from bridge.rules import Rules, facts_of
from bridge.store import PURGED_AT_ONCE, Hint, StaleCase, Store, StoredRating
from bridge.survey import NOTHING_KNOWN, Chance

log = logging.getLogger(__name__)

MEMORY_REACHES_BACK = timedelta(days=90)
SWEEP_EVERY = timedelta(days=1)
SWEEPS_OVERLAP = timedelta(hours=1)
TIDY_EVERY = timedelta(hours=1)
POLLS_LAG = timedelta(minutes=2)  # how long a rating may be hidden from polls: Zendesk's export lacks the last minute
FACTS_KEPT = 5_000  # decisions of each outcome that `explain` can trace
WATCH_EVERY = timedelta(minutes=5)
REQUESTS_EVERY = timedelta(minutes=15)
LOOKS_OVERLAP = timedelta(minutes=2)
STAMP_STEP = timedelta(seconds=1)
MODES_OVERLAP = timedelta(minutes=15)  # ratings between the last run of one mode and the first of the next


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
        self.hints = Hints(self.store, self.now)
        self.briefing = Briefing(self.rules, self.store, self.now, self.new_id, self.known_as)
        self.brakes = Brakes(self.briefing)
        self.is_shadow = self.briefing.is_shadow
        self.needs = self.rules.needs()

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
        if self.now() - datetime.fromisoformat(state.get("tidied_at", state["began_at"])) >= TIDY_EVERY:
            self._tidy(account)

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
            ripe = tuple(one for one in page.ratings if one.updated_at <= begun - POLLS_LAG)  # others: the next poll's
            count = self.store.add_page(
                desk.account,
                "sweep",
                replace(page, ratings=ripe),
                source="sweep",
                seen_at=self.now(),
                memory_before=_acts_from(state),
            )
            late += count.new_bad
            self._count(count.new + count.changed, count.malformed)
            if self.stopping():
                return
        self.tally.found_late += late
        total = int(state.get("found_late", "0")) + late
        self.store.put_account_state(desk.account, swept_at=begun.isoformat(), found_late=str(total))
        self.store.set_cursor(desk.account, "sweep", None)
        self.store.forget_facts(desk.account, FACTS_KEPT)
        if late:
            log.warning(
                "the daily sweep found %d bad ratings that polling had missed", late, extra={"account": desk.account}
            )

    def _tidy(self, account: str) -> None:
        """Forget hints that were followed a day ago, and the words of answers that can no longer be changed."""
        now = self.now()
        while self.store.purge_hints(account, now - KEPT_FOR) == PURGED_AT_ONCE and not self.stopping():
            pass
        Answering(self.store, self.now).settle(account)
        self.store.put_account_state(account, tidied_at=now.isoformat())

    def receive(self, account: str, delivery_key: str, ticket_id: str) -> bool:
        """Store the hint that a ticket was rated; False if this delivery is known. `decide` reads the rating itself."""
        return self.store.add_hint(account, delivery_key, ticket_id, self.now())

    def _follow_hints(self, desk: Connector, begun: datetime) -> bool:
        """Read the ratings of some tickets that hints point at; False if there are none."""
        tickets = self.hints.ripe(desk.account, begun)
        if tickets:
            self.hints.follow(desk, tickets, _acts_from(self.store.account_state(desk.account)))
        return bool(tickets)

    def answer(self, case_id: str, attempt: int, value: int, comment: str | None) -> bool:
        """Keep a customer's answer, 1 to 5, to our own question; `decide` takes it to the case.

        False if nobody waits for it any more; see bridge/answering.py.
        """
        taken = Answering(self.store, self.now).take(case_id, attempt, value, comment)
        return taken.standing is Standing.ANSWERED

    def _follow_answers(self, desk: Connector) -> bool:
        """Take the answers to our own question to their cases, and what was changed about answers taken before.

        True if any was taken: what it leads to is to be carried out.
        """
        taken = False
        for row in self.store.answers(desk.account, self.now(), BATCH):
            case = self.store.case(row.ticket_id)
            if case is None or self._follow_safely(desk, case, row):
                self.store.finish_answer(row)
                taken = True
        return taken

    def _follow_safely(self, desk: Connector, case: Case, row: Hint) -> bool:
        """Take one answer to its case, False if it has to come again; one that fails does not stop those behind it."""
        try:
            ticket = self.reading.tickets(desk, [case.carrier_id]).get(case.carrier_id)
            if ticket is not None:
                return self._follow_answer(desk, case, row, ticket)
            why = "its ticket cannot be read"
        except (HelpdeskError, StoreError):
            raise
        except Exception as exc:
            why = str(exc) if isinstance(exc, BridgeError) else crash(exc)
            log.error("an answer could not be followed: %s", why, extra={"case_id": case.case_id})
        self.store.fail_hint(row.hint_id, why, self.now() + TRY_AGAIN_AFTER)
        return False

    def _follow_answer(self, desk: Connector, case: Case, row: Hint, ticket: Ticket) -> bool:
        attempt, said = answered(row)
        if is_overtaken(self.store, case, attempt):  # changed before the later answer was known: the newest counts
            why = (
                f"the customer changed the answer of attempt {attempt} to {said.answer.category}; the later one counts"
            )
            audit = Audit(self.now(), case.account, case.ticket_id, "overtaken", why, case_id=case.case_id)
            self.store.save(Decision(audit))
            return True
        if case.is_open and case.attempt == attempt:
            return self.signal(desk, case, said, ticket)
        if case.answer == said.answer:  # killed before it could say that it had followed this one
            return True
        situation = self.briefing.as_begun(case, self.situation(desk, ticket))
        decision = answer_changed(case, said, situation)
        planned = self.store.steps_of([case.case_id])[case.case_id]
        if any(effect.step in planned for effect in decision.effects):  # the same, where a rating stays the answer
            return True
        return self._advanced(case, decision)

    def _read_requests(self, desk: Connector, state: Mapping[str, str]) -> None:
        """Take tickets on which an agent asked for a recovery for new ratings, each once."""
        account, now = desk.account, self.now()
        asked_at = datetime.fromisoformat(state.get("requests_at", NEVER))
        if not self.needs.requests or self.is_shadow or now - asked_at < REQUESTS_EVERY:
            return
        found = list(desk.requests())
        for ticket_id in found:
            rating_id = f"{REQUEST}{ticket_id}"
            if self._has_rating(account, ticket_id, rating_id):
                continue
            asked = Rating(rating_id, ticket_id, Category.NEUTRAL, 1, 2, rated_at=now, updated_at=now)
            self.store.add_ratings(account, [asked], source="request", seen_at=now, memory_before=now - SWEEP_EVERY)
        self.store.put_account_state(account, requests_at=now.isoformat())

    def _has_rating(self, account: str, ticket_id: str, rating_id: str) -> bool:
        return any(row.rating.rating_id == rating_id for row in self.store.ratings_of_ticket(account, ticket_id))

    # -------------------------------------------------------------- deciding
    def decide(self, account: str, begun: datetime | None = None) -> bool:
        """Give one batch of pending ratings exactly one named outcome each; False if there was nothing to do.

        Hints that came after *begun* are left to the next time, so that no flood of them holds up everything else.
        """
        desk = self.desks[account]
        took_answers = self._follow_answers(desk)
        followed = self._follow_hints(desk, begun or self.now())
        looked_at = min(BATCH, 10 * batch_of(desk))  # few, where only one of them is decided about before the next look
        rows = self.store.pending(account, self.now(), looked_at)
        if not rows:
            return took_answers or followed
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
        ratings = [row.rating for row in rows]
        batch = Batch(self.briefing, self.reading, desk, tickets, ratings)
        for row in rows:
            try:
                self._decide_one(batch, row)
            except (HelpdeskError, StoreError):
                raise
            except Exception as exc:  # one bad record must not stop the ones behind it
                why = str(exc) if isinstance(exc, BridgeError) else crash(exc)
                log.error("a rating could not be decided about: %s", why, extra={"account": desk.account})
                self.tally.failed_records += 1
                self.store.fail_rating(row.row_id, why, self.now() + TRY_AGAIN_AFTER)

    def _decide_one(self, batch: Batch, row: StoredRating) -> None:
        for _ in range(3):  # another process may decide about the same customer at this moment
            decision, before = batch.think(row.rating)
            if decision.case and before is None and (why := self._why_held(batch.desk.account, decision)):
                if not self._is_decided(batch.desk.account, row):
                    self.brakes.hold(batch.desk.account, row.row_id, why)
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

    def _why_held(self, account: str, decision: Decision) -> str | None:
        """Return why this new case must wait; those of a known incident are one alert, and no flood."""
        is_incident = decision.case is not None and decision.case.incident is not None
        return None if is_incident else self.brakes.why_held(account)

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
        state = self.store.account_state(account)
        self._read_requests(desk, state)
        watched_at = datetime.fromisoformat(state.get("watched_at", NEVER))
        if begun - watched_at < WATCH_EVERY and not self.store.due_cases(account, begun, 1):
            return
        known = state.get("known_at", NEVER)  # what people did before is known of every case
        if not self.is_shadow:
            left_out = self.store.has_unwatched(account)
            watched = self.store.watchable(account, datetime.fromisoformat(known) - LOOKS_OVERLAP)
            if self._look(desk, watched) and not left_out:
                known = begun.isoformat()
            self._look_after_owners(desk)
        self.store.put_account_state(account, watched_at=begun.isoformat(), known_at=known)

    def _look(self, desk: Connector, watched: Sequence[Watched]) -> bool:
        """Take notice of tickets that changed; False if one could not be read.

        Each case is read when its turn comes, so that few are in memory.
        """
        all_read = True
        unchanged: list[tuple[Case, str, datetime]] = []
        try:
            for activity in desk.activity(watched):
                ticket = activity.ticket
                case = self.store.open_case_on(desk.account, ticket.ticket_id)
                if case and not self._notice_safely(desk, case, activity):
                    unchanged.append((case, _stamp(ticket), ticket.read_at))
                if len(unchanged) == BATCH:
                    self.store.seen_all(unchanged)
                    unchanged = []
        except BadRecord as exc:
            log.error("%s", exc)
            all_read = False
        self.store.seen_all(unchanged)
        return all_read

    def _notice_safely(self, desk: Connector, case: Case, activity: Activity) -> bool:
        """Take notice; one case that cannot be advanced must not stop the ones behind it."""
        try:
            return self._take_notice(desk, case, activity)
        except (HelpdeskError, StoreError):
            raise
        except Exception as exc:
            log.error("what people did could not be noticed: %s", crash(exc), extra={"case_id": case.case_id})
            return True

    def _take_notice(self, desk: Connector, case: Case, activity: Activity) -> bool:
        """Take what people did to the case; False if that changes nothing."""
        ticket = activity.ticket
        activity = replace(activity, ticket=replace(ticket, stamp=_stamp(ticket)))
        if ticket.rated and ticket.rated.is_better_than(case.category):
            self.receive(case.account, f"rated:{ticket.ticket_id}:{ticket.stamp}", ticket.ticket_id)
        if not (ticket.status.is_gone or is_news(case, activity, self.briefing.rules_for(case))):
            return False
        self.signal(desk, case, PeopleActed(activity), ticket)
        return True

    def _look_after_owners(self, desk: Connector) -> None:
        """Move the cases of owners who have left or are absent, unless that was tried before."""
        owners = self.store.open_load(desk.account)
        if not owners:
            return
        staff = self.briefing.staff(desk, owners).knowing(owners)
        gone = [owner for owner in owners if staff.why_left(owner) or staff.why_absent(owner)]
        cases = self.store.held_by(desk.account, gone)
        steps = self.store.steps_of([case.case_id for case in cases])
        for case in cases:
            why = staff.why_gone(case)
            if why is None or any(_is_about(step, case.assignee_id) for step in steps[case.case_id]):
                continue  # acted on before, and nobody could take the case over
            tickets = self.reading.tickets(desk, [case.carrier_id])
            if case.carrier_id in tickets:
                self._owner_gone(desk, case, why, tickets[case.carrier_id])

    def _owner_gone(self, desk: Connector, case: Case, why: str, ticket: Ticket) -> None:
        try:
            self.signal(desk, case, OwnerGone(why), ticket)
        except (HelpdeskError, StoreError):
            raise
        except Exception as exc:  # one bad case must not stop the ones behind it
            log.error("a case without its owner could not be advanced: %s", crash(exc), extra={"case_id": case.case_id})

    # -------------------------------------------------------------- time
    def tick(self, account: str) -> bool:
        """Advance every case whose due time has come; in shadow mode those of an earlier live time wait.

        True if any moved: what was planned for one may hold up a further step of it that is due as well.
        """
        desk, some = self.desks[account], False
        while not self.is_shadow and not self.stopping() and (due := self.store.due_cases(account, self.now(), BATCH)):
            tickets = self.reading.tickets(desk, [case.carrier_id for case in due])
            readable = [(case, tickets[case.carrier_id]) for case in due if case.carrier_id in tickets]
            moved = [self._tick_one(desk, case, ticket) for case, ticket in readable]
            if not any(moved):
                break
            some = True
        return some

    def _tick_one(self, desk: Connector, case: Case, ticket: Ticket) -> bool:
        try:
            rating = self._rating_now(desk, case) if case.stage is Stage.UNCONFIRMED else None
            return self.signal(desk, case, DeadlinePassed(rating, self._chance(desk, case)), ticket)
        except (HelpdeskError, StoreError):
            raise
        except Exception as exc:  # one bad case must not stop the ones behind it
            log.error("a case could not be advanced: %s", crash(exc), extra={"case_id": case.case_id})
            later = replace(case, due_at=self.now() + TRY_AGAIN_AFTER, version=case.version + 1)
            audit = Audit(self.now(), case.account, case.ticket_id, "failed", crash(exc), case_id=case.case_id)
            with suppress(StaleCase):
                self.store.save(Decision(audit, later), expected_version=case.version)
            return True

    def _chance(self, desk: Connector, case: Case) -> Chance:
        """Find out, where the customer would be asked now, what speaks against it."""
        if case.next_step not in (ASK, REMIND) or not self.briefing.asks_again:
            return NOTHING_KNOWN
        if why := why_barred(self.store, self.rules, case, self.now()):
            return Chance(barred=why)
        return Chance(offered_at=self._offered_at(desk, case) if case.next_step == ASK else None)

    def _offered_at(self, desk: Connector, case: Case) -> datetime | None:
        """Return when the helpdesk asked the customer by itself about this repair, as far as it or rules.yaml says."""
        says = self.rules.accounts[case.account].asks_on_solve
        if desk.asking().asks_on_solve if says is None else says:
            return case.solved_at
        return desk.asked_since(case.carrier_id, case.begun_at)

    def signal(self, desk: Connector, case: Case, signal: Signal, ticket: Ticket) -> bool:
        """Advance one case and save it; False if another process was quicker.

        Raises BridgeError if the case could not be saved though nobody has moved it: a step that was planned before.
        """
        situation = self.briefing.as_begun(case, self.situation(desk, ticket))
        return self._advanced(case, advance(case, signal, situation))

    def _advanced(self, case: Case, decision: Decision) -> bool:
        """Save where a case goes on; False if another process was quicker."""
        try:
            self.store.save(decision, expected_version=case.version)
        except StaleCase as exc:
            now = self.store.case(case.case_id)
            if now and now.version == case.version:
                steps = ", ".join(effect.step for effect in decision.effects)
                raise BridgeError(f"case {case.case_id}: one of its steps was planned before: {steps}") from exc
            return False
        self._tally(decision, opened=False)
        return True

    def situation(self, desk: Connector, ticket: Ticket, refused: Mapping[str, str] | None = None) -> Situation:
        """Put together what a decision about one ticket looks at; *refused* agents are looked up afresh."""
        staff = self.briefing.staff(desk, self.store.open_load(desk.account), refused)
        return replace(self.briefing.situation(desk, ticket, staff), asking=self.briefing.asking(desk))

    def _rating_now(self, desk: Connector, case: Case) -> Rating | None:
        try:
            found = desk.ratings_of(case.ticket_id, case.rating_id)
        except NotFound:
            return None
        return next((rating for rating in found if rating.rating_id == case.rating_id), None)

    def _count(self, seen: int, malformed: int) -> None:
        self.tally.ratings_seen += seen
        self.tally.failed_records += malformed


def _stamp(ticket: Ticket) -> str:
    """Return the stamp to know a ticket by; none if it may change again in the same second without a new one."""
    return "" if ticket.read_at - ticket.updated_at < STAMP_STEP else ticket.stamp


def _is_about(step: str, owner: str | None) -> bool:
    """True for an alert that an owner is gone and nobody can take over."""
    return step.startswith(f"owner_gone:{owner}:") and ":tell:" in step


def _acts_anew_from(state: Mapping[str, str], now: datetime) -> datetime:
    """Return from when on a new mode acts: what the old one saw last is its own, what came right after is ours."""
    last = state.get("succeeded_at")
    return max(datetime.fromisoformat(last), now - MODES_OVERLAP) if last else now


def _acts_from(state: Mapping[str, str]) -> datetime:
    """Return the moment from which ratings are acted on; earlier ones are memory."""
    return datetime.fromisoformat(state["acts_from"])
