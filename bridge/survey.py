"""The second question: whether the customer of a solved recovery is asked again, by which way, and in which words.

Where anything speaks against it the customer is not asked, and the case says why. The helpdesk's own survey comes
first, as long as the ticket stays open for answers; else our own question behind a signed link.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime

from bridge.connector import Asking
from bridge.deadlines import ANSWERABLE_FOR
from bridge.decision import SURVEYED_TAG, Situation, effect_for, playbook_of
from bridge.model import Case, Category, Change, Effect, EffectKind, Outcome, Stage, Status, SurveyWay, Ticket
from bridge.noticing import stage_of
from bridge.rules import Playbook, Settings, Survey, SurveyText, inert
from bridge.rules.notes import SURVEY_PLACEHOLDERS, Note, break_braces, parse_note

SCALE_MAX = 5  # of our own question
ASK_STEP, REMIND_STEP = "ask", "remind"
BUILT_IN = SurveyText.model_construct(
    subject="Have we made it right?",
    text=parse_note(
        "Hello {customer_first_name|},\n\n"
        "you were not content with our answer to your request {ticket_id}, and we have worked on it again.\n"
        "Have we made it right? It takes a minute:\n\n{link}\n\nThank you.",
        SURVEY_PLACEHOLDERS,
    ),
)


@dataclass(frozen=True)
class Chance:
    """What was found out right before a customer would be asked again."""

    offered_at: datetime | None = None  # when the helpdesk asked by itself since the case was flagged
    barred: str | None = None  # why this customer is not to be asked: opted out, or asked a short while ago


NOTHING_KNOWN = Chance()


@dataclass(frozen=True)
class Plan:
    """How the question reaches the customer."""

    way: SurveyWay
    solve_again: bool = False
    on_new_ticket: bool = False


@dataclass(frozen=True)
class Move:
    """Where a case goes on: the case, what happened in a word, why, and what to do."""

    case: Case
    what: str
    why: str
    effects: tuple[Effect, ...] = ()


# ------------------------------------------------------------------ deciding
def ask(case: Case, chance: Chance, situation: Situation) -> Move:
    """Ask the customer again, take over the helpdesk's own question, or put down why nobody asks."""
    playbook = playbook_of(case, situation)
    if chance.offered_at:
        asked = _asked(case, SurveyWay.ADOPTED, chance.offered_at)
        return Move(asked, "adopted", "the helpdesk asked the customer by itself; that question counts")
    why = why_not(situation.ticket, situation.rules.settings) or chance.barred
    found = why or plan(case, playbook, situation)
    if isinstance(found, str):
        return Move(replace(case, not_asked=found), "not_asked", f"the customer is not asked again: {found}")
    asked = _asked(case, found.way, situation.now)
    return Move(asked, "asked", f"the customer is asked again, {in_words(found)}", _effects(asked, found, situation))


def remind(case: Case, chance: Chance, situation: Situation) -> Move:
    """Ask once more, by the same way; whatever speaks against it now means that nobody is reminded."""
    reminded = replace(case, reminded_at=situation.now)
    way = case.asked_by or SurveyWay.LINK
    why = why_not(situation.ticket, situation.rules.settings) or chance.barred
    found = why or ways(playbook_of(case, situation), situation).get(way, "")
    if isinstance(found, Plan) and found.on_new_ticket:
        found = f"the ticket is {situation.ticket.status} by now"
    if isinstance(found, str):
        return Move(reminded, "not_reminded", f"the customer is not reminded: {found}")
    step = f"{REMIND_STEP}:{case.attempt}"
    effect = replace(effect_for(reminded, EffectKind.SURVEY, step, Change(), situation), way=way)
    return Move(reminded, "reminded_customer", "no answer yet: the customer is asked once more", (effect,))


