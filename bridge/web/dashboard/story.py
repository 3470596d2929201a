"""The whole story of one case: who has it and why, what was decided and done, and what comes next.

Only here a customer's words are shown, as the inert, bounded text that `explain` prints.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from bridge.by_hand import ENDS
from bridge.explaining import Explanation
from bridge.model import Case, EffectState, Outcome
from bridge.rules import Rules, inert
from bridge.show import WAYS, Names, Story, duration, money, trace_lines, what
from bridge.web.dashboard.cases import Link, Row, Rows, ticket_link
from bridge.web.dashboard.said import OUTCOMES, PARTIES, Clock, Moment

WORDS = 500  # characters of a customer that are shown
DONE = (EffectState.APPLIED, EffectState.ADOPTED)


@dataclass(frozen=True)
class Step:
    """Something that happened, and how long after the rating."""

    what: str
    at: Moment
    after: str = ""


@dataclass(frozen=True)
class Done:
    """An effect and what became of it."""

    effect_id: str
    what: str
    state: str
    error: str
    is_parked: bool
    is_done: bool


@dataclass(frozen=True)
class Rung:
    """One rung of the ladder: whom it found, or why nobody."""

    name: str
    agent: str
    why: str


@dataclass(frozen=True)
class Ending:
    """What the form offers that ends a case, or puts down what was learned from one that has ended."""

    outcomes: Sequence[tuple[str, str]]  # value and words; none if the case has ended
    causes: Sequence[str]
    parties: Sequence[tuple[str, str]]
    version: int


@dataclass(frozen=True)
class Told:
    """Everything that the page of one case shows."""

    case: Case
    row: Row
    tickets: Sequence[tuple[str, str, str]]  # what it is, id, address
    began: str
    words: str  # of the customer; "" for none
    picked: str  # the reason that the customer picked
    original: str
    facts: Sequence[tuple[str, str | Moment]]
    milestones: Sequence[Step]
    ladder: Sequence[Rung]
    decisions: Sequence[tuple[Moment, str, str]]
    effects: Sequence[Done]
    trace: str  # what every rule wanted and saw; "" if that is not known
    ending: Ending | None


def tell(story: Story, why: Explanation | None, rules: Rules, link: Link, clock: Clock) -> Told:
    """Put together what the page of one case shows."""
    case, names = story.case, story.names
    said = why.stored.rating if why else None
    return Told(
        case=case,
        row=Rows({case.account: names}, link, clock).row(case),
        tickets=[(kind, ticket, ticket_link(link, case.account, ticket)) for kind, ticket in _tickets(case)],
        began=_began(case),
        words=inert(said.comment, WORDS) if said and said.comment else "",
        picked=inert(said.reason, WORDS) if said and said.reason else "",
        original=names.agent(case.original_agent_id, "not known"),
        facts=[*_learned(case), *_care(story, clock)],
        milestones=list(_milestones(case, clock)),
        ladder=[
            Rung(one.rung.replace("_", " "), names.agent(one.agent_id, ""), names.in_text(one.why))
            for one in case.ladder
        ],
        decisions=[(clock.time(one.at), one.what.replace("_", " "), names.in_text(one.reason)) for one in story.audits],
        effects=list(_effects(story, names)),
        trace="\n".join(trace_lines(why.trace)) if why and why.trace else "",
        ending=_ending(case, rules),
    )


def _tickets(case: Case) -> Iterator[tuple[str, str]]:
    yield "rated ticket", case.ticket_id
    if case.work_ticket_id and case.work_ticket_id != case.ticket_id:
        yield "carried on in", case.work_ticket_id
    if case.survey_ticket_id and case.survey_ticket_id not in (case.ticket_id, case.work_ticket_id):
        yield "asked again on", case.survey_ticket_id


def _began(case: Case) -> str:
    if case.is_request:
        return "An agent asked for this recovery."
    return f"The customer rated {case.category}: {case.rating} of {case.scale_max}."


def _milestones(case: Case, clock: Clock) -> Iterator[Step]:
    """Yield what happened, in its order."""
    asked = f"customer asked again {WAYS[case.asked_by]}" if case.asked_by else "customer asked again"
    answer = case.answer
    said = f"customer answered: {answer.category} ({answer.value} of {answer.scale_max})" if answer else ""
    times = (
        ("asked for by an agent" if case.is_request else "rated", case.rated_at),
        ("flagged", case.flagged_at),
        ("confirmed", case.confirmed_at if case.confirmed_at != case.flagged_at else None),
        ("assigned", case.assigned_at),
        ("acknowledged", case.acknowledged_at),
        ("customer contacted", case.contacted_at),
        ("solved", case.solved_at),
        ("owner asked whether it holds", case.checked_in_at),
        (asked, case.asked_at),
        ("customer reminded", case.reminded_at),
        (said, answer.at if answer else None),
        (f"ended: {OUTCOMES[case.outcome]}" if case.outcome else "", case.ended_at),
    )
    for name, at in sorted([(name, at) for name, at in times if at], key=lambda step: step[1]):
        after = at - case.rated_at
        yield Step(name, clock.time(at), f"+{duration(after)}" if after >= timedelta(minutes=1) else "")


def _learned(case: Case) -> Iterator[tuple[str, str | Moment]]:
    if case.cause:
        yield "cause", case.cause
    if case.remedy:
        yield "remedy", case.remedy
    if case.party:
        yield "whose fault", PARTIES.get(case.party, case.party)
    if case.incident:
        yield "part of the incident", case.incident
    if case.not_asked:
        yield "not asked again", case.not_asked


def _care(story: Story, clock: Clock) -> Iterator[tuple[str, str | Moment]]:
    case = story.case
    if case.promise:
        yield "promised", f'"{case.promise}"'
    if case.promise and case.promised_by:
        yield "promised by", clock.time(case.promised_by)
    if case.promise_broken_at:
        yield "promise broken, told", clock.time(case.promise_broken_at)
    if story.spent:
        yield "goodwill granted", money(story.spent)


def _effects(story: Story, names: Names) -> Iterator[Done]:
    for one in story.effects:
        parked = one.state is EffectState.PARKED
        said = what(one.effect, names)
        yield Done(one.effect.effect_id, said, str(one.state), one.error or "", parked, one.state in DONE)


def _ending(case: Case, rules: Rules) -> Ending | None:
    """Return the form for a case: to end it, or to name the cause of one that has ended without."""
    if not case.is_open and (case.cause or case.outcome is Outcome.DISMISSED):
        return None
    outcomes = [(str(one), OUTCOMES[one]) for one in ENDS] if case.is_open else []
    return Ending(outcomes, list(rules.causes), list(PARTIES.items()), case.version)
