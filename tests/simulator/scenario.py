"""What happens in one seed: customers rate, cron starts the bridge, things go wrong, agents are busy; then calm.

    simulate(7)                     one seed, with all that it draws
    simulate(7, schedule=Written({12: CRASH}))   the same people and times, with disturbances of one's own

First the troubled time: two or three starts within some minutes, new ones after crashes, people at any moment. Then the
calm: nobody acts, nothing goes wrong, and the bridge runs whenever something is due, until nothing is left to do.
"""

from __future__ import annotations

import gc
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

from bridge.app import App
from bridge.errors import AlreadyRunning, BridgeError, Throttled
from connectors.sandbox.wsgi import Refusal
from tests.simulator import schedules
from tests.simulator.kernel import LEASE, Kernel, Process, Schedule
from tests.simulator.referee import Referee, next_due
from tests.simulator.stage import DAY, MINUTE, Installation, begin, rules_of
from tests.simulator.wire import Line

FLAVOUR_OF = ("legacy", "surveys", "classic", "newer")  # by seed: one after the other
CHAPTERS = (("rated", 50), ("closed", 10), ("deadline", 12), ("ask", 8), ("mail", 8), ("answer", 12))
TROUBLED = 8 * MINUTE
RUNS_TO_REST = 12
WATCHED = 0.3
VISIBLE_AFTER = (0, 0, 0, 30, 120, 600)  # seconds; ratings may show up late
STEP = timedelta(seconds=1)


@dataclass
class Verdict:
    """What came of one seed. *boundaries* were passed, *counts* tell what happened how often."""

    seed: int
    violations: list[str]
    boundaries: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    trace: list[str] = field(default_factory=list)

    @property
    def replay(self) -> str:
        """Return the command that shows this seed."""
        return f"python -m tests.simulator {self.seed}"