def why_not(ticket: Ticket, settings: Settings) -> str | None:
    """Return why the requester of a ticket may not be asked, whatever the way; None if they may."""
    requester = ticket.requester
    if settings.surveys == "off":
        return "surveys are off (settings.surveys)"
    if requester is None:
        return "the ticket has no requester"
    if requester.suspended:
        return "the requester is suspended"
    if not requester.email:
        return "the requester has no e-mail address"
    if settings.surveys == "listed" and requester.email.casefold() not in map(str.casefold, settings.survey_list):
        return "the address is not on settings.survey_list"
    return None


def plan(case: Case, playbook: Playbook, situation: Situation) -> Plan | str:
    """Return how the customer is asked, or why they cannot be."""
    survey = playbook.survey or Survey.model_construct()
    found = ways(playbook, situation)
    own, link = found[SurveyWay.HELPDESK], found[SurveyWay.LINK]
    if survey.by != "auto":
        return found[SurveyWay(survey.by)]
    if isinstance(own, str):
        return link if isinstance(link, Plan) else "; ".join(dict.fromkeys((own, link)))
    if not _closes_soon(case, survey, situation):
        return own
    if isinstance(link, Plan):
        return link
    return replace(own, solve_again=survey.reopen != "never" and not own.on_new_ticket)


def ways(playbook: Playbook, situation: Situation) -> Mapping[SurveyWay, Plan | str]:
    """Return, for both ways to ask about a ticket, how it would be done or why it cannot be."""
    settings, asking = situation.rules.settings, situation.asking or Asking(own="unknown", mail="unknown")
    by_smtp = settings.survey_mail == "smtp"
    unmailed = "" if by_smtp else asking.mail
    no_page = "" if settings.survey_page else "there is no settings.survey_page"
    overwrites = asking.overwrites and not settings.allow_rerating
    no_survey = asking.own or ("a second rating would overwrite the first" if overwrites else "")
    return {
        SurveyWay.HELPDESK: _on_ticket(
            SurveyWay.HELPDESK, no_survey or (unmailed if asking.is_link else ""), playbook, situation
        ),
        SurveyWay.LINK: _on_ticket(SurveyWay.LINK, no_page or unmailed, playbook, situation),
    }


def _on_ticket(way: SurveyWay, impossible: str, playbook: Playbook, situation: Situation) -> Plan | str:
    """Return the plan for one way on the ticket as it is: one that is locked may need a new ticket to carry it."""
    if impossible:
        return impossible
    survey = playbook.survey
    if not situation.ticket.status.is_locked:
        again = survey is not None and survey.reopen == "always" and situation.ticket.status is Status.SOLVED
        return Plan(way, solve_again=again)
    asking, by_smtp = situation.asking, situation.rules.settings.survey_mail == "smtp"
    if way is SurveyWay.LINK and by_smtp:
        return Plan(way)
    if way is SurveyWay.HELPDESK and asking and asking.is_link:
        return f"the ticket is {situation.ticket.status}, and its survey takes no answers any more"
    if playbook.ticket == "note_only":
        return f"the ticket is {situation.ticket.status}, and the playbook makes no new one"
    return Plan(way, on_new_ticket=True)


def _closes_soon(case: Case, survey: Survey, situation: Situation) -> bool:
    closes_after = situation.asking.closes_after if situation.asking else None
    if closes_after is None or case.solved_at is None:
        return False
    return case.solved_at + closes_after - situation.now < min(ANSWERABLE_FOR, survey.answer_within)


def _asked(case: Case, way: SurveyWay, at: datetime) -> Case:
    return replace(case, asked_at=at, asked_by=way, stage=Stage.SURVEYED)


def is_question(effect: Effect) -> bool:
    """True if an effect asks the customer for the first time, not if it reminds."""
    return effect.way is not None and effect.step.startswith(f"{ASK_STEP}:")


