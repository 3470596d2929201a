"""Bringing the second question to the customer: the last look before it leaves, its words, and our own mail.

Messages to customers fail closed: whatever speaks against one now, or leaves its fate unknown, means that it is not
sent, or not sent again. Links are made when the question leaves, and are stored nowhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from bridge.connector import Connector
from bridge.deadlines import ANSWER_WITHIN, answer_by
from bridge.errors import SettingsError
from bridge.hours import Calendar
from bridge.model import Case, Effect, Question, SurveyWay, Ticket
from bridge.notify import Channels
from bridge.rules import Rules, Survey, SurveyText
from bridge.store import Claim, Store
from bridge.survey import BUILT_IN, is_mailed_by_us, render, why_not
from bridge.survey_link import Invitation, SurveyLinks


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
        """Return what speaks against asking now; if nothing does, this case takes the customer's one question."""
        case, effect = claim.case, claim.effect
        half_done = effect.change.solve_again and claim.last_sent_at  # opened by us: the connector knows if by us alone
        if case.solved_at is None or (not ticket.status.is_solved and not half_done):
            return "the ticket is open again"
        if why := why_not(ticket, self.rules.settings):
            return why
        if why := why_barred(self.store, self.rules, case, self.now()):
            return why
        limit, customer = self.rules.limits.surveys_per_customer, case.customer or ""
        if not self.store.reserve_survey(customer, effect.account, asked_for(case), self.now(), limit):
            return "the customer was asked a moment ago"
        return None

    def quiet_until(self, calendar: Calendar) -> datetime | None:
        """Return when the quiet hours end in which we are now, or None."""
        ends = calendar.after_quiet(self.now())
        return ends if ends > self.now() else None

    def question(self, desk: Connector, claim: Claim, ticket: Ticket) -> tuple[SurveyText, Question]:
        """Write the question, with its link where we bring it. Raises Refused where the helpdesk makes none."""
        case, way = claim.case, claim.effect.way
        language = desk.language(ticket)
        words = self.rules.survey_text(ticket.brand, language) or BUILT_IN
        playbook = self.rules.playbooks.get(case.playbook)
        survey = playbook.survey if playbook else None
        adds_survey = way is SurveyWay.HELPDESK and not desk.asking().is_link
        if adds_survey:
            link = ""
        elif way is SurveyWay.HELPDESK:
            link = desk.survey_link(ticket, language)
        else:
            link = self._our_link(case, survey)
        within = survey.answer_within if survey else ANSWER_WITHIN
        return words, Question(render(words, case, ticket, within, link), adds_survey)

    def _our_link(self, case: Case, survey: Survey | None) -> str:
        if self.links is None:
            raise SettingsError("rules.yaml: no settings.survey_page, where our own question is answered")
        asked = case if case.asked_at else replace(case, asked_at=self.now())
        return self.links.link(Invitation(case.case_id, case.attempt, answer_by(asked, survey)))

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


def asked_for(case: Case) -> str:
    """Return the name under which a case's question is counted: a second attempt is a second question."""
    return f"{case.case_id}:{case.attempt}"