class Drill:
    """One seed at work."""

    def __init__(self, seed: int, schedule: Schedule | None, *, flavour: str = "", chapter: str = "") -> None:
        self.chance = chance = Random(seed)
        random.seed(seed)  # the library that waits between two tries draws here
        self.flavour = flavour or FLAVOUR_OF[seed % len(FLAVOUR_OF)]
        drawn = chance.choices([name for name, _ in CHAPTERS], [weight for _, weight in CHAPTERS])[0]
        self.chapter = chapter or drawn
        self.office = begin(self.flavour, self.chapter, seed)
        self.is_beyond_settle = not self.office.is_zendesk and chance.random() < 0.1
        lateness = schedules.ABOVE_SETTLE if self.is_beyond_settle else schedules.LATEST
        drawn_for_it = Random(chance.getrandbits(64))
        self.schedule: Any = schedule or schedules.AtRandom(drawn_for_it, lateness)
        self.kernel = Kernel(self.office.now, self.office.move, self.schedule)
        self.line = Line(self.kernel, self.office.desk)
        self.show_ratings_late(timedelta(seconds=chance.choice(VISIBLE_AFTER)))
        count = chance.choice((1, 1, 2, 3))
        rules = rules_of(self.office.account, self.chapter)
        self.bridge = Installation(self.office, self.kernel, self.line, rules, count=count, seed=seed)
        self.people = People(self)
        self.referee = Referee(self.office, self.line, self.bridge)
        self.kernel.meddle = self.people.act_at_random
        self.kernel.ended = self._ended
        self.kernel.paused = self._paused
        self.is_calm = False
        self.is_watched = chance.random() < WATCHED  # whether another run must find nothing to write
        self.starts = 0
        self.told_to_wait: list[datetime] = []  # until then, by the helpdesk; after a wrong clock that may be long
        self.begun_at = self.office.now()

    def show_ratings_late(self, after: timedelta) -> None:
        """Let the helpdesk show ratings in its lists no earlier than so long after they were given."""
        if self.office.is_zendesk:
            self.line.visible_after = after
        else:
            self.office.desk.ratings_visible_after = after

    # -------------------------------------------------------------- the troubled time
    def live(self) -> None:
        """Let it all happen."""
        at = self.begun_at
        OPENINGS[self.chapter](self)
        for _ in range(self.chance.choice((1, 2, 2))):
            at += timedelta(seconds=self.chance.uniform(10, 240))
            self.kernel.at(at, self.start)
        for _ in range(self.chance.choice((0, 0, 0, 1, 2))):
            moment = self.begun_at + self.chance.random() * TROUBLED
            self.kernel.at(moment, lambda: self.kernel.says("somebody", self.people.act_at_random()))
        if self.chance.random() < 0.15:
            self._set_clocks_wrong()
        self.kernel.run(self.begun_at + TROUBLED)
        self.calm_down()

    def start(self) -> None:
        """Let cron start the bridge on one of the machines."""
        self.starts += 1
        machine = self.chance.choice(self.bridge.machines)
        name = f"run {self.starts}"
        self.kernel.start(name, lambda: self.bridge.run_once(machine, name, self._seen))

    def _seen(self, app: App) -> None:
        self.referee.runs += not app.failures
        self.told_to_wait = [failure.until for failure in app.failures.values() if isinstance(failure, Throttled)]
        self.kernel.counts["run with a failure"] += bool(app.failures)

    def _ended(self, process: Process) -> None:
        if isinstance(process.error, AlreadyRunning):
            self.kernel.counts["start refused"] += 1
        elif process.error:
            self.referee.says("crashed by itself", f"{process.name}: {process.error!r}")
        if process.ended == "killed" and not self.is_calm:
            later = self.kernel.now() + timedelta(seconds=self.chance.uniform(20, 150))
            self.kernel.at(later, self.start)

    def _paused(self, seconds: float) -> None:
        """Where one stands still beyond its lease, let another machine start before it goes on."""
        beyond = seconds - LEASE.total_seconds()
        if beyond > 0 and len(self.bridge.machines) > 1 and not self.is_calm:
            self.kernel.at(self.kernel.now() + LEASE + timedelta(seconds=self.chance.random() * beyond), self.start)

    def _set_clocks_wrong(self) -> None:
        """Let one machine's clock jump, by little where only time protects, and be set right later."""
        most = 3600.0 if self.office.is_zendesk else 20.0
        machine = self.chance.choice(self.bridge.machines)
        jump = timedelta(seconds=self.chance.uniform(-most, most))

        def wrong() -> None:
            machine.wrong_by = jump
            self.kernel.counts["clock jump"] += 1
            self.kernel.says("clock", f"jumps by {jump}")

        def right() -> None:
            machine.wrong_by = timedelta()

        self.kernel.at(self.begun_at + self.chance.random() * TROUBLED / 2, wrong)
        self.kernel.at(self.begun_at + TROUBLED, right)

    # -------------------------------------------------------------- the calm
    def calm_down(self) -> None:
        """Let nothing more go wrong, and run until nothing is left to do."""
        self.is_calm = self.schedule.is_calm = True
        self.show_ratings_late(timedelta())
        self.kernel.run()
        for machine in self.bridge.machines:
            machine.wrong_by = timedelta()
        for _ in range(RUNS_TO_REST):
            before = self.line.writes
            self._run_now()
            due = next_due(self.bridge, self.office.now())
            if due is None and (self.line.writes == before or not self.is_watched):
                break
            self.office.move(max([due or self.office.now(), self.office.now(), *self.told_to_wait]) + 2 * STEP)
        else:
            self.referee.says("never at rest", f"{RUNS_TO_REST} calm runs, and still writing")
        if self.referee.unseen_ratings():
            self.kernel.counts["found by the daily sweep"] += 1
            self.office.move(self.office.now() + DAY)
            for _ in range(3):
                self._run_now()
                self.office.move(self.office.now() + MINUTE)

    def _run_now(self) -> None:
        self.start()
        self.kernel.run()