def sent(case: Case, effect: Effect, now: datetime, new_ticket_id: str | None) -> Case:
    """Return a case whose question has left; one that was parked and sent late was asked only now."""
    if not case.is_open:
        return case
    case = replace(case, survey_ticket_id=new_ticket_id or effect.ticket_id)
    if case.asked_at or not is_question(effect):
        return case
    return replace(_asked(case, effect.way or SurveyWay.LINK, now), not_asked=None)


def unasked(case: Case, why: str) -> Case:
    """Return a case whose question did not leave after all."""
    if case.asked_at is None or not case.is_open:
        return case
    moved = why if case.solved_at else None  # reopened: it is asked when the ticket is solved again
    back = replace(case, asked_at=None, asked_by=None, not_asked=moved)
    return replace(back, stage=stage_of(back))


def _effects(case: Case, found: Plan, situation: Situation) -> tuple[Effect, ...]:
    """Return the effects that ask; the tag goes ahead where the question itself leaves by our own mail."""
    solved_at = case.solved_at or situation.now
    step = f"{ASK_STEP}:{case.attempt}:{solved_at:%Y%m%d%H%M%S}"  # a ticket that was reopened is solved anew
    kind = EffectKind.FOLLOW_UP if found.on_new_ticket else EffectKind.SURVEY
    change = Change(add_tags=(SURVEYED_TAG,), solve_again=found.solve_again)
    question = replace(effect_for(case, kind, step, change, situation), way=found.way)
    if found.on_new_ticket:
        owner = Change(add_tags=(SURVEYED_TAG,), assignee_id=case.assignee_id, group_id=case.group_id, note_first=True)
        note = f"This ticket carries the question whether ticket {case.ticket_id} was made right; it is solved already."
        return (replace(question, change=replace(owner, note=note)),)
    if not is_mailed_by_us(found.way, situation.rules.settings, situation.asking):
        return (question,)
    if situation.ticket.status.is_locked:
        return (replace(question, change=Change()),)
    mark = effect_for(case, EffectKind.UPDATE, f"{step}:mark", change, situation)
    return (mark, replace(question, change=Change()))


def is_mailed_by_us(way: SurveyWay, settings: Settings, asking: Asking | None) -> bool:
    """True if the question leaves by our own mail server, not by a rule of the helpdesk."""
    is_link = way is SurveyWay.LINK or (asking is not None and asking.is_link)
    return settings.survey_mail == "smtp" and is_link


def in_words(found: Plan) -> str:
    """Say how the customer is asked."""
    how = "by the helpdesk's own survey" if found.way is SurveyWay.HELPDESK else "by our own question"
    if found.on_new_ticket:
        return f"{how}, on a new ticket"
    return f"{how}; the ticket is reopened and solved again" if found.solve_again else how


# ------------------------------------------------------------------ the answer
def outcome_of(case: Case, category: Category) -> Outcome | None:
    """Return how a case ends with this answer; None if the customer is as unhappy as before."""
    if category is Category.GOOD:
        return Outcome.RECOVERED
    return Outcome.IMPROVED if category.is_better_than(case.category) else None


def category_of(value: int) -> Category:
    """Return what an answer from 1 to 5 to our own question means."""
    if value <= 2:
        return Category.BAD
    return Category.NEUTRAL if value == 3 else Category.GOOD


# ------------------------------------------------------------------ the words
def render(text: SurveyText, case: Case, ticket: Ticket, last_day: date, link: str) -> str:
    """Write the question; *link* is "" where the helpdesk adds its own survey. The customer's words are made inert."""
    name = inert(ticket.requester.name, 80) if ticket.requester and ticket.requester.name else None
    values = {
        "customer_name": name,
        "customer_first_name": name.split()[0] if name else None,
        "ticket_id": case.ticket_id,
        "ticket_subject": inert(ticket.subject, 200),
        "brand": ticket.brand,
        "answer_by": f"{last_day}",
    }
    written = [link if part[0] == "link" else Note((part,)).render(values) for part in text.text.parts]
    if "link" not in text.text.fields and link:
        written.append(f"\n\n{link}")
    return break_braces("".join(written)).strip()
