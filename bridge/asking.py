"""Bringing the second question to the customer: the last look before it leaves, its words, and our own mail.

Messages to customers fail closed: whatever speaks against one now, or leaves its fate unknown, means that it is not
sent, or not sent again. Links are made when the question leaves, and are stored nowhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from bridge.connector import Connector
from bridge.deadlines import answer_by
from bridge.errors import SettingsError
from bridge.hours import Calendar
from bridge.model import Case, Effect, EffectState, Question, SurveyWay, Ticket
from bridge.notify import Channels
from bridge.rules import Rules, Survey, SurveyText
from bridge.store import Claim, Store
from bridge.survey import ASK_STEP, BUILT_IN, REMIND_STEP, is_mailed_by_us, is_question, render, why_not
from bridge.survey_link import Invitation, SurveyLinks

LEFT = (EffectState.APPLIED, EffectState.ADOPTED)


class Asker:
    """Asks the customers of one installation."""

    def __init__(
        self, rules: Rules, store: Store, channels: Channels, links: SurveyLinks | None, now: Callable[[], datetime]
    ) -> None:
        self.rules, self.store, self.channels, self.links, self.now = rules, store, channels, links, now

    def is_mailed_by_us(self, desk: Connector, effect: Effect) -> bool:
        """True if this question leaves by our own mail server."""
        return bool(effect.way and is_mailed_by_us(effect.way, self.rules.settings, desk.asking()))

    def objection(self, claim: Claim, ticket: Ticket) -> str | None:
        """Return what speaks against asking now, or None."""
        case, effect = claim.case, claim.effect
        half_done = effect.change.solve_again and claim.last_sent_at  # opened by us: the connector knows if by us alone
        if case.solved_at is None or (not ticket.status.is_solved and not half_done):
            return "the ticket is open again"
        if why := self.other_question(claim) or why_not(ticket, self.rules.settings):
            return why
        return why_barred(self.store, self.rules, case, self.now())

    def other_question(self, claim: Claim) -> str | None:
        """Return what stands against this question in its own case: one that has left, or may have, or came later."""
        case, effect = claim.case, claim.effect
        if not effect.step.startswith((f"{ASK_STEP}:{case.attempt}:", f"{REMIND_STEP}:{case.attempt}")):
            return "it belongs to an earlier attempt"
        if not is_question(effect):
            return None
        others = (one for one in self.store.effects_of(case.case_id) if one.effect.effect_id != effect.effect_id)
        asked = (one for one in others if one.effect.step.startswith(f"{ASK_STEP}:{case.attempt}:") and one.effect.way)
        left = any(may_have_left(one.state, one.last_sent_at) for one in asked)
        return "the customer was asked already" if left else None

    def reserve(self, claim: Claim) -> str | None:
        """Take the customer's one question for this case; returns why that is not possible, or None."""
        case, limit = claim.case, self.rules.limits.surveys_per_customer
        now, name = self.now(), asked_for(case)
        if self.store.reserve_survey(case.customer or "", case.account, name, now, limit):
            return None
        return "the customer was asked a moment ago"

    def quiet_until(self, calendar: Calendar) -> datetime | None:
        """Return when the quiet hours end in which we are now, or None."""
        ends = calendar.after_quiet(self.now())
        return ends if ends > self.now() else None

    def question(
        self, desk: Connector, claim: Claim, ticket: Ticket, survey: Survey | None
    ) -> tuple[SurveyText, Question]:
        """Write the question, with its link where we bring it. Raises Refused where the helpdesk makes none.

        *survey* is that of the case's own playbook: a link must last as long as the case waits.
        """
        case, way = claim.case, claim.effect.way
        language = desk.language(ticket)
        words = self.rules.survey_text(ticket.brand, language) or BUILT_IN
        until = answer_by(case if case.asked_at else replace(case, asked_at=self.now()), survey)
        adds_survey = way is SurveyWay.HELPDESK and not desk.asking().is_link
        if adds_survey:
            link = ""
        elif way is SurveyWay.HELPDESK:
            link = desk.survey_link(ticket, language)
        else:
            link = self._our_link(Invitation(case.case_id, case.attempt, until, language, ticket.brand))
        last_day = until.astimezone(self.rules.calendar(case.account).timezone).date()
        return words, Question(render(words, case, ticket, last_day, link), adds_survey)

    def _our_link(self, invitation: Invitation) -> str:
        if self.links is None:
            raise SettingsError("rules.yaml: no settings.survey_page, where our own question is answered")
        return self.links.link(invitation)

    def mail(self, claim: Claim, ticket: Ticket, words: SurveyText, question: Question) -> None:
        """Mail the question by ourselves. Raises NotToldError if it did not leave."""
        address = (ticket.requester.email if ticket.requester else None) or ""
        name = f"<{claim.effect.marker}@recovery-bridge>"
        self.channels.mail_customer(address, words.sender, words.subject, question.text, name)


def why_barred(store: Store, rules: Rules, case: Case, now: datetime) -> str | None:
    """Return why this customer is not to be asked, whatever the ticket says; None if they may be."""
    if case.customer is None:
        return "the customer is not known"
    if store.has_opted_out(case.customer):
        return "the customer does not want to be asked"
    if not store.may_ask(case.customer, asked_for(case), now, rules.limits.surveys_per_customer):
        return "the customer was asked a short while ago (limits: surveys_per_customer)"
    return None


def may_have_left(state: EffectState, last_sent_at: datetime | None) -> bool:
    """False if it is certain that a question, in an end like this, did not reach the customer."""
    return state in LEFT or (state is EffectState.PARKED and last_sent_at is not None)


def asked_for(case: Case, attempt: int | None = None) -> str:
    """Return the name under which a case's question is counted: a second attempt is a second question."""
    return f"{case.case_id}:{attempt or case.attempt}"
