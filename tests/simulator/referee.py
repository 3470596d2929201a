"""Who judges a seed: what the stand-in's ledger, its mails and the bridge's rows say when all is calm again.

The ledger is what really happened at the helpdesk; the bridge never sees it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from bridge.model import Case, EffectKind, EffectState
from bridge.store import StoredEffect
from connectors.sandbox.outbox import SECOND_QUESTIONS, caused_by_programs, unwanted
from connectors.sandbox.world import Entry
from tests.simulator.wire import Landed, Line

if TYPE_CHECKING:
    from tests.simulator.stage import Installation, Office

REF = re.compile(r"\bref (sr-\w+)")
OURS_FOR_A_WHILE = ("sr_ref_", "sr_half", "sr_ask")
DONE = (EffectState.APPLIED, EffectState.ADOPTED)
SET_BY_PEOPLE = ("assignee", "group", "priority", "status")
SECOND = timedelta(seconds=1)


RATINGS = "SELECT ticket_id, category, updated_at, outcome, why, case_id FROM rating"
DUE = """
    SELECT coalesce(not_before, :now) FROM rating WHERE outcome IS NULL AND coalesce(not_before, :now) < '9000'
    UNION ALL SELECT due_at FROM cases WHERE stage = 'unconfirmed' OR (stage != 'ended' AND due_at <= :now
        AND case_id NOT IN (SELECT case_id FROM effect WHERE state IN ('planned', 'sending') AND kind != 'alert'))
    UNION ALL SELECT max(coalesce(effect.not_before, :now), coalesce(lease_until, :now))
    FROM effect JOIN cases USING (case_id)
    WHERE effect.state IN ('planned', 'sending') AND (kind = 'alert' OR place IN (
        SELECT min(place) FROM effect WHERE state IN ('planned', 'sending') AND kind != 'alert' GROUP BY case_id))
