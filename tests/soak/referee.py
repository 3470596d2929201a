"""What came of it all: the stand-ins' ledger and mails, which the bridge never sees, against the bridge's own rows.

Lost: a rating without a case, or a case whose first step is not on its ticket. Twice: a note, or a question to a
customer. Unfinished: whatever is planned, sent or parked at the end. Staff may be told twice (telling.py says why):
that is counted and no violation.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bridge.model import Case, EffectKind, EffectState
from bridge.store import StoredEffect
from connectors.sandbox.outbox import SECOND_QUESTIONS, caused_by_programs, unwanted
from tests.soak.nursery import Ended
from tests.soak.scene import Scene

REF = re.compile(r"\bref (sr-\w+)")
DONE = (EffectState.APPLIED, EffectState.ADOPTED)
ENDED = (*DONE, EffectState.REFUSED, EffectState.SUPERSEDED)
UNFINISHED = (EffectState.PLANNED, EffectState.SENDING, EffectState.PARKED)
SETTLES = timedelta(minutes=10, seconds=5)  # the rules' `settle`: how long an unknown write to Freshdesk is waited for
LAST_RUNS = 12


@dataclass(frozen=True)
class Interrupted:
    """An effect that a process had in hand when it was killed."""

    at: datetime
    account: str
    case_id: str
    step: str
    state: str


@dataclass
class Found:
    """What a soak came to."""

    counts: Counter[str] = field(default_factory=Counter)
    interrupted: list[Interrupted] = field(default_factory=list)
    recovered: dict[str, list[float]] = field(default_factory=dict)  # seconds from the kill until it was made up for
    violations: list[str] = field(default_factory=list)

    def __iadd__(self, other: Found) -> Found:
        self.counts += other.counts
        for what, seconds in other.recovered.items():
            self.recovered.setdefault(what, []).extend(seconds)
        self.violations += other.violations
        return self

    def says(self, what: str) -> None:
        """Note a broken promise."""
        self.violations.append(what)

    def expect(self, ended: Ended, *codes: int) -> None:
        """Note a command that ended in another way than one of these."""
        self.counts[f"ended with {ended.code}"] += 1
        if ended.code not in codes:
            self.says(f"a run ended with {ended}")
        if "Traceback" in ended.err:
            self.says(f"a run showed a bug: {ended.err[-2000:]}")


def finish(scene: Scene, found: Found) -> None:
    """Run until nothing is left to do, and judge what came of it."""
    for _ in range(LAST_RUNS):
        found.expect(scene.run(), 0)
        if not waits(scene, "planned"):
            break
        scene.pass_time(SETTLES)
    found.violations += judge(scene, found.counts)
    found.recovered = recovery(scene, found.interrupted)


def judge(scene: Scene, counts: Counter[str]) -> list[str]:
    """Return every promise that was broken, and count what was done."""
    with scene.store() as store:
        cases = store.cases()
        effects = {case.case_id: store.effects_of(case.case_id) for case in cases}
        undecided = [
            f"{name}: a rating is undecided" for name in scene.firm.desks if store.pending(name, scene.clock.now(), 1)
        ]
    flat = [one for some in effects.values() for one in some]
    counts["ratings"] += len(scene.rated)
    for one in flat:
        counts["alerts" if one.effect.kind is EffectKind.ALERT else "effects"] += 1
        counts[f"effects {one.state}"] += one.effect.kind is not EffectKind.ALERT
    posted = Counter(str(one) for one in scene.firm.chat.posted)
    counts["alerts told again"] += sum(times - 1 for times in posted.values())
    referees = (_lost(scene, cases, effects), _unfinished(flat), _notes(scene, flat), _questions(scene, flat, counts))
    return [*undecided, *(said for referee in referees for said in referee)]


def _lost(scene: Scene, cases: Sequence[Case], effects: dict[str, list[StoredEffect]]) -> Iterator[str]:
    """Every bad rating has one case, and that began with a note on the ticket, which Ana got back."""
    known: dict[tuple[str, str], list[Case]] = {}
    for case in cases:
        known.setdefault((case.account, case.ticket_id), []).append(case)
    for account, ticket_id in scene.rated:
        found, name = known.pop((account, ticket_id), []), f"{account} ticket {ticket_id}"
        if len(found) != 1:
            yield f"{name}: {len(found)} cases"
            continue
        writes = [one for one in effects[found[0].case_id] if one.effect.kind is not EffectKind.ALERT]
        if not writes or writes[0].state not in DONE:
            yield f"{name}: its recovery never began: {[str(one.state) for one in writes]}"
        if found[0].original_agent_id != scene.firm.agents[account, "Ana"]:
            yield f"{name}: given to {found[0].original_agent_id} first, and not to Ana"
    yield from (f"{account} ticket {ticket_id}: a case that nobody's rating opened" for account, ticket_id in known)


def _unfinished(effects: Sequence[StoredEffect]) -> Iterator[str]:
    for one in effects:
        if one.state in UNFINISHED:
            name = f"{one.effect.account} ticket {one.effect.ticket_id}"
            yield f"{name}: {one.effect.step} is still {one.state}: {one.error}"


def _notes(scene: Scene, effects: Sequence[StoredEffect]) -> Iterator[str]:
    """Every note stands on its ticket once, and every one that was stored as written stands there."""
    noted: Counter[tuple[str, str]] = Counter()
    for entry in scene.firm.world.ledger:
        if not entry.actor.startswith("api:"):
            continue
        if entry.what == "public_comment":
            yield f"{entry.desk} ticket {entry.ticket_id}: the bridge wrote to the customer"
        if entry.what == "private_note":
            noted.update((entry.desk, ref) for ref in REF.findall(str(entry.after)) or [f"none on {entry.ticket_id}"])
    for (desk, ref), times in noted.items():
        if times > 1:
            yield f"{desk}: the note {ref} stands there {times} times"
    known = {(one.effect.account, one.effect.marker) for one in effects}
    yield from (f"{desk}: a note that nobody planned: {ref}" for desk, ref in noted.keys() - known)
    for one in effects:
        written = one.effect.change.note and one.state in DONE
        if written and (one.effect.account, one.effect.marker) not in noted:
            yield f"{one.effect.account} ticket {one.effect.ticket_id}: the note of {one.effect.step} is not there"


def _questions(scene: Scene, effects: Sequence[StoredEffect], counts: Counter[str]) -> Iterator[str]:
    """No customer is asked more often than was planned, and the bridge causes no other mail to them."""
    yield from (f"the bridge caused a mail to a customer: {sent}" for sent in unwanted(scene.firm.world))
    mails = [one.mail for one in caused_by_programs(scene.firm.world) if one.mail.kind in SECOND_QUESTIONS]
    asked = Counter((mail.desk, mail.ticket_id) for mail in mails)
    planned = Counter(
        (one.effect.account, one.effect.ticket_id) for one in effects if one.effect.way and one.last_sent_at
    )
    counts["questions mailed"] += len(mails)
    counts["questions not mailed, as nobody could tell"] += (planned - asked).total()
    for (desk, ticket_id), times in (asked - planned).items():
        yield f"{desk} ticket {ticket_id}: its customer was asked {times} times too often"


# ------------------------------------------------------------------ recovery
def in_hand(scene: Scene) -> list[Interrupted]:
    """Return what processes have in hand, or had when they were killed a moment ago."""
    rows = scene.ask(
        "SELECT account, case_id, step, state FROM effect WHERE epoch IS NOT NULL AND state IN ('planned', 'sending')"
    )
    return [Interrupted(scene.clock.now(), *row) for row in rows]


def waits(scene: Scene, *more: str) -> bool:
    """True while something that was sent, or is in one of these states, is unfinished."""
    return any(scene.ask(f"SELECT 1 FROM effect WHERE state = '{state}' LIMIT 1") for state in ("sending", *more))


def recovery(scene: Scene, interrupted: Sequence[Interrupted]) -> dict[str, list[float]]:
    """Return in how many seconds of the bridge's time interrupted effects were done after all, by their kind."""
    found: dict[str, list[float]] = {}
    with scene.store() as store:
        for one in interrupted:
            ends = [
                audit.at
                for audit in store.audits(case_id=one.case_id)
                if audit.at >= one.at and audit.reason.startswith(f"{one.step}: ") and audit.what in ENDED
            ]
            was_sent = one.account == "shop" and one.state == EffectState.SENDING
            kind = "sent to Freshdesk, answer unknown" if was_sent else "all others"
            if ends:
                found.setdefault(kind, []).append((min(ends) - one.at).total_seconds())
    return found
