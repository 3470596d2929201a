"""The case among people, for as long as Hypothesis likes: what holds after every decision, whatever happened before.

The machine is the world around `open_case` and `advance`: tickets that people edit, close, merge and delete, agents
who come and go, a customer who changes their mind, time, a helpdesk that says no, and rules of rules.yaml, of the
made-up company and generated ones. What the engine and the delivery see to (a case with an unfinished write waits,
settle() before each write) it sees to as well. INVARIANTS are the facts, one function each.

    python -m pytest tests/bridge/test_case_machine.py --hypothesis-profile soak
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from bridge import by_hand
from bridge.connector import Asking
from bridge.deadlines import ASK, REMIND
from bridge.decision import playbook_of
from bridge.model import (
    Activity,
    Answer,
    Case,
    Category,
    Decision,
    Deed,
    DeedKind,
    Directory,
    Effect,
    EffectKind,
    EffectState,
    Outcome,
    Rating,
    Requester,
    Stage,
    Status,
    SurveyWay,
    Ticket,
    Verdict,
)
from bridge.owner import Staff
from bridge.pursuit import ABUSIVE_TAG, is_news
from bridge.recovery import (
    TRANSITIONS,
    Answered,
    DeadlinePassed,
    EffectFailed,
    OwnerGone,
    PeopleActed,
    RatedAgain,
    Signal,
    Situation,
    advance,
    is_closing,
    open_case,
    settle,
)
from bridge.rules import Playbook, Rule, Rules, check, facts_of
from bridge.rules.values import Money
from bridge.survey import SCALE_MAX, Chance, is_question, sent, unasked, why_not
from tests.bridge.people import (
    ANA,
    BEN,
    CARE,
    CEM,
    DAY,
    DORA,
    GROUPS,
    HOUR,
    MINUTE,
    NIGHT,
    NOW,
    STAFF,
    agent,
    directory,
    rating,
    situation,
    ticket,
)

SOAK = settings.get_current_profile_name() == "soak"
ROOT = Path(__file__).parents[2]
ZOE, SUPERVISORS = "5", "40"
PEOPLE = STAFF | {ZOE: agent(ZOE, "Zoe", SUPERVISORS)}
COMPANY = replace(directory(), agents=PEOPLE, groups=GROUPS | {SUPERVISORS: "Supervisors"})
STAFFED = (ANA, CEM, DORA, BEN, ZOE)
MOST_MOVES = 14  # of one case at one moment: its deadlines, and each other step once
PROMISED = "cf_promised"
FINAL = ("outcome", "stage", "ended_at", "due_at", "next_step", "reason", "answer", "assignee_id", "attempt", "ladder")
FROZEN = (
    "case_id", "account", "ticket_id", "rating_id", "category", "rating", "scale_max", "rated_at", "flagged_at",
    "original_agent_id", "customer", "incident",
)  # fmt: skip
IN_THE_WAY = (EffectState.PLANNED, EffectState.SENDING)
LIVE = (*IN_THE_WAY, EffectState.APPLIED)

# ------------------------------------------------------------------ rules
GENERATED = """
version: 1
accounts:
  acme: {connector: zendesk, url: http://127.0.0.1:1}
settings:
  mode: live
  surveys: everyone
  survey_mail: MAIL
  survey_page: https://recovery.example.com
  timezone: Europe/Berlin
  working_hours: {mon-fri: 09:00-18:00}
  quiet_hours: 21:00-08:00
  ticket_fields: {promised_by: cf_promised}
people:
  leads: {group: Team Leads, notify: "#leads"}
  supervisors: {group: Supervisors, notify: "#supervisors"}
  product: {notify: "#product"}
causes:
  Too slow: {tag: cause-slow, party: service}
playbooks:
  one: ONE
  two: TWO
rules:
  - {name: One, when: {rating: bad, tags: {has: "a"}}, severity: normal, playbook: one}
  - {name: Two, when: {rating: bad, tags: {has: "b"}}, severity: high, playbook: two}
  - {name: Low, when: {rating: [neutral, good], tags: {has: "c"}}, severity: low, playbook: one}
"""


@functools.cache
def read(text: str) -> Rules:
    """Return rules; raises ValueError with what is wrong with them."""
    found, problems = check(text)
    if found is None:
        raise ValueError("\n".join(str(problem) for problem in problems))
    return found


def shipped(path: str) -> Rules:
    """Return rules of ours as they are, live, and asking again."""
    text = (ROOT / path).read_text()
    for old, new in (
        ("ZENDESK_URL", "http://127.0.0.1:1"),
        ("FRESHDESK_URL", "http://127.0.0.1:2"),
        ("surveys: off ", "surveys: everyone "),
        ("# survey_page:", "survey_page:"),
        ("mode: shadow", "mode: live"),
    ):
        text = text.replace(old, new)
    return read(text)


def durations(*texts: str) -> st.SearchStrategy[str]:
    return st.sampled_from(texts)


PERSON = st.sampled_from(["leads", "supervisors"])
DEADLINES = st.fixed_dictionaries(
    {
        "within": durations("15m", "30m", "2h", "4h", "3d"),
        "until": st.sampled_from(["acknowledged", "replied", "solved"]),
        "otherwise": st.one_of(
            st.just({"remind": "assignee"}),
            st.builds(lambda name: {"assign": name}, PERSON),
            st.builds(lambda name: {"notify": name}, st.sampled_from(["leads", "product"])),
        ),
    }
)
SURVEYS = st.fixed_dictionaries(
    {"after": durations("1h", "2d"), "answer_within": durations("2d", "7d")},
    optional={
        "by": st.sampled_from(["auto", "helpdesk", "link"]),
        "reopen": st.sampled_from(["auto", "always", "never"]),
        "remind_after": durations("1d", "3d"),
        "if_still_bad": st.builds(lambda name: {"assign": name}, PERSON),
    },
)
PLAYBOOKS = st.fixed_dictionaries(
    {
        "ticket": st.sampled_from(["reopen", "reopen", "reopen", "follow_up", "note_only"]),
        "assign_to_first_available": st.lists(
            st.sampled_from(["original_agent", "same_team", "leads", "supervisors"]),
            min_size=1, max_size=4, unique=True,
        ),
        "deadlines": st.lists(DEADLINES, max_size=4),
        "survey": SURVEYS,
    },
    optional={
        "archived": st.sampled_from(["alert", "new_ticket"]),
        "priority": st.sampled_from(["low", "urgent"]),
        "remind_if_silent": durations("1h", "8h"),
        "abusive": PERSON,
        "check_in": st.builds(lambda after: {"after": after}, durations("1h", "1d")),
        "notify": st.just("product"),
    },
)  # fmt: skip


@st.composite
def generated(draw: st.DrawFn) -> Rules:
    text = GENERATED.replace("MAIL", draw(st.sampled_from(["helpdesk", "smtp"])))
    for name in ("ONE", "TWO"):
        text = text.replace(name, json.dumps(draw(PLAYBOOKS)))
    return read(text)


OURS = st.sampled_from(["rules.yaml", "connectors/sandbox/company_rules.yaml"]).map(shipped)
ALL_RULES = st.one_of(OURS, generated(), generated())
ASKING = st.builds(
    Asking,
    own=st.sampled_from(["", "", "", "no survey"]),
    mail=st.sampled_from(["", "", "", "no rule mails"]),
    is_link=st.booleans(),
    overwrites=st.booleans(),
    closes_after=st.sampled_from([None, 4 * DAY, 9 * DAY]),
)
CATEGORY = st.sampled_from([Category.BAD, Category.BAD, Category.NEUTRAL, Category.GOOD])
WORDS = st.sampled_from([None, "Nobody helped", "{{ticket.id}} {x} {%", "a\n\nb", ""])
WHO = st.sampled_from(STAFFED)
NO = st.sampled_from([Verdict.BAD_ASSIGNEE, Verdict.BAD_ASSIGNEE, Verdict.LOCKED, Verdict.GONE, *Verdict])
DEEDS = st.sampled_from(
    ["replies", "solves", "replies and solves", "replies and solves", "customer writes", "gives away", "gives away",
     "lets go", "abusive", "cause", "promises", "edits"]
)  # fmt: skip
SOMETIMES = st.sampled_from([False] * 4 + [True])
RARELY = st.sampled_from([False] * 9 + [True])
VALUES = {Category.BAD: 1, Category.NEUTRAL: 3, Category.GOOD: 5}


# ------------------------------------------------------------------ what holds after every decision
@dataclass(frozen=True)
class Move:
    """One decision, and what it looked at. *signal* None: the first one, or one by hand."""

    before: Case | None
    signal: Signal | None
    after: Case
    effects: tuple[Effect, ...]
    at: Situation
    earlier: tuple[Effect, ...]  # effects of this case, whatever became of them
    live: tuple[Effect, ...]  # of them, those that were applied or still may be
    opted_out: bool

    @property
    def playbook(self) -> Playbook:
        return playbook_of(self.after, self.at)

    @property
    def assigning(self) -> list[Effect]:
        """The effects that give the ticket, as it is, to somebody or nobody."""
        updates = (one for one in self.effects if one.kind is EffectKind.UPDATE)
        return [one for one in updates if one.change.assignee_id or one.change.unassign]

    @property
    def asking(self) -> list[Effect]:
        """The effects that bring the second question, or its reminder, to the customer."""
        return [one for one in self.effects if one.way is not None]


def an_open_case_has_an_owner_a_next_step_and_a_due_time(move: Move) -> None:
    """Where neither ticket nor ladder has so much as a group, a person was told: `status` shows such an orphan."""
    case, told = move.after, [one for one in (*move.earlier, *move.effects) if one.kind is EffectKind.ALERT]
    if case.is_open:
        assert case.next_step
        assert case.due_at is not None
        assert case.assignee_id or case.group_id or told


def an_ended_case_has_one_outcome_and_nothing_is_due(move: Move) -> None:
    case = move.after
    ended = case.stage is Stage.ENDED
    assert ended == (case.outcome is not None) == (case.due_at is None) == (case.ended_at is not None)


def an_end_is_final(move: Move) -> None:
    if move.before and not move.before.is_open:
        for name in FINAL:
            assert getattr(move.after, name) == getattr(move.before, name), name
        assert move.effects == ()


def each_decision_is_one_version(move: Move) -> None:
    assert move.after.version == (move.before.version if move.before else 0) + 1


def what_opened_a_case_stays_what_it_was(move: Move) -> None:
    if move.before:
        for name in FROZEN:
            assert getattr(move.after, name) == getattr(move.before, name), name
        assert move.after.severity.weight >= move.before.severity.weight


def no_step_is_planned_twice(move: Move) -> None:
    known = [(one.step, one.generation, one.kind) for one in (*move.earlier, *move.effects)]
    assert len(known) == len(set(known))


def effects_are_of_their_case_and_its_ticket(move: Move) -> None:
    for one in move.effects:
        assert (one.case_id, one.account, one.ticket_id) == (move.after.case_id, "acme", move.after.carrier_id)
        assert "{{" not in (one.change.note or "") + (one.text or "")
        assert not (one.change.unassign and one.change.assignee_id)


def a_new_ticket_has_an_owner_and_a_reason(move: Move) -> None:
    for one in move.effects:
        if one.kind is EffectKind.FOLLOW_UP:
            assert one.change.note
            assert not one.change.reopen
            assert one.way or (one.change.assignee_id is None) == one.change.unassign


def the_original_agent_is_asked_first(move: Move) -> None:
    if move.before is not None or move.playbook.assign_to_first_available[0] != "original_agent":
        return
    case, first = move.after, move.after.ladder[:1]
    if move.at.ticket.status.is_gone:
        return
    assert first[0].rung in ("original_agent", "taken")
    assert first[0].why
    if first[0].rung == "original_agent" and is_available(case.original_agent_id, move.at.staff):
        assert case.assignee_id == case.original_agent_id


def is_available(agent_id: str | None, staff: Staff) -> bool:
    """True if nothing at all speaks against this agent."""
    found = staff.directory.agents.get(agent_id or "")
    if found is None or found.unusable or found.out_of_office or found.away_since:
        return False
    return staff.load.get(found.agent_id, 0) < staff.rules.settings.max_open


def nothing_is_done_after_the_customer_is_content(move: Move) -> None:
    """A good answer, or a rating that turned good and that no rule matches, ends the case with a note at most."""
    if move.before is None or not is_content(move.signal, move.before, move.at):
        return
    assert move.after.outcome in (Outcome.RECOVERED, Outcome.DISMISSED)


def is_content(signal: Signal | None, before: Case, at: Situation) -> bool:
    if isinstance(signal, Answered):
        return signal.answer.category is Category.GOOD
    if isinstance(signal, DeadlinePassed):
        turned = signal.rating is not None and signal.rating.category is Category.GOOD
        return before.stage is Stage.UNCONFIRMED and turned and before.category is not Category.GOOD
    if not isinstance(signal, RatedAgain) or signal.rating.category is not Category.GOOD:
        return False
    ours = signal.rating.rating_id == before.rating_id
    again = signal.rating.ticket_id in before.ticket_ids and signal.rating.updated_at > before.rated_at
    return (ours or again) and signal.rule is None and before.category is not Category.GOOD


def an_end_writes_a_closing_note_and_tells_at_most(move: Move) -> None:
    if move.after.is_open or move.at.shadow:
        return
    for one in move.effects:
        assert one.kind is EffectKind.ALERT or is_closing(one.step)
        assert one.change == type(one.change)(add_tags=one.change.add_tags, note=one.change.note)
        assert one.way is None


def nobody_sees_anything_of_an_unconfirmed_case(move: Move) -> None:
    if move.after.stage is Stage.UNCONFIRMED:
        for one in move.effects:
            assert one.kind in (EffectKind.UPDATE, EffectKind.ALERT)
            assert not one.change.reopen


def a_customer_is_asked_once_for_each_attempt(move: Move) -> None:
    for wanted in ("ask", "remind"):
        name = f"{wanted}:{move.after.attempt}"
        steps = [one for one in (*move.live, *move.effects) if one.way and f"{one.step}:".startswith(f"{name}:")]
        assert len(steps) <= 1, steps


def only_a_solved_case_asks(move: Move) -> None:
    if move.asking:
        assert move.after.solved_at
        assert move.after.asked_at
        assert move.at.rules.settings.surveys != "off"
        assert why_not(move.at.ticket, move.at.rules.settings) is None


def nobody_is_asked_who_wants_to_be_left_alone(move: Move) -> None:
    if move.opted_out and isinstance(move.signal, DeadlinePassed):
        assert move.asking == []


def there_are_two_attempts_at_most(move: Move) -> None:
    assert 1 <= move.after.attempt <= 2
    if move.before:
        assert move.after.attempt >= move.before.attempt


def a_choice_of_a_human_is_not_undone(move: Move) -> None:
    """Only a second attempt, an abusive customer, an owner who is gone or refused, moves what a human gave away."""
    if not move.before or not move.before.chosen_by_human or not move.assigning:
        return
    assert (
        move.after.attempt > move.before.attempt
        or isinstance(move.signal, OwnerGone)
        or (isinstance(move.signal, EffectFailed) and move.signal.verdict is Verdict.BAD_ASSIGNEE)
        or (isinstance(move.signal, EffectFailed) and move.signal.effect.change.assignee_id)
        or (isinstance(move.signal, PeopleActed) and ABUSIVE_TAG in move.signal.activity.ticket.tags)
    )


def no_case_goes_back_down_the_ladder(move: Move) -> None:
    """Whoever goes, or is refused, is followed by their own rung or a higher one."""
    going = isinstance(move.signal, OwnerGone) or (
        isinstance(move.signal, EffectFailed) and move.signal.verdict is Verdict.BAD_ASSIGNEE
    )
    if not move.before or not going or move.after.assignee_id == move.before.assignee_id or not move.after.assignee_id:
        return
    rungs = move.playbook.assign_to_first_available
    here, there = rung_of(move.before), rung_of(move.after)
    if here in rungs and there in rungs:
        assert rungs.index(there) >= rungs.index(here)
    elif here in move.at.rules.people:
        assert there in (here, "taken", "")


def rung_of(case: Case) -> str:
    """Return the rung that found the owner of a case; "" for none."""
    return next((step.rung for step in reversed(case.ladder) if step.agent_id == case.assignee_id), "")


def a_deadline_makes_progress(move: Move) -> None:
    if move.before and isinstance(move.signal, DeadlinePassed) and move.after.is_open and move.after.due_at:
        same = replace(move.after, version=move.before.version, reason=move.before.reason, due_at=move.before.due_at)
        assert move.after.due_at > move.at.now or same != move.before


def each_deadline_is_acted_on_once(move: Move) -> None:
    """A deadline that was acted on is behind us, until the case begins anew."""
    before, after = move.before, move.after
    acted = any(one.step.startswith("deadline:") for one in move.effects) and isinstance(move.signal, DeadlinePassed)
    if before and before.begun_at == after.begun_at:
        assert after.deadlines_done >= before.deadlines_done + acted


INVARIANTS: tuple[Callable[[Move], None], ...] = (
    an_open_case_has_an_owner_a_next_step_and_a_due_time,
    an_ended_case_has_one_outcome_and_nothing_is_due,
    an_end_is_final,
    each_decision_is_one_version,
    what_opened_a_case_stays_what_it_was,
    no_step_is_planned_twice,
    effects_are_of_their_case_and_its_ticket,
    a_new_ticket_has_an_owner_and_a_reason,
    the_original_agent_is_asked_first,
    nothing_is_done_after_the_customer_is_content,
    an_end_writes_a_closing_note_and_tells_at_most,
    nobody_sees_anything_of_an_unconfirmed_case,
    a_customer_is_asked_once_for_each_attempt,
    only_a_solved_case_asks,
    nobody_is_asked_who_wants_to_be_left_alone,
    there_are_two_attempts_at_most,
    a_choice_of_a_human_is_not_undone,
    no_case_goes_back_down_the_ladder,
    a_deadline_makes_progress,
    each_deadline_is_acted_on_once,
)


# ------------------------------------------------------------------ the world
@dataclass
class Sent:
    """An effect, what became of it, and what a human had chosen when it was decided."""

    effect: Effect
    state: EffectState
    may_overrule: bool  # decided in knowledge of a human's choice, for a reason that counts


def has_begun(machine: CaseMachine) -> bool:
    return machine.case is not None


def is_open(machine: CaseMachine) -> bool:
    return has_begun(machine) and machine.case.is_open


def has_ended(machine: CaseMachine) -> bool:
    return has_begun(machine) and not machine.case.is_open


def is_confirmed(machine: CaseMachine) -> bool:
    return is_open(machine) and machine.case.stage is not Stage.UNCONFIRMED


def may_be_edited(machine: CaseMachine) -> bool:
    return has_begun(machine) and not (machine.ticket.status.is_gone or machine.ticket.status.is_locked)


class CaseMachine(RuleBasedStateMachine):
    """One customer's case, from its first rating to long after its end."""

    case: Case = None  # type: ignore[assignment]
    now: datetime
    rules: Rules
    asking: Asking
    rating: Rating  # the one that opened the case, as it is now
    tickets: dict[str, Ticket]
    sent: list[Sent]
    unseen: list[Deed]
    chosen: str | None  # whom a human gave the ticket to
    opted_out: bool

    def __init__(self) -> None:
        super().__init__()
        self.numbers = itertools.count(1)
        self.company: Directory = COMPANY
        self.load: Mapping[str, int] = {}

    # -------------------------------------------------------------- what it looks at
    @property
    def ticket(self) -> Ticket:
        """The ticket that carries the case."""
        return self.tickets[self.case.carrier_id]

    def changes(self, ticket_id: str, **changes: Any) -> None:
        now = {"updated_at": self.now, "stamp": f"s{next(self.numbers)}"}
        self.tickets[ticket_id] = replace(self.tickets[ticket_id], **now | changes)

    def situation(self, found: Ticket, refused: Mapping[str, str] | None = None, **more: Any) -> Situation:
        calendar = self.rules.calendar("acme")
        staff = Staff(self.rules, self.company, calendar, self.load, self.now, refused or {}, "acme")
        given = {"asking": self.asking, "new_id": lambda: f"n{next(self.numbers)}"}
        return situation(replace(found, read_at=self.now), staff, **given | more)

    def unfinished(self) -> list[Sent]:
        """Return the writes that are still to be made, in their order."""
        return [one for one in self.sent if one.state in IN_THE_WAY and one.effect.kind is not EffectKind.ALERT]

    def is_watchable(self) -> bool:
        return is_confirmed(self) and all(one.effect.kind is EffectKind.SURVEY for one in self.unfinished())

    # -------------------------------------------------------------- what it takes
    def hears(self, signal: Signal, found: Ticket | None = None, **more: Any) -> Decision:
        at = self.situation(found or self.ticket, **more)
        decision = advance(self.case, signal, at)
        self.takes(signal, decision, at)
        return decision

    def takes(self, signal: Signal | None, decision: Decision, at: Situation) -> None:
        assert decision.case is not None
        assert (bool(decision.audit.reason), decision.audit.case_id) == (True, decision.case.case_id)
        earlier = tuple(one.effect for one in self.sent)
        live = tuple(one.effect for one in self.sent if one.state in LIVE)
        move = Move(self.case, signal, decision.case, decision.effects, at, earlier, live, self.opted_out)
        for holds in INVARIANTS:
            holds(move)
        knew = self.case is not None and self.case.chosen_by_human
        self.case = decision.case
        overruling = {one.effect.step for one in self.sent if one.may_overrule}  # decided again after a refusal
        self.sent += [
            Sent(one, EffectState.PLANNED, may_overrule=knew or one.step in overruling) for one in decision.effects
        ]

    # -------------------------------------------------------------- the beginning
    @initialize(data=st.data())
    def begins(self, data: st.DataObject) -> None:
        """Flag a rating; perhaps somebody has worked on it and solved it before anything else happens."""
        draw = data.draw
        self.now, self.sent, self.unseen, self.tickets = NOW, [], [], {}
        self.case, self.chosen, self.opted_out = None, None, False  # type: ignore[assignment]
        self.rules, self.asking = draw(ALL_RULES), draw(ASKING)
        chosen, original = self.a_rule(data), draw(st.sampled_from([ANA, ANA, ANA, CEM, None, "gone"]))
        given_at = NOW - draw(st.sampled_from([MINUTE, HOUR, DAY]))
        said = rating(
            category=draw(st.sampled_from([Category.BAD] * 5 + list(Category))), comment=draw(WORDS),
            assignee_id=original, rated_at=given_at, updated_at=given_at,
            group_id=draw(st.sampled_from([CARE, CARE, None])),
        )  # fmt: skip
        self.rating = replace(said, value=VALUES[said.category])
        self.tickets["7"] = ticket(
            status=draw(st.sampled_from([Status.SOLVED] * 8 + [Status.CLOSED] * 2 + [*Status])),
            assignee_id=draw(st.sampled_from([original, original, original, CEM, None])),
            group_id=draw(st.sampled_from([CARE, CARE, NIGHT, None])),
            priority=draw(st.sampled_from([None, "high"])),
            subject="{{ticket.id}}",
            requester=draw(st.sampled_from([ticket().requester] * 8 + [None, Requester("70", "Mia", suspended=True)])),
        )
        self.people_come_and_go(data)
        shadow = draw(RARELY)
        at = self.situation(self.tickets["7"], shadow=shadow, facts=self.facts(self.rating, self.tickets["7"]))
        self.takes(None, open_case(self.rating, chosen, original, "customer", at), at)
        if shadow:
            self.sent.clear()
        elif draw(st.booleans()):
            self.is_solved(data)
        elif draw(st.booleans()):
            self.is_taken(data)

    def is_solved(self, data: st.DataObject) -> None:
        """Bring the case to where the customer may be asked."""
        self.now += HOUR
        self.a_run(data)
        if is_confirmed(self) and may_be_edited(self):
            self.people_act("replies and solves", self.case.assignee_id or ANA, ANA, 2)
        for _ in range(data.draw(st.sampled_from([1, 3, 5, 7]))):
            if self.case.is_open:
                self.a_run(data)
                self.now = max(self.now, self.case.due_at or self.now)
        if data.draw(SOMETIMES):
            self.is_let_down_twice(data)

    def is_taken(self, data: st.DataObject) -> None:
        """Let somebody give the ticket to another one, before or after what was planned is written; nobody replies."""
        if data.draw(st.booleans()):
            self.a_run(data)
        if is_open(self) and may_be_edited(self):
            self.people_act("gives away", BEN, data.draw(WHO), 0)
        for _ in range(4):
            if self.case.is_open:
                self.a_run(data)
                self.now = max(self.now, self.case.due_at or self.now)

    def is_let_down_twice(self, data: st.DataObject) -> None:
        """Solve it, and let the customer rate badly again, two times: more attempts than there may be."""
        for _ in range(2):
            if is_confirmed(self) and may_be_edited(self):
                self.people_act("replies and solves", self.case.assignee_id or ANA, ANA, 2)
                self.a_run(data)
                self.now += HOUR
            if is_open(self):
                self.the_customer_rates(data, "second", Category.BAD, "Still bad", timedelta())

    @precondition(has_ended)
    @rule(data=st.data())
    def another_one_begins(self, data: st.DataObject) -> None:
        self.begins(data)

    def a_rule(self, data: st.DataObject) -> Rule:
        """Choose a rule by its place: any may match."""
        return self.rules.rules[data.draw(st.integers(0, len(self.rules.rules) - 1))]

    def facts(self, of: Rating, found: Ticket) -> Any:
        return facts_of(of, found, self.company, account="acme", bad_rated_at=(), now=self.now)

    # -------------------------------------------------------------- time
    @rule(step=st.sampled_from([MINUTE, 20 * MINUTE, 5 * HOUR, 3 * DAY, 9 * DAY]))
    def time_passes(self, step: timedelta) -> None:
        self.now += step

    def a_run(self, data: st.DataObject) -> None:
        """Carry out, look, and act on what is due until nothing is: the case comes to rest at every moment."""
        for moves in itertools.count():
            assert moves <= MOST_MOVES, "it never comes to rest"
            while self.unfinished() and self.case.is_open:
                self.carries_out()
            if self.case.is_open:
                self.looks()
                self.the_owner_is_looked_after()
            if may_be_edited(self) and data.draw(SOMETIMES):  # after we looked
                self.people_act("gives away", BEN, data.draw(WHO), 0)
            if not self.ticks(data):
                return

    @precondition(is_open)
    @rule(data=st.data(), step=st.sampled_from([timedelta(), 20 * MINUTE, 5 * HOUR, 3 * DAY]))
    def it_runs_after(self, data: st.DataObject, step: timedelta) -> None:
        self.now += step
        self.a_run(data)

    @precondition(is_open)
    @rule(data=st.data(), late=st.sampled_from([timedelta(), MINUTE, 2 * HOUR]))
    def it_runs_when_it_is_due(self, data: st.DataObject, late: timedelta) -> None:
        self.now = max(self.now, (self.case.due_at or self.now) + late)
        self.a_run(data)

    @precondition(is_open)
    @rule(data=st.data())
    def a_deadline_passes(self, data: st.DataObject) -> None:
        self.ticks(data)

    def ticks(self, data: st.DataObject) -> bool:
        """Act on one step if it is due; False if there is nothing to do."""
        if not self.case.is_open or not self.case.due_at or self.case.due_at > self.now or self.unfinished():
            return False
        rating = data.draw(st.sampled_from([self.rating, self.rating, None]))
        chance = Chance()
        if self.case.next_step in (ASK, REMIND):
            offered = data.draw(st.sampled_from([None, None, None, self.now])) if self.case.next_step == ASK else None
            chance = Chance(barred="opted out") if self.opted_out else Chance(offered)
        self.hears(DeadlinePassed(rating if self.case.stage is Stage.UNCONFIRMED else None, chance))
        return True

    # -------------------------------------------------------------- people
    def deed(self, kind: DeedKind, who: str | None = None, **changes: Any) -> None:
        self.changes(self.case.carrier_id, **changes)
        self.unseen.append(Deed(kind, self.now, who))

    @precondition(may_be_edited)
    @rule(what=DEEDS, who=WHO, whom=WHO, days=st.integers(0, 2))
    def people_act(self, what: str, who: str, whom: str, days: int) -> None:
        """Do to the ticket what people do; the bridge has not seen it yet."""
        found = self.ticket
        if "replies" in what:
            self.deed(DeedKind.REPLIED, who)
        if "solves" in what:
            self.deed(DeedKind.SOLVED, who, status=Status.SOLVED)
        elif what == "customer writes":
            self.deed(DeedKind.CUSTOMER_WROTE)
            if found.status is Status.SOLVED:
                self.deed(DeedKind.REOPENED, status=Status.OPEN)
        elif what == "gives away" and whom != found.assignee_id:
            self.chosen = whom if whom != self.case.assignee_id else None  # who chooses as we did overrules nobody
            self.deed(DeedKind.EDITED, who, assignee_id=whom, group_id=PEOPLE[whom].default_group_id)
        elif what == "lets go":
            self.deed(DeedKind.EDITED, who, assignee_id=None)
        elif what in ("abusive", "cause"):
            tag = ABUSIVE_TAG if what == "abusive" else "cause-slow"
            self.deed(DeedKind.EDITED, who, tags=(*found.tags, tag))
        elif what == "promises":
            self.deed(DeedKind.EDITED, who, fields={PROMISED: f"{(self.now + days * DAY).date()}"})
        elif what == "edits":
            self.deed(DeedKind.EDITED, who, fields={})

    @precondition(has_begun)
    @rule(
        rarely=RARELY,
        status=st.sampled_from([Status.CLOSED] * 4 + [Status.ARCHIVED, Status.DELETED, Status.SPAM, Status.MERGED]),
    )
    def a_ticket_goes_out_of_reach(self, rarely: bool, status: Status) -> None:
        """Solved tickets are closed after a while; anything else is rare."""
        if rarely or (status is Status.CLOSED and self.ticket.status is Status.SOLVED):
            self.changes(self.case.carrier_id, status=status)

    @precondition(is_open)
    @rule()
    def looks(self) -> None:
        """Notice what people did, as soon as nothing of ours is under way."""
        if not self.is_watchable():
            return
        deeds, self.unseen = tuple(self.unseen), []
        activity = Activity(replace(self.ticket, read_at=self.now), deeds)
        if self.ticket.status.is_gone or is_news(self.case, activity, self.rules):
            self.hears(PeopleActed(activity))

    @rule(data=st.data())
    def people_come_and_go(self, data: st.DataObject) -> None:
        agents = dict(PEOPLE)
        for who in data.draw(st.sets(WHO, max_size=3)):
            away = {"unusable": "suspended"}, {"out_of_office": "agent_ooo"}, {"away_since": NOW - 9 * DAY}, None
            how = data.draw(st.sampled_from(away))
            agents[who] = replace(agents[who], **how or {})
            if how is None:
                del agents[who]
        self.company = replace(COMPANY, agents=agents)
        self.load = data.draw(st.dictionaries(WHO, st.integers(0, 6), max_size=2))

    @precondition(is_open)
    @rule()
    def the_owner_is_looked_after(self) -> None:
        case, staff = self.case, self.situation(self.ticket).staff
        if case.assignee_id is None or case.solved_at or not self.is_watchable():
            return
        why = staff.why_left(case.assignee_id) or (not case.chosen_by_human and staff.why_absent(case.assignee_id))
        tried = f"owner_gone:{case.assignee_id}:"
        if why and not any(one.effect.step.startswith(tried) and ":tell:" in one.effect.step for one in self.sent):
            self.hears(OwnerGone(why))

    # -------------------------------------------------------------- the customer
    @precondition(is_open)
    @rule(
        data=st.data(), which=st.sampled_from(["same", "same", "second", "other"]), category=CATEGORY, comment=WORDS,
        ago=st.sampled_from([timedelta(), HOUR]),
    )  # fmt: skip
    def the_customer_rates(
        self, data: st.DataObject, which: str, category: Category, comment: str | None, ago: timedelta
    ) -> None:
        number, at = next(self.numbers), self.now - ago
        places = {"same": ("r1", "7"), "second": (f"r{number}", self.case.carrier_id), "other": (f"r{number}", "8")}
        rating_id, ticket_id = places[which]
        said = replace(
            self.rating, rating_id=rating_id, ticket_id=ticket_id, category=category, value=VALUES[category],
            comment=comment, rated_at=self.rating.rated_at if which == "same" else at,
            updated_at=at + timedelta(seconds=number),
        )  # fmt: skip
        if which == "same":
            self.rating = said
        matched = self.a_rule(data) if category is Category.BAD or data.draw(RARELY) else None
        if matched or ticket_id in self.case.ticket_ids:
            self.hears(RatedAgain(said, matched), facts=self.facts(said, self.ticket))

    @precondition(is_open)
    @rule(value=st.integers(1, SCALE_MAX), comment=WORDS)
    def the_customer_answers(self, value: int, comment: str | None) -> None:
        """Answer our own question of this attempt, if it has left."""
        left = [one for one in self.sent if one.state is EffectState.APPLIED and is_question(one.effect)]
        if any(one.effect.step.startswith(f"ask:{self.case.attempt}:") for one in left):
            category = Category.BAD if value <= 2 else Category.NEUTRAL if value == 3 else Category.GOOD
            self.hears(Answered(Answer(self.now, category, value, SCALE_MAX), comment))

    @rule(rarely=RARELY)
    def the_customer_opts_out(self, rarely: bool) -> None:
        self.opted_out = self.opted_out or rarely

    # -------------------------------------------------------------- by hand
    def by_hand(self, decision: Decision) -> None:
        self.takes(None, decision, self.situation(self.ticket))

    @precondition(is_open)
    @rule(rarely=RARELY, outcome=st.sampled_from(Outcome), within=st.sampled_from([MINUTE, 5 * HOUR, 2 * DAY]))
    def somebody_decides_by_hand(self, rarely: bool, outcome: Outcome, within: timedelta) -> None:
        """Close it now and then; else promise something, or say that it was kept."""
        if rarely:
            self.by_hand(by_hand.close(self.case, outcome, by_hand.Learned("Too slow"), self.now))
        elif self.case.promise:
            self.by_hand(by_hand.promise_kept(self.case, self.now))
        else:
            zone = self.rules.settings.timezone
            self.by_hand(by_hand.promise(self.case, "a refund", self.now + within, zone, self.now))

    @precondition(has_begun)
    @rule()
    def goodwill_goes_beyond_the_table(self) -> None:
        """An alert of its own, and no word about the case."""
        grant, number = by_hand.Grant(Money(50, "EUR"), "a mistake of ours", "too much"), f"n{next(self.numbers)}"
        person = by_hand.approver(None, self.case, self.rules, None)
        told = by_hand.overridden(self.case, grant, person, self.rules, effect_id=number, now=self.now)
        assert told.case is None
        steps = {one.effect.step for one in self.sent}
        assert steps.isdisjoint(one.step for one in told.effects)
        self.sent += [Sent(one, EffectState.PLANNED, may_overrule=False) for one in told.effects]

    @precondition(has_ended)
    @rule(status=st.sampled_from(Status))
    def an_end_hears_nothing(self, status: Status) -> None:
        """Nothing but what was learned is put down any more."""
        self.by_hand(by_hand.learn(self.case, by_hand.Learned("Too slow", "sent again"), self.now))
        rated, effect = self.rating, Effect("x", self.case.case_id, "acme", "7", EffectKind.UPDATE, "flag")
        signals = (
            RatedAgain(rated, None), DeadlinePassed(rated), Answered(Answer(self.now, Category.GOOD, 5, 5)),
            EffectFailed(effect, Verdict.LOCKED, "no"), PeopleActed(Activity(self.ticket, ())), OwnerGone("has left"),
        )  # fmt: skip
        for signal in signals:
            with pytest.raises(KeyError):
                advance(self.case, signal, self.situation(replace(self.ticket, status=status)))

    # -------------------------------------------------------------- the helpdesk
    @precondition(lambda self: has_begun(self) and self.unfinished())
    @rule()
    def carries_out(self) -> None:
        """Carry out the first unfinished write on the ticket as it is, as `bridge.delivery` does."""
        one = self.unfinished()[0]
        effect, found = one.effect, self.tickets[one.effect.ticket_id]
        if not self.case.is_open and not is_closing(effect.step):
            one.state = EffectState.SUPERSEDED
        elif found.status.is_gone:
            self.fails(one, Verdict.GONE)
        elif found.status.is_locked and effect.kind is EffectKind.UPDATE:
            self.fails(one, Verdict.LOCKED)
        elif effect.way:
            self.asks(one, found)
        elif effect.kind is EffectKind.FOLLOW_UP and effect.ticket_id != self.case.carrier_id:
            one.state = EffectState.SUPERSEDED
        elif effect.change.assignee_id and self.company.agents.get(effect.change.assignee_id) is None:
            self.fails(one, Verdict.BAD_ASSIGNEE)
        else:
            self.writes(one, found)

    def writes(self, one: Sent, found: Ticket) -> None:
        effect, change = one.effect, settle(one.effect, found)
        one.state = EffectState.APPLIED
        if effect.kind is EffectKind.FOLLOW_UP:
            new = f"7{next(self.numbers)}"
            self.tickets[new] = replace(found, ticket_id=new, status=Status.OPEN, assignee_id=change.assignee_id)
            self.case = replace(self.case, work_ticket_id=new, version=self.case.version + 1)
            self.chosen = None
            return
        moved = change.unassign or change.assignee_id not in (None, found.assignee_id)
        if self.chosen == found.assignee_id and self.chosen is not None:
            assert not moved or one.may_overrule, f"{effect.step} takes the ticket from {self.chosen}"
        if moved:
            self.changes(found.ticket_id, assignee_id=change.assignee_id, group_id=change.group_id)
        if change.reopen:
            self.changes(found.ticket_id, status=Status.OPEN)
        self.changes(found.ticket_id, tags=tuple({*found.tags, *change.add_tags}))
        took = found.assignee_id
        mine = (None, effect.seen_assignee_id, effect.change.assignee_id, self.case.assignee_id)
        if took not in mine and self.case.is_open:
            held = {"assignee_id": took, "group_id": found.group_id, "chosen_by_human": True}
            self.case = replace(self.case, **held, version=self.case.version + 1)

    def asks(self, one: Sent, found: Ticket) -> None:
        """Bring the question, unless something speaks against it by now."""
        speaks_against = (
            self.case.solved_at is None
            or not found.status.is_solved
            or self.opted_out
            or why_not(found, self.rules.settings)
            or not one.effect.step.startswith((f"ask:{self.case.attempt}:", f"remind:{self.case.attempt}"))
        )
        if speaks_against:
            one.state = EffectState.SUPERSEDED
            after = unasked(self.case, "not any more") if is_question(one.effect) else self.case
        else:
            one.state = EffectState.APPLIED
            new = f"7{next(self.numbers)}" if one.effect.kind is EffectKind.FOLLOW_UP else None
            if new:
                self.tickets[new] = replace(found, ticket_id=new, status=Status.SOLVED)
            after = sent(self.case, one.effect, self.now, new)
        if after != self.case:
            self.case = replace(after, version=self.case.version + 1)

    @precondition(lambda self: is_open(self) and self.unfinished())
    @rule(verdict=NO)
    def the_helpdesk_says_no(self, verdict: Verdict) -> None:
        self.fails(self.unfinished()[0], verdict)

    def fails(self, one: Sent, verdict: Verdict) -> None:
        """Let the case find another way, as `Delivery._failed` does."""
        one.state = EffectState.REFUSED
        if not self.case.is_open:
            return
        effect, found = one.effect, self.tickets[one.effect.ticket_id]
        if verdict is Verdict.LOCKED and not found.status.is_locked:
            self.changes(found.ticket_id, status=Status.CLOSED)
        refused = None
        if verdict is Verdict.BAD_ASSIGNEE:
            earlier = [was.effect for was in self.sent if was.state is EffectState.REFUSED]
            same = (was.change.assignee_id or "" for was in earlier if was.step == effect.step)
            refused = dict.fromkeys(same, "was refused")
        at = self.situation(self.tickets[effect.ticket_id], refused)
        signal = EffectFailed(effect, verdict, "422")
        decision = advance(self.case, signal, at)
        if refused and any(place_of(new) == place_of(effect) for new in decision.effects):
            one.state = EffectState.PARKED
        else:
            self.takes(signal, decision, at)

    # -------------------------------------------------------------- the rules
    @precondition(is_open)
    @rule(data=st.data(), rarely=RARELY)
    def somebody_edits_the_rules(self, data: st.DataObject, rarely: bool) -> None:
        if rarely:
            self.rules = data.draw(ALL_RULES)


def place_of(effect: Effect) -> tuple[str, str | None, str | None, bool]:
    return effect.step, effect.change.assignee_id, effect.change.group_id, effect.change.unassign


# ------------------------------------------------------------------ the table
RATED = rating()
STAGES: Mapping[Stage, Mapping[str, Any]] = {
    Stage.UNCONFIRMED: {"confirmed_at": None},
    Stage.ASSIGNED: {},
    Stage.ACKNOWLEDGED: {"acknowledged_at": NOW},
    Stage.CONTACTED: {"contacted_at": NOW, "replied_at": NOW},
    Stage.SOLVED: {"solved_at": NOW},
    Stage.SURVEYED: {"solved_at": NOW, "asked_at": NOW, "asked_by": SurveyWay.LINK},
}


ESCALATING = {"deadlines": [{"within": "30m", "until": "acknowledged", "otherwise": {"assign": "leads"}}]}


def opened(by: Rules) -> tuple[Case, Callable[[datetime], Situation]]:
    """Return a case of the first rule, and what later decisions about it look at."""

    def at(now: datetime) -> Situation:
        staff = Staff(by, COMPANY, by.calendar("acme"), {}, now, {}, "acme")
        return situation(ticket(), staff, asking=Asking())

    case = open_case(RATED, by.rules[0], ANA, "customer", at(NOW)).case
    assert case is not None
    return case, at


def signals(case: Case) -> Mapping[type, Signal]:
    """Return one signal of each kind."""
    effect = Effect("e1", case.case_id, "acme", "7", EffectKind.UPDATE, "flag")
    return {
        RatedAgain: RatedAgain(replace(RATED, updated_at=NOW + HOUR, comment="And again"), None),
        DeadlinePassed: DeadlinePassed(RATED),
        Answered: Answered(Answer(NOW, Category.NEUTRAL, 3, SCALE_MAX)),
        EffectFailed: EffectFailed(effect, Verdict.BAD_ASSIGNEE, "422"),
        PeopleActed: PeopleActed(Activity(ticket(), (Deed(DeedKind.REPLIED, NOW, ANA),))),
        OwnerGone: OwnerGone("has left"),
    }


@pytest.mark.parametrize(("stage", "kind"), TRANSITIONS)
def test_every_row_of_the_table_keeps_a_case_sound(stage: Stage, kind: type) -> None:
    begun, later = opened(shipped("rules.yaml"))
    case = replace(begun, stage=stage, due_at=NOW, next_step="replied", **STAGES[stage])
    at = replace(later(NOW + HOUR), ticket=ticket(status=Status.SOLVED if case.solved_at else Status.OPEN))

    decision = advance(case, signals(case)[kind], at)

    assert decision.case is not None
    move = Move(case, signals(case)[kind], decision.case, decision.effects, at, (), (), opted_out=False)
    for holds in INVARIANTS:
        holds(move)


def test_every_open_stage_has_a_row_for_each_signal_and_an_end_has_none() -> None:
    assert set(TRANSITIONS) == {(stage, kind) for stage in STAGES for kind in get_args(Signal)}
    assert set(Stage) - set(STAGES) == {Stage.ENDED}


# ------------------------------------------------------------------ what the machine found
def test_what_a_human_did_since_we_looked_comes_before_the_deadline() -> None:
    """Somebody took the ticket between our look at people and our look at deadlines."""
    by = read(GENERATED.replace("ONE", json.dumps(ESCALATING)).replace("TWO", "{}").replace("MAIL", "helpdesk"))
    (case, at), cem = opened(by), ticket(status=Status.OPEN, assignee_id=CEM)

    decision = advance(case, DeadlinePassed(None), replace(at(NOW + HOUR), ticket=cem))

    assert (decision.audit.what, decision.effects) == ("noticed", ())
    assert decision.case is not None
    assert (decision.case.assignee_id, decision.case.chosen_by_human) == (CEM, True)


@pytest.mark.parametrize("signal", [DeadlinePassed(RATED), OwnerGone("has left")])
def test_a_ticket_that_is_gone_ends_no_case_a_second_time(signal: Signal) -> None:
    by = shipped("rules.yaml")
    case, at = opened(by)
    ended = by_hand.close(case, Outcome.UNFIXABLE, by_hand.Learned(), NOW).case
    assert ended is not None

    with pytest.raises(KeyError):
        advance(ended, signal, replace(at(NOW), ticket=ticket(status=Status.DELETED)))


TestCaseMachine = CaseMachine.TestCase
TestCaseMachine.settings = settings(
    max_examples=2000 if SOAK else 80,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