"""


def next_due(bridge: Installation, now: datetime) -> datetime | None:
    """Return when the bridge has something to do that is under way; later deadlines of cases are not."""
    rows = _rows(bridge, DUE, {"now": f"{now:%Y-%m-%dT%H:%M:%S.%f}Z"})
    return min((_moment(row[0]) for row in rows), default=None)


def _rows(bridge: Installation, sql: str, values: Mapping[str, str] | None = None) -> list[Any]:
    """Ask the database, outside of every process."""
    with bridge.open_store().engine.connect() as connection:
        raw: Any = connection.connection.driver_connection
        found: list[Any] = raw.execute(sql, values or {}).fetchall()
        connection.rollback()
    return found


@dataclass(frozen=True)
class Table:
    """The rows that matter, read at once."""

    cases: list[Case]
    effects: list[tuple[Case, StoredEffect]]
    ratings: list[Any]  # see RATINGS
    planned_at: Mapping[str, datetime]  # effect id -> when

    @staticmethod
    def read(bridge: Installation) -> Table:
        """Read them, outside of every process."""
        store = bridge.open_store()
        cases = store.cases()
        effects = [(case, one) for case in cases for one in store.effects_of(case.case_id)]
        planned = _rows(bridge, "SELECT effect_id, planned_at FROM effect")
        return Table(cases, effects, _rows(bridge, RATINGS), {key: _moment(at) for key, at in planned})


class Referee:
    """Looks at one seed."""

    def __init__(self, office: Office, line: Line, bridge: Installation) -> None:
        self.office, self.line, self.bridge = office, line, bridge
        self.ledger: list[Entry] = office.world.ledger
        self.said: list[str] = []
        self.counts: Counter[str] = Counter()
        self.runs = 0  # that had no failure

    def says(self, kind: str, what: str) -> None:
        """Put down a broken promise."""
        self.said.append(f"{kind}: {what}")

    def judge(self, *, is_beyond_settle: bool = False) -> tuple[list[str], Counter[str]]:
        """Return every promise that was broken, and what happened how often.

        Where time alone protects and writes may land later than `settle`, twice is counted and not complained about.
        """
        table = Table.read(self.bridge)
        self.no_rating_is_lost(table)
        self.nothing_happens_twice(table)
        self.the_original_agent_is_first(table)
        self.people_are_respected(table)
        self.nobody_is_written_to(table)
        self.nothing_is_left_open(table)
        for _, one in table.effects:
            self.counts[f"effect: {one.effect.kind} {one.state}"] += 1
        if self.office.is_zendesk:
            return self.said, self.counts
        excused = ("destroyed:", *(("twice:",) if is_beyond_settle else ()))
        for said in self.said:
            if said.startswith(excused):
                self.counts[f"Freshdesk, counted: {said.split(':')[0]}"] += 1
        return [said for said in self.said if not said.startswith(excused)], self.counts

    # -------------------------------------------------------------- ratings
    def last_ratings(self) -> dict[str, Entry]:
        """Return the last rating of each ticket that was rated in this seed."""
        return {entry.ticket_id: entry for entry in self.ledger if entry.what == "rated"}

    def _bad_ones(self) -> list[Entry]:
        codes = {"bad"} if self.office.is_zendesk else {self.office.desk.answered.code("bad")}
        return [entry for entry in self.last_ratings().values() if entry.after in codes]

    def unseen_ratings(self) -> list[Entry]:
        """Return the bad ratings that no poll has brought yet."""
        ratings = _rows(self.bridge, RATINGS)
        return [entry for entry in self._bad_ones() if not self._rows_of(entry, ratings)]

    def _rows_of(self, entry: Entry, ratings: Iterable[Any]) -> list[Any]:
        mine = [row for row in ratings if row[0] == entry.ticket_id and row[1] == "bad"]
        return [row for row in mine if abs(_moment(row[2]) - entry.at) <= SECOND]

    def no_rating_is_lost(self, table: Table) -> None:
        """Each bad rating that stands has one outcome: a case, or a reason."""
        known = {case.case_id for case in table.cases}
        for entry in self._bad_ones():
            rows = self._rows_of(entry, table.ratings)
            name = f"ticket {entry.ticket_id}, rated at {entry.at:%H:%M:%S}"
            if not rows:
                self.says("lost", f"{name}: nobody has seen it")
            for _, _, _, outcome, why, case_id in rows:
                if not outcome or not (why or case_id) or (case_id and case_id not in known):
                    self.says("lost", f"{name}: {outcome}, {why!r}, case {case_id}")
                self.counts[f"rating: {outcome}"] += 1
                if outcome in ("memory", "no_rule", "held", "ignored"):
                    self.says("lost", f"{name}: {outcome}: {why}")

    # -------------------------------------------------------------- twice
    def nothing_happens_twice(self, table: Table) -> None:
        """No note, assignment, tag, new ticket or question of ours comes a second time."""
        ours = [entry for entry in self.ledger if entry.actor.startswith("api:")]
        notes = Counter(ref for one in ours if one.what == "private_note" for ref in REF.findall(str(one.after)))
        for ref, times in notes.items():
            if times > 1:
                self.says("twice", f"the note {ref} stands there {times} times")
        self.counts["notes"] += notes.total()
        self._no_event_twice()
        done = Counter((c.case_id, one.effect.kind, one.effect.step) for c, one in table.effects if one.state in DONE)
        for (case_id, kind, step), times in done.items():
            if times > 1 and kind is not EffectKind.ALERT:
                self.says("twice", f"case {case_id}: {step} was done {times} times")
        made = Counter(entry.after for entry in ours if entry.what == "created")
        continued = sum(one.effect.kind is EffectKind.FOLLOW_UP for _, one in table.effects)
        if made.total() > continued:
            self.says("twice", f"{made.total()} new tickets for {continued} effects")
        answers = Counter(
            (case.rating_id, case.rated_at) for case in table.cases
        )  # bad, good, and bad again is another
        for (rating_id, _), times in answers.items():
            if times > 1:
                self.says("twice", f"rating {rating_id} has {times} cases")
        self._no_question_twice(table)

    def _no_event_twice(self) -> None:
        """What we set is not set again, unless somebody else has changed it meanwhile."""
        set_by_us: dict[tuple[str, str], Any] = {}
        for entry in self.ledger:
            is_ours = entry.actor.startswith("api:")
            if entry.what in ("assignee", "priority"):
                key = (entry.ticket_id, entry.what)
                if is_ours and key in set_by_us and set_by_us[key] == entry.after:
                    self.says("twice", f"ticket {entry.ticket_id}: {entry.what} set to {entry.after} again")
                if is_ours:
                    set_by_us[key] = entry.after
                else:
                    set_by_us.pop(key, None)
            if entry.what == "tags" and is_ours and _repeats(entry.after) - _repeats(entry.before):
                self.says("twice", f"ticket {entry.ticket_id}: a tag stands there twice")

    def _no_question_twice(self, table: Table) -> None:
        mails = self.office.world.mails[self.office.known_mails :]
        known = {id(mail) for mail in mails}
        asked = [one.mail for one in caused_by_programs(self.office.world) if id(one.mail) in known]
        asked = [mail for mail in asked if mail.kind in SECOND_QUESTIONS]
        steps = {
            (case.case_id, one.effect.step.split(":")[0], one.effect.step.split(":")[1])
            for case, one in table.effects
            if one.effect.way and one.last_sent_at and one.last_sent_at >= self.office.begun_at
        }
        self.counts["questions"] += len(asked)
        if len(asked) > len(steps):
            told = [f"{mail.at:%H:%M:%S} {mail.kind} {mail.ticket_id}" for mail in asked]
            self.says("twice", f"{len(asked)} questions for {sorted(steps)}: {told}")

    # -------------------------------------------------------------- owners
    def the_original_agent_is_first(self, table: Table) -> None:
        """Whoever held the ticket when it was rated has the first shot; nobody here is away."""
        for case in table.cases:
            rated = self.last_ratings().get(case.ticket_id)
            if rated is None or case.ticket_id in self.office.begun:
                continue
            held = self._holder(case.ticket_id, case.rated_at)
            if self._people_on(case.ticket_id, "assignee") or not case.ladder:  # somebody else may have taken it
                continue
            if case.original_agent_id != held or case.ladder[0].agent_id != held:
                found = f"{case.original_agent_id}, first {case.ladder[0]}"
                self.says("wrong owner", f"ticket {case.ticket_id} was held by {held}, not by {found}")

    def _holder(self, ticket_id: str, at: datetime) -> str:
        held = self.office.agents["Ana"]
        for entry in self.ledger:
            if entry.ticket_id == ticket_id and entry.what == "assignee" and entry.at <= at:
                held = str(entry.after)
        return held

    def _people_on(self, ticket_id: str, what: str) -> list[Entry]:
        return [e for e in self.ledger if e.ticket_id == ticket_id and e.what == what and _is_human(e)]

    # -------------------------------------------------------------- people
    def people_are_respected(self, table: Table) -> None:
        """What somebody set between our reading and our writing is there after the write."""
        for write in self.line.landed:
            theirs = [e for e in self.ledger[write.read : write.before] if e.ticket_id == write.ticket_id]
            mine = [e for e in self.ledger[write.before : write.after] if e.ticket_id == write.ticket_id]
            self._compare([e for e in theirs if _is_human(e)], [e for e in mine if e.actor.startswith("api:")], write)
            self._keeps_their_choice(write, mine, table)

    def _compare(self, theirs: Iterable[Entry], mine: list[Entry], write: Landed) -> None:
        for entry in theirs:
            for own in mine:
                if own.what != entry.what:
                    continue
                if entry.what == "tags":
                    added, removed = _diff(entry), _diff(own, reverse=True)
                    if lost := added & removed:
                        self.says("destroyed", f"ticket {write.ticket_id}: the tags {lost} of {entry.actor}")
                    if back := _diff(entry, reverse=True) & _diff(own):
                        self.says("destroyed", f"ticket {write.ticket_id}: the tags {back} came back")
                elif entry.what in SET_BY_PEOPLE and own.before == entry.after != own.after:
                    self.says("destroyed", f"ticket {write.ticket_id}: {entry.what} {entry.after} of {entry.actor}")

    def _keeps_their_choice(self, write: Landed, mine: list[Entry], table: Table) -> None:
        """An owner whom somebody chose after we had decided keeps the ticket."""
        marker = re.search(r"sr[-_](?:ref_)?([0-9a-f]{8})", str(write.body))
        planned_at = table.planned_at.get(marker[1]) if marker else None
        for own in mine:
            if own.what != "assignee" or planned_at is None or not own.actor.startswith("api:"):
                continue
            before = [e for e in self.ledger[: write.before] if e.ticket_id == write.ticket_id and e.what == "assignee"]
            if before and _is_human(before[-1]) and before[-1].at > planned_at and before[-1].after != own.after:
                self.says("destroyed", f"ticket {write.ticket_id}: chosen {before[-1].after}, given to {own.after}")

    # -------------------------------------------------------------- the public, and the end
    def nobody_is_written_to(self, table: Table) -> None:
        """Nothing but questions reaches customers because of us."""
        surveys = {(mail.ticket_id, mail.at) for mail in self.office.world.mails if mail.kind == "survey"}
        known = {id(mail) for mail in self.office.world.mails[: self.office.known_mails]}
        for sent in unwanted(self.office.world):
            mail = sent.mail
            if id(mail) not in known and (mail.ticket_id, mail.at) not in surveys:
                self.says("public", f"{mail.kind} on ticket {mail.ticket_id} by {mail.actor} {mail.rule}")
        for entry in self.ledger:
            if entry.actor.startswith("api:") and entry.what == "public_comment":
                self.says("public", f"ticket {entry.ticket_id}: we wrote to the customer")

    def nothing_is_left_open(self, table: Table) -> None:
        """Every open case has an owner, a next step and its time; every effect has come to its end."""
        now = self.office.now()
        for case in table.cases:
            if case.is_open and not (case.due_at and case.next_step and (case.assignee_id or case.group_id)):
                self.says("unfinished", f"case {case.case_id}: {case.stage} {case.next_step!r} {case.due_at}")
            elif case.is_open and case.due_at and case.due_at <= now - timedelta(minutes=1):
                self.says("unfinished", f"case {case.case_id}: {case.next_step!r} was due at {case.due_at}")
            if not case.is_open and not (case.outcome and case.reason and case.ended_at):
                self.says("unfinished", f"case {case.case_id} ended with {case.outcome}")
        for case, one in table.effects:
            later = one.effect.not_before and one.effect.not_before > now
            if one.state in (EffectState.PLANNED, EffectState.SENDING) and not later:
                self.says("unfinished", f"case {case.case_id}: {one.effect.step} is {one.state}: {one.error}")
            if one.state is EffectState.PARKED:
                self.says("parked", f"case {case.case_id}: {one.effect.step}: {one.error}")


def _is_human(entry: Entry) -> bool:
    return entry.actor.isdigit()


def _diff(entry: Entry, *, reverse: bool = False) -> set[str]:
    """Return the tags that an entry added, or removed; those of ours that come and go do not count."""
    before, after = set(entry.before or ()), set(entry.after or ())
    changed = before - after if reverse else after - before
    return {tag for tag in changed if not tag.startswith(OURS_FOR_A_WHILE)}


def _repeats(tags: Iterable[str] | None) -> set[str]:
    return {tag for tag, times in Counter(tags or ()).items() if times > 1}


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
