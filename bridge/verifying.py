"""What the store says was done, compared with what stands in the helpdesk: every difference, and what to do about it.

Nothing is written, neither to a helpdesk nor to what the store knows of cases and effects. What people did since is no
difference: it is told, or counted. An effect that is on its way while we look is judged by what the store says after.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any, TypeVar

from bridge import show
from bridge.connector import Connector, Marks
from bridge.decision import REOPENED_TAG
from bridge.errors import BadRecord, CredentialsRefused, NotFound, Refused, Throttled
from bridge.model import EffectKind, EffectState, Status, Ticket
from bridge.reading import SEVERAL_IN_A_ROW, batch_of
from bridge.store import Store, StoredEffect

LATELY = timedelta(days=30)
PATIENCE = timedelta(hours=1)  # for which a helpdesk may make us wait, all in all
DONE = (EffectState.APPLIED, EffectState.ADOPTED)
UNDER_WAY = (EffectState.PLANNED, EffectState.SENDING)
OUR_TAGS = "sr_"
Found = TypeVar("Found")


@dataclass(frozen=True)
class Difference:
    """One thing that is not as the store has it. *needs_human* is False for what people did, or the next run mends."""

    account: str
    ticket_id: str
    effect_id: str | None  # None: it is about the ticket
    step: str | None
    recorded: str
    recorded_at: datetime | None  # when its last request left
    found: str
    todo: str
    needs_human: bool = True

    def as_text(self, zone: tzinfo) -> str:
        """Return it as a line for a terminal, with what to do below it."""
        mark = "DIFFERS" if self.needs_human else "note   "
        at = f" ({show.local(self.recorded_at, zone)})" if self.recorded_at else ""
        what = f", {self.step} {self.effect_id}" if self.effect_id else ""
        line = (
            f"{mark}  {self.account} ticket {self.ticket_id}{what}: recorded: {self.recorded}{at}; found: {self.found}"
        )
        return f"{line}\n         -> {self.todo}" if self.todo else line

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self) | {"recorded_at": show.moment(self.recorded_at)}


@dataclass(frozen=True)
class Comparison:
    """What came of comparing one account."""

    account: str
    effects: int  # compared
    tickets: int  # on which they stand
    gone: int  # tickets that are deleted, spam or merged: what stood on them was not compared
    moved_on: int  # tickets that people have given to somebody else, or another priority, since
    differences: Sequence[Difference]

    @property
    def differing(self) -> int:
        """How many effects are not as recorded, and need a human."""
        return len({one.effect_id for one in self.differences if one.needs_human and one.effect_id})

    def as_json(self) -> dict[str, Any]:
        """Return the figures and the differences as JSON values."""
        figures = {name: getattr(self, name) for name in ("account", "effects", "tickets", "gone", "moved_on")}
        found = [one.as_json() for one in self.differences]
        return {**figures, "as_recorded": self.effects - self.differing, "differ": self.differing, "differences": found}


def summary(compared: Sequence[Comparison]) -> str:
    """Return the closing line of `verify`."""
    effects, differ = sum(one.effects for one in compared), sum(one.differing for one in compared)
    tickets, gone = sum(one.tickets for one in compared), sum(one.gone for one in compared)
    moved_on = sum(one.moved_on for one in compared)
    parts = [f"{effects - differ} as recorded, {differ} {'differs' if differ == 1 else 'differ'}"]
    if others := sum(one.needs_human and not one.effect_id for each in compared for one in each.differences):
        parts.append(show.count(others, "other difference"))
    if gone:
        parts.append(f"{show.count(gone, 'ticket')} gone and not compared")
    if moved_on:
        parts.append(f"{show.count(moved_on, 'ticket')} given to others by people since")
    return f"{show.count(effects, 'effect')} on {show.count(tickets, 'ticket')} compared: {'; '.join(parts)}"


def verify(store: Store, desk: Connector, since: datetime, now: Callable[[], datetime]) -> list[Difference]:
    """Return what differs between the effects of one account since then and its helpdesk; [] if both agree.

    Raises HelpdeskError.
    """
    return list(Comparer(store, desk, now).compare(since).differences)


class Comparer:
    """Compares one account; *sleep* waits where the helpdesk tells us to."""

    def __init__(
        self, store: Store, desk: Connector, now: Callable[[], datetime], sleep: Callable[[float], None] | None = None
    ) -> None:
        self.store, self.desk, self.now, self.sleep = store, desk, now, sleep
        self.names = show.names_of(store, desk.account)
        self._patience = PATIENCE if sleep else timedelta()
        self._troubles = 0  # tickets in a row that could not be read
        self._effects = self._tickets = self._gone = self._moved_on = 0
        self._differences: list[Difference] = []

    def compare(self, since: datetime, tell: Callable[[int, int], None] = lambda *_: None) -> Comparison:
        """Compare the effects planned or sent since then; *tell* hears how many tickets are done, of how many.

        Costs one call per 100 tickets (Freshdesk: one each), one per 100 things that happened to each ticket, and one
        for each follow-up ticket. Raises HelpdeskError.
        """
        here, begun = _by_ticket(self.store.writes_since(self.desk.account, since))
        wanted = sorted(here.keys() | begun.keys(), key=lambda ticket_id: (len(ticket_id), ticket_id))
        step = batch_of(self.desk)
        for first in range(0, len(wanted), step):
            some = wanted[first : first + step]
            for number, (ticket_id, ticket) in enumerate(self._read(some).items(), first):
                tell(number, len(wanted))
                self._compare(ticket, here.get(ticket_id, ()), begun.get(ticket_id, ()))
        told = sorted(self._differences, key=lambda one: not one.needs_human)
        return Comparison(self.desk.account, self._effects, self._tickets, self._gone, self._moved_on, told)

    # -------------------------------------------------------------- reading
    def _read(self, ticket_ids: Sequence[str]) -> Mapping[str, Ticket]:
        """Read tickets; one that cannot be read is told, and does not stop the others."""
        try:
            return self._patiently(lambda: self.desk.tickets(ticket_ids))
        except (BadRecord, Refused, CredentialsRefused) as exc:
            if len(ticket_ids) == 1:
                self._unreadable(ticket_ids[0], exc)
                return {}
            if _is_of_all(exc):
                raise
        return {key: ticket for one in ticket_ids for key, ticket in self._read([one]).items()}

    def _marks(self, ticket: Ticket) -> Marks | None:
        """Look for marks; None if the ticket cannot be looked into."""
        try:
            found = self._patiently(lambda: self.desk.marks(ticket))
        except NotFound:
            self._say_gone(ticket.ticket_id, "deleted a moment ago")
            return None
        except (BadRecord, Refused, CredentialsRefused) as exc:
            self._unreadable(ticket.ticket_id, exc)
            return None
        self._troubles = 0
        return found

    def _patiently(self, read: Callable[[], Found]) -> Found:
        while True:
            try:
                return read()
            except Throttled as exc:
                wait = max(exc.until - self.now(), timedelta(seconds=1))
                if self.sleep is None or wait > self._patience:
                    raise
                self._patience -= wait
                self.sleep(wait.total_seconds())

    def _unreadable(self, ticket_id: str, exc: Exception) -> None:
        """Tell of a ticket that cannot be read; raise what cannot be a single ticket's trouble."""
        self._troubles += 1
        if _is_of_all(exc) or self._troubles >= SEVERAL_IN_A_ROW:
            raise exc
        self._about_ticket(ticket_id, "effects", f"it cannot be read: {exc}", "recovery-bridge doctor")

    # -------------------------------------------------------------- one ticket
    def _compare(self, ticket: Ticket, here: Sequence[StoredEffect], begun: Sequence[StoredEffect]) -> None:
        if ticket.status.is_gone:
            self._say_gone(ticket.ticket_id, str(ticket.status))
            return
        marks = self._marks(ticket)
        if marks is None:
            return
        if marks.merged_into:
            self._say_gone(ticket.ticket_id, f"{Status.MERGED} into ticket {marks.merged_into}")
            return
        self._effects += len(here)
        self._tickets += 1
        self._moved_on += _has_moved_on(here, ticket)
        self._foreign(ticket, marks)
        found = [one for stored in here for one in self._of(stored, ticket, marks)]
        found += [one for stored in begun for one in self._of_new_tickets(stored, ticket)]
        self._differences += self._without_what_moved(found, (*here, *begun))

    def _of(self, stored: StoredEffect, ticket: Ticket, marks: Marks) -> Iterator[Difference]:
        """Yield how one effect differs from what its ticket shows."""
        authors = marks.notes.get(stored.effect.marker, ())
        if len(authors) > 1:
            whose = " and ".join(sorted(self.names.agent(author) for author in authors))
            todo = f"delete the surplus; if nobody copied it, please report it with {_case(stored)} --json"
            yield _differs(stored, f"its note stands there {len(authors)} times, written by {whose}", todo)
        if (times := marks.asked.get(stored.effect.marker, 0)) > 1:
            yield _differs(
                stored, f"its question went out {times} times", f"please report it with {_case(stored)} --json"
            )
        if stored.state in DONE:
            yield from self._of_done(stored, ticket, marks)
        elif trace := _trace(stored, ticket, marks):
            yield _though_not_done(stored, trace)

    def _of_done(self, stored: StoredEffect, ticket: Ticket, marks: Marks) -> Iterator[Difference]:
        effect = stored.effect
        arrived, has_note = effect.marker in marks.arrived, effect.marker in marks.notes
        if effect.change.note and not has_note:
            if arrived:
                yield _told(stored, "its note was there, and somebody has removed its words")
            else:
                half = _is_marked(stored, ticket)
                found = "its fields are written, its note is not there" if half else "no trace of it"
                yield _differs(stored, found, f"unless somebody deleted it, do it by hand: {_case(stored)} says what")
                return
        yield from self._of_tags(stored, ticket, marks, is_known=arrived or has_note)

    def _of_tags(self, stored: StoredEffect, ticket: Ticket, marks: Marks, *, is_known: bool) -> Iterator[Difference]:
        """Yield that tags of ours are not there; *is_known*: the write itself is known to have arrived."""
        there, wanted = {tag.casefold() for tag in ticket.tags}, stored.effect.change.add_tags
        lost = [tag for tag in wanted if tag.startswith(OUR_TAGS) and tag.casefold() not in there]
        for who in {marks.untagged[tag] for tag in lost if tag in marks.untagged}:
            taken = ", ".join(tag for tag in lost if tag in marks.untagged and marks.untagged[tag] == who)
            yield _told(stored, f"{self._who(who)} took off {taken} since")
        # Our tag for a reopened ticket is left out of the write where somebody had reopened it before.
        rest = ", ".join(tag for tag in lost if tag not in marks.untagged and tag != REOPENED_TAG)
        if rest and is_known:
            yield _told(stored, f"{rest} is not there: somebody took it off since")
        elif rest:
            yield _differs(stored, f"no trace of it, nor of {rest}", f"look at the ticket, and at {_case(stored)}")

    def _of_new_tickets(self, stored: StoredEffect, source: Ticket) -> Iterator[Difference]:
        """Yield how the new tickets that continue this one differ from what is recorded of them."""
        made = self._patiently(lambda: self.desk.continuations(stored.effect, source))
        surplus = sorted(set(made) - {stored.remote_ref})
        if stored.state not in DONE and surplus:
            yield _though_not_done(stored, f"ticket {', '.join(surplus)} was made by it")
        elif surplus:
            found = f"ticket {stored.remote_ref} continues it, and so does {', '.join(surplus)}"
            yield _differs(stored, found, f"merge them; please report it with {_case(stored)} --json")

    def _foreign(self, ticket: Ticket, marks: Marks) -> None:
        """Tell of marks that this installation did not make."""
        there = {_id_in(marker) for marker in (*marks.notes, *marks.arrived, ticket.marker or "") if marker}
        if strange := sorted(there - self.store.effects_named(there).keys()):
            found = f"marks of ANOTHER INSTALLATION: {', '.join(f'sr-{one}' for one in strange)}"
            todo = "stop one of the two; if this database was restored from a backup, see README: Restoring a backup"
            self._about_ticket(ticket.ticket_id, "nothing of that", found, todo)

    def _without_what_moved(
        self, found: Sequence[Difference], compared: Iterable[StoredEffect]
    ) -> Iterator[Difference]:
        """Yield those of effects whose state is still the one that was compared: a run may be at work."""
        before = {one.effect.effect_id: one.state for one in compared}
        after = self.store.effects_named({one.effect_id for one in found if one.effect_id})
        same = {key for key, state in before.items() if key in after and after[key].state is state}
        yield from (one for one in found if one.effect_id in same)

    # -------------------------------------------------------------- words
    def _say_gone(self, ticket_id: str, how: str) -> None:
        self._gone += 1
        self._about_ticket(ticket_id, "effects", f"the ticket is {how}; it was not compared", "", needs_human=False)

    def _about_ticket(self, ticket_id: str, recorded: str, found: str, todo: str, *, needs_human: bool = True) -> None:
        about = Difference(self.desk.account, ticket_id, None, None, recorded, None, found, todo, needs_human)
        self._differences.append(about)

    def _who(self, author: str | None) -> str:
        return self.names.agent(author) if author else "a rule of the helpdesk"


