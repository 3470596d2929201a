"""Short scenes, one for each kind of effect, and plans of what goes wrong in them: `{41: "crash", 60: "tag"}`.

A scene has one start of the bridge; others follow where that one was killed or stands still, and then comes the calm.
Played undisturbed it shows what must come of it, whatever happens on the way, and once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from random import Random

from connectors.sandbox.outbox import SECOND_QUESTIONS
from tests.simulator.kernel import CRASH, LEASE, MEDDLING, Act, Boundary, Fault, Pause, Process
from tests.simulator.referee import DONE, SECOND, Referee, Table
from tests.simulator.scenario import Drill, _undisturbed
from tests.simulator.schedules import Written
from tests.simulator.stage import MINUTE, Installation

SEED = 5
STANDSTILL = Pause(LEASE.total_seconds() + 20)
OUTAGE = timedelta(hours=1)
LISTED_WITHIN = 2 * MINUTE  # what a list may not show at once
ACTS: Mapping[str, Act] = {
    "crash": CRASH,
    "outage": CRASH,  # and nobody starts it again for an hour
    "pause": STANDSTILL,
    "stall": STANDSTILL,  # right before a write leaves
    "tag": MEDDLING,
    "give": MEDDLING,
}
FAULTS = {"lost": Fault("lost after"), "late": Fault("late", 250.0)}
SEEN = ("private_note", "assignee", "priority", "status", "created", "public_comment")
NEVER = 1_000_000  # a boundary that no scene has
Plan = Mapping[int, str]  # number of a boundary -> a word of ACTS or FAULTS; at NEVER: any, so that a crash is no end
Happened = Counter[tuple[str, ...]]


# ------------------------------------------------------------------ how scenes open
def _rate_one(drill: Drill) -> None:
    drill.people._tag(drill.office.tickets[0])
    drill.people.rate(drill.office.tickets[0])


def _rate_two(drill: Drill) -> None:
    _rate_one(drill)
    drill.people.rate(drill.office.tickets[1])


def _rate_closed(drill: Drill) -> None:
    _rate_one(drill)
    ticket_id = drill.office.tickets[0]
    if drill.office.is_zendesk:
        drill.office.desk.edit(ticket_id, by=drill.people.cem, status="closed")
    else:
        drill.office.desk.tickets[int(ticket_id)].archived = True


def _become_due(drill: Drill) -> None:
    drill.office.move(drill.office.now() + 2 * MINUTE)


def _change_mind(drill: Drill) -> None:
    """The customer says nothing, a run takes that in, and then they take it back before anybody was bothered."""
    drill.people.rate(drill.office.tickets[0], comment=None)
    _take_in(drill)
    drill.people.rate(drill.office.tickets[0], "good", None)


def _rate_again(drill: Drill) -> None:
    _rate_one(drill)
    _take_in(drill)
    drill.people.rate(drill.office.tickets[0], "bad", "I cancel")


def _show_late(drill: Drill) -> None:
    """A rating shows up in lists only when the next run has passed it by."""
    drill.show_ratings_late(2 * MINUTE)
    drill.people.rate(drill.office.tickets[0])


def _show_far_too_late(drill: Drill) -> None:
    """A rating shows up when polls no longer reach back to it."""
    drill.show_ratings_late(60 * MINUTE)
    drill.people.rate(drill.office.tickets[0])
    for _ in range(2):
        drill.office.move(drill.office.now() + 20 * MINUTE)
        _take_in(drill)


def _wait_half_an_hour(drill: Drill) -> None:
    drill.people.rate(drill.office.tickets[0])
    drill.office.move(drill.office.now() + 30 * MINUTE)


def _give_away(drill: Drill) -> None:
    """A colleague takes the ticket after it was rated, and before the bridge looks."""
    drill.people.rate(drill.office.tickets[0])
    drill.office.move(drill.office.now() + 2 * MINUTE)
    drill.office.desk.assign(drill.office.tickets[0], drill.people.cem, by=drill.people.cem)


def _take_in(drill: Drill) -> None:
    """Let the bridge run before the scene begins."""
    drill.schedule.is_calm = True
    drill.start()
    drill.kernel.run()
    drill.schedule.is_calm, drill.kernel.boundaries = False, 0
    drill.office.move(drill.office.now() + MINUTE)


@dataclass(frozen=True)
class Scene:
    """One kind of effect. *way*: the effect and the step that must come of it."""

    name: str
    flavour: str
    chapter: str
    way: tuple[str, str]
    opening: Callable[[Drill], None]
    may_be_missing: str = ""  # what is seen at most once, because nobody could find out later
    is_found_late: bool = False  # by the daily sweep alone


SCENES = (
    Scene("one ticket", "legacy", "rated", ("update", "flag"), _rate_one),
    Scene("a batch of tickets", "legacy", "rated", ("update", "flag"), _rate_two),
    Scene("a ticket and its note", "classic", "rated", ("update", "flag"), _rate_one),
    Scene("a follow-up ticket", "legacy", "closed", ("follow_up", "flag"), _rate_closed),
    Scene("an alert", "classic", "closed", ("alert", "flag"), _rate_closed),
    Scene("a survey of Zendesk", "legacy", "ask", ("survey", "ask"), _become_due),
    Scene("a survey of Freshdesk", "classic", "ask", ("survey", "ask"), _become_due),
    Scene("a question by mail", "legacy", "mail", ("survey", "ask"), _become_due, "a question"),
    Scene("one rung up on Zendesk", "surveys", "deadline", ("update", "deadline"), _become_due),
    Scene("one rung up on Freshdesk", "newer", "deadline", ("update", "deadline"), _become_due),
    Scene("a withdrawal", "legacy", "rated", ("update", "withdraw"), _change_mind),
    Scene("a second rating", "legacy", "rated", ("update", "join"), _rate_again),
)
READINGS = (  # of what is read, not of what is written
    Scene("a late rating on Zendesk", "legacy", "rated", ("update", "flag"), _show_late),
    Scene("a late rating on Freshdesk", "classic", "rated", ("update", "flag"), _show_late),
    Scene("a rating far too late", "classic", "rated", ("update", "flag"), _show_far_too_late, is_found_late=True),
    Scene("a rating after an outage", "classic", "rated", ("update", "flag"), _wait_half_an_hour),
    Scene("a ticket given away", "surveys", "rated", ("update", "flag"), _give_away),
)
BY_NAME = {scene.name: scene for scene in (*SCENES, *READINGS)}


# ------------------------------------------------------------------ playing one
class Noting(Written):
    """A plan; *names* are the boundaries that were passed."""

    def __init__(self, plan: Plan) -> None:
        acts = {at: ACTS[word] for at, word in plan.items() if word in ACTS}
        super().__init__(acts, {at: FAULTS[word] for at, word in plan.items() if word in FAULTS})
        self.names: list[str] = []

    def decide(self, boundary: Boundary) -> Act:
        """Return what is planned for this boundary."""
        if not self.is_calm:
            self.names.append(boundary.name)
        return super().decide(boundary)


class Short(Drill):
    """One scene at work."""

    def __init__(self, scene: Scene, plan: Plan) -> None:
        super().__init__(SEED, Noting(plan), flavour=scene.flavour, chapter=scene.chapter)
        self.scene, self.is_out = scene, "outage" in plan.values()
        self.last = NEVER if "late" in plan.values() else max(plan, default=0)
        count = 1 + bool({"pause", "stall"} & set(plan.values()))
        self.bridge = Installation(self.office, self.kernel, self.line, self.bridge.rules, count=count, seed=SEED)
        self.referee = Referee(self.office, self.line, self.bridge)
        self.is_beyond_settle = self.is_watched = False
        self.show_ratings_late(timedelta())
        self.known_tags: set[str] = set()  # when it begins
        self.deeds = [word for _, word in sorted(plan.items()) if word in ("tag", "give")]
        self.kernel.meddle = self._meddle

    def _meddle(self) -> str:
        deed, ticket_id = self.deeds.pop(0), (self.people.rated or self.office.tickets)[0]
        (self.people._tag if deed == "tag" else self.people._reassign)(ticket_id)
        return f"{deed} {ticket_id}"

    def start(self) -> None:
        """Let cron start the bridge on the next machine."""
        self.chance = Random(self.starts)
        self.starts += 1
        machine, name = self.bridge.machines[self.starts % len(self.bridge.machines)], f"run {self.starts}"
        self.kernel.start(name, lambda: self.bridge.run_once(machine, name, self._seen))

    def _ended(self, process: Process) -> None:
        if process.ended != "killed" or (self.kernel.boundaries < self.last and not self.is_out):
            super()._ended(process)  # else the next start is that of the calm

    def live(self) -> None:
        """Let it happen, with what is planned; then calm."""
        self.scene.opening(self)
        self.known_tags = {tag for entry in self.referee.ledger if entry.what == "tags" for tag in entry.after}
        self.kernel.at(self.office.now() + 10 * SECOND, self.start)
        self.kernel.run()
        self.office.move(self.office.now() + (OUTAGE if self.is_out else LISTED_WITHIN))
        self.calm_down()

    def judge(self) -> list[str]:
        """Return what the referees say, and what is known of a scene beyond that."""
        said = self.referee.judge()[0]
        if self.kernel.counts["found by the daily sweep"] and not self.scene.is_found_late:
            said.append("late: a rating was found by the daily sweep alone")
        if not any(what[1:] == self.scene.way for what in self.happened()):
            said.append(f"missing: {self.scene.way}")
        for entry in self.referee.ledger:
            if entry.what == "tags" and entry.actor.startswith("api:"):
                gone = self.known_tags & set(entry.before) - set(entry.after)
                said += [f"destroyed: the tag {tag} of {entry.ticket_id}" for tag in gone if not tag.startswith("sr_")]
        for case in self.bridge.open_store().cases():
            held = self.referee._holder(case.ticket_id, case.rated_at)
            if case.ticket_id not in self.office.begun and case.original_agent_id != held:
                said.append(f"wrong owner: {case.ticket_id} was held by {held}, not by {case.original_agent_id}")
        return said

    def happened(self) -> Happened:
        """Return what came of it: the effects that were done, and what can be seen of them, each so often."""
        found: Happened = Counter()
        for case, one in Table.read(self.bridge).effects:
            if one.state in DONE:
                found[case.ticket_id, str(one.effect.kind), one.effect.step.split(":")[0]] += 1
        for entry in self.office.world.ledger:
            if entry.actor.startswith("api:") and entry.what in SEEN:
                found["seen", entry.ticket_id, entry.what] += 1
        for mail in self.office.world.mails[self.office.known_mails :]:
            if mail.kind in SECOND_QUESTIONS and mail.to_customer:
                found["seen", "", "a question"] += 1
        found["seen", "", "alerts"] = len({ref for ref, _ in self.bridge.told})  # staff may be told twice
        return found


@dataclass(frozen=True)
class Take:
    """One playing of a scene; *names* are the boundaries of the troubled time."""

    violations: list[str]
    happened: Happened
    names: list[str]
    trace: list[str]


def play(scene: Scene, plan: Plan, *, is_told: bool = False) -> Take:
    """Play a scene and judge it."""
    with _undisturbed():
        drill = Short(scene, plan)
        drill.kernel.trace = [] if is_told else None
        drill.live()
        return Take(drill.judge(), drill.happened(), drill.schedule.names, drill.kernel.trace or [])


def wrong(scene: Scene, plan: Plan, wanted: Happened) -> list[str]:
    """Return what is wrong with a scene under a plan: what is judged, and what came too often or not at all.

    Where people act as well, or much time passes, other things may come of it, and only what is judged counts.
    """
    take = play(scene, plan)
    said = list(take.violations)
    if not {"tag", "give", "outage"} & set(plan.values()):
        said += [f"missing: {what}" for what in wanted - take.happened if what[-1] != scene.may_be_missing]
        said += [f"too often: {what}" for what in take.happened - wanted]
    return [f"python -m tests.simulator.crashes {scene.name!r} {told(plan)}: {one}" for one in said]


# ------------------------------------------------------------------ plans as words
def told(plan: Plan) -> str:
    """Write a plan as the commands take it."""
    return " ".join(f"{word}@{at}" for at, word in plan.items() if at != NEVER)


def read(words: Iterable[str]) -> Plan:
    """Read a plan from words such as crash@41."""
    parts = (word.partition("@") for word in words)
    return {int(at): word for word, _, at in parts}