class People:
    """Agents and customers of one seed."""

    def __init__(self, drill: Drill) -> None:
        self.office, self.chance = drill.office, drill.chance
        self.counts: Counter[str] = drill.kernel.counts
        self.cem, self.ana = self.office.agents["Cem"], self.office.agents["Ana"]
        self.rated: list[str] = list(self.office.begun)
        self.has_ended_one = False

    def rate(self, ticket_id: str, category: str = "bad", comment: str | None = "Nobody helped me") -> str:
        """The customer rates, if the ticket is still there."""
        try:
            self.office.desk.rate(ticket_id, category, comment)
        except Refusal:
            return f"{ticket_id} cannot be rated any more"
        if ticket_id not in self.rated:
            self.rated.append(ticket_id)
        return f"{ticket_id} is rated {category}"

    def act_at_random(self) -> str:
        """Let somebody do something to a ticket that matters; returns what."""
        ticket_id = self.chance.choice(self.rated or self.office.tickets)
        deed: Callable[[str], Any] = self.chance.choices([do for do, _ in DEEDS], [weight for _, weight in DEEDS])[0]
        what = deed.__name__.strip("_").replace("_", " ")
        try:
            done = deed(self, ticket_id)  # type: ignore[call-arg]
        except Refusal as no:
            return f"{what} {ticket_id}: refused with {no.status}"
        if done is not False:
            self.counts[f"people: {what}"] += 1
        return f"{what} {ticket_id}"

    # -------------------------------------------------------------- deeds
    def _reassign(self, ticket_id: str) -> None:
        self.office.desk.assign(ticket_id, self.cem, by=self.cem)

    def _take_back(self, ticket_id: str) -> None:
        self.office.desk.assign(ticket_id, self.ana, by=self.cem)

    def _tag(self, ticket_id: str) -> None:
        tag = f"human-{self.chance.randrange(1000)}"
        if self.office.is_zendesk:
            self.office.desk.edit(ticket_id, by=self.cem, add_tags=[tag])
        else:
            self.office.desk.edit(ticket_id, by=self.cem, tags=[*self.office.desk.tickets[int(ticket_id)].tags, tag])

    def _prioritise(self, ticket_id: str) -> None:
        self.office.desk.edit(ticket_id, by=self.cem, priority=self.chance.choice(("low", "urgent")))

    def _reply(self, ticket_id: str) -> None:
        self.office.desk.reply(ticket_id, self.ana, "I am looking into it.")

    def _note(self, ticket_id: str) -> None:
        desk = self.office.desk
        (desk.note if self.office.is_zendesk else desk.private_note)(ticket_id, self.cem, "Phoned.")

    def _solve(self, ticket_id: str) -> None:
        self.office.desk.solve(ticket_id, self.ana)

    def _reopen(self, ticket_id: str) -> None:
        self.office.desk.edit(ticket_id, by=self.cem, status="open")

    def _customer_writes(self, ticket_id: str) -> None:
        self.office.desk.customer_replies(ticket_id, "And another thing.")

    def _rate_good(self, ticket_id: str) -> None:
        self.office.desk.rate(ticket_id, "good", "Never mind")

    def _rate_bad_again(self, ticket_id: str) -> None:
        self.office.desk.rate(ticket_id, "bad", "I cancel")

    def _close(self, ticket_id: str) -> bool:
        if self._once():
            self.office.desk.edit(ticket_id, by=self.cem, status="closed")
        return self.has_ended_one

    def _merge(self, ticket_id: str) -> bool:
        target = next(one for one in self.office.tickets if one != ticket_id)
        return self._once() and (self.office.desk.merge(ticket_id, target, by=self.cem) or True)

    def _delete(self, ticket_id: str) -> bool:
        return self._once() and (self.office.desk.delete(ticket_id, by=self.cem) or True)

    def _mark_spam(self, ticket_id: str) -> bool:
        return self._once() and (self.office.desk.mark_spam(ticket_id, by=self.cem) or True)

    def _once(self) -> bool:
        """Tickets seldom end: one in a seed."""
        had, self.has_ended_one = self.has_ended_one, True
        return not had


DEEDS: tuple[tuple[Any, int], ...] = (
    (People._reassign, 12), (People._take_back, 4), (People._tag, 14), (People._prioritise, 6), (People._reply, 6),
    (People._note, 5), (People._solve, 5), (People._reopen, 4), (People._customer_writes, 5), (People._rate_good, 5),
    (People._rate_bad_again, 4), (People._close, 2), (People._merge, 2), (People._delete, 2), (People._mark_spam, 1),
)  # fmt: skip