def _by_ticket(
    effects: Iterable[StoredEffect],
) -> tuple[dict[str, list[StoredEffect]], dict[str, list[StoredEffect]]]:
    """Return effects by the ticket on which they stand, and those that make new tickets by the one they continue."""
    here: dict[str, list[StoredEffect]] = {}
    begun: dict[str, list[StoredEffect]] = {}
    for one in effects:
        if one.effect.kind is not EffectKind.FOLLOW_UP:
            here.setdefault(one.effect.ticket_id, []).append(one)
            continue
        begun.setdefault(one.effect.ticket_id, []).append(one)
        if one.state in DONE and one.remote_ref:
            here.setdefault(one.remote_ref, []).append(one)
    return here, begun


def _trace(stored: StoredEffect, ticket: Ticket, marks: Marks) -> str:
    """Say what there is on the ticket of an effect that is not recorded as done; "" for nothing."""
    marker, note = stored.effect.marker, stored.effect.change.note
    if marker in marks.notes:
        return "its note is there"
    if marker in marks.arrived:
        return "it is there"
    if not _is_marked(stored, ticket):
        return ""
    return "its fields are written, its note is not there" if note else "it is there"


def _though_not_done(stored: StoredEffect, trace: str) -> Difference:
    """Return what to do about an effect that is there though it is not recorded as done."""
    if stored.state in UNDER_WAY and stored.last_sent_at:
        return _told(stored, f"{trace}; the next run takes note of it")
    if stored.state in UNDER_WAY:
        todo = "a run may do it once more; if this database was restored from a backup, see README: Restoring a backup"
        return _differs(stored, trace, todo)
    if stored.state is EffectState.PARKED:
        todo = f"recovery-bridge retry {stored.effect.effect_id}: what is there is looked for, and not repeated"
        return _differs(stored, trace, todo)
    return _differs(stored, trace, f"the case went on without it: look at the ticket, and at {_case(stored)}")