# ------------------------------------------------------------------ how the chapters begin
def _rated(drill: Drill) -> None:
    """One to three customers rate badly; some say nothing, and some rate at the same moment."""
    number = drill.chance.choice((1, 1, 1, 1, 2, 2, 3))
    together = drill.chance.random() < 0.5
    comment = None if drill.chance.random() < 0.15 else "Nobody helped me"
    at = drill.begun_at + timedelta(seconds=drill.chance.uniform(0, 200))
    for ticket_id in drill.office.tickets[:number]:
        moment = at if together else drill.begun_at + timedelta(seconds=drill.chance.uniform(0, 200))
        drill.kernel.at(moment, lambda ticket_id=ticket_id: _says(drill, drill.people.rate(ticket_id, "bad", comment)))


def _closed(drill: Drill) -> None:
    """A customer rates badly, and the ticket is locked before anybody looks."""
    ticket_id = drill.office.tickets[0]
    drill.people.rate(ticket_id)
    drill.people.has_ended_one = True
    if drill.office.is_zendesk:
        drill.office.desk.edit(ticket_id, by=drill.people.cem, status="closed")
    else:
        drill.office.desk.tickets[int(ticket_id)].archived = True


def _nothing(drill: Drill) -> None:
    """What is due brings everything with it."""


def _answer(drill: Drill) -> None:
    """The customer answers the second question."""
    category = drill.chance.choice(("bad", "good"))
    moment = drill.begun_at + timedelta(seconds=drill.chance.uniform(0, 200))

    def answers() -> None:
        mails = [mail for mail in drill.office.world.mails if mail.to_customer and mail.kind in ("survey", "question")]
        mail = next(
            mail for mail in reversed(mails) if mail.ticket_id in drill.office.begun or mail.actor == "api:mail"
        )
        if "/survey/" in mail.link:
            drill.kernel.start("page", lambda: _answer_ours(drill, mail.link, category))
        else:
            with suppress(Refusal):
                drill.office.desk.answer(mail.link, category, "I cancel" if category == "bad" else None)
        _says(drill, f"answers {category}")

    drill.kernel.at(moment, answers)


def _answer_ours(drill: Drill, link: str, category: str) -> None:
    """Answer our own question as its page will."""
    with drill.bridge.app(drill.bridge.machines[0], "page") as app:
        links = app.delivery.asker.links
        assert links
        with suppress(BridgeError):
            said = links.read(link.partition("/survey/")[2], drill.office.now())
            app.engine.answer(said.case_id, said.attempt, 1 if category == "bad" else 5, None)


def _says(drill: Drill, what: str) -> None:
    drill.kernel.says("customer", what)


OPENINGS: dict[str, Callable[[Drill], None]] = {
    "rated": _rated, "closed": _closed, "deadline": _nothing, "ask": _nothing, "mail": _nothing, "answer": _answer,
}  # fmt: skip


# ------------------------------------------------------------------ one seed
@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep the log, chance and memory of this program out of a seed, and a seed out of them."""
    log, before = logging.getLogger("bridge"), random.getstate()
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    gc.disable()  # what a seed leaves is found all at once behind it
    try:
        yield
    finally:
        gc.enable()
        random.setstate(before)
        log.setLevel(level)


def simulate(
    seed: int, schedule: Schedule | None = None, *, flavour: str = "", chapter: str = "", verbose: bool = False
) -> Verdict:
    """Play one seed and judge it; *schedule* replaces the disturbances that it would draw."""
    with _undisturbed():
        drill = Drill(seed, schedule, flavour=flavour, chapter=chapter)
        if verbose:
            drill.kernel.trace = []
            machines = len(drill.bridge.machines)
            drill.kernel.says("seed", f"{seed}: {drill.flavour}, {drill.chapter}, {machines} machines")
        drill.live()
    violations, counts = drill.referee.judge(is_beyond_settle=drill.is_beyond_settle)
    counts.update(drill.kernel.counts)
    counts.update(drill.line.counts)
    counts[f"seed: {drill.flavour}, {drill.chapter}"] += 1
    return Verdict(seed, violations, drill.kernel.boundaries, counts, drill.kernel.trace or [])