def _differs(stored: StoredEffect, found: str, todo: str) -> Difference:
    effect, why = stored.effect, f": {stored.error}" if stored.error else ""
    where = (stored.remote_ref if stored.state in DONE else None) or effect.ticket_id
    recorded = f"{stored.state}{why}"
    return Difference(effect.account, where, effect.effect_id, effect.step, recorded, stored.last_sent_at, found, todo)


def _told(stored: StoredEffect, found: str) -> Difference:
    effect = stored.effect
    where = stored.remote_ref or effect.ticket_id
    recorded, at = str(stored.state), stored.last_sent_at
    return Difference(effect.account, where, effect.effect_id, effect.step, recorded, at, found, "", needs_human=False)


def _case(stored: StoredEffect) -> str:
    return f"recovery-bridge case {stored.effect.case_id}"


def _is_marked(stored: StoredEffect, ticket: Ticket) -> bool:
    return ticket.marker is not None and _id_in(ticket.marker) == stored.effect.effect_id


def _id_in(marker: str) -> str:
    """Return the id of the effect in a marker; one that is half done says so behind it."""
    return marker.removeprefix("sr-").partition("-")[0]


def _has_moved_on(here: Sequence[StoredEffect], ticket: Ticket) -> bool:
    """True if the ticket has another holder or priority than our writes gave it."""
    done = [one.effect.change for one in here if one.state in DONE]
    holders = [change.assignee_id for change in done if change.assignee_id or change.unassign]
    priorities = [change.priority for change in done if change.priority]
    return holders[-1:] not in ([], [ticket.assignee_id]) or priorities[-1:] not in ([], [ticket.priority])


def _is_of_all(exc: Exception) -> bool:
    return isinstance(exc, CredentialsRefused) and exc.status == 401
