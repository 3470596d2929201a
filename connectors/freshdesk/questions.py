"""The second question on its way through a ticket: its tags, its text, and what speaks against sending it.

A PUT sets the text and adds the tag that a rule of ours waits for; the rule mails the text, empties the field and takes
the tag away, `sr_surveyed` stays. A tag that is sent again although the rule has taken it would ask the customer twice,
so no other PUT ever carries one. UNVERIFIED how long a rule takes: RULE_ACTS_WITHIN is generous.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from bridge.model import Question, Write
from connectors.freshdesk.automations import ASK, ASKING_TAGS, MAIL, SURVEYED_TAG

LONGEST = 10_000  # characters; UNVERIFIED what the field holds
RULE_ACTS_WITHIN = timedelta(minutes=10)
CONTROL = {code: None for code in (*range(32), 127) if chr(code) not in "\n\t"}


def half_done(write: Write) -> str:
    """Return the marker of a ticket that was reopened and is to be solved again."""
    return f"{write.effect.marker}-reopened"


def plain(question: Question) -> str:
    """Return the text as the field takes it: no control characters, no placeholders."""
    return question.text.translate(CONTROL).replace("{{", "{ {").replace("{%", "{ %")


def objection(write: Write) -> str | None:
    """Return why this question must not be sent now, in words for people; None if nothing speaks against it."""
    ticket, question = write.ticket, write.question
    if question is None:
        return None
    if len(question.text) > LONGEST:
        return f"the question is longer than {LONGEST} characters; shorten survey_texts"
    if tag := next((tag for tag in ticket.tags if tag in ASKING_TAGS), None):
        rule = ASK if tag == ASK.tag else MAIL
        return f'ticket {ticket.ticket_id} still has the tag {tag}; see why the rule "{rule.name}" has not removed it'
    if write.repeat and SURVEYED_TAG in ticket.tags and ticket.marker != half_done(write):
        return "an earlier attempt may have reached the customer, and nobody is asked twice"
    return None


def tags(write: Write) -> list[str] | None:
    """Return all tags that the ticket is to have, for a PUT replaces them; None to leave them alone."""
    wanted = list(write.change.add_tags)
    if write.question:
        wanted += [SURVEYED_TAG, ASK.tag if write.question.adds_survey else MAIL.tag]
    there = [tag for tag in write.ticket.tags if tag not in ASKING_TAGS]
    new = missing(wanted, there)
    return [*there, *new] if new else None


def missing(wanted: Sequence[str], there: Sequence[str]) -> list[str]:
    """Return the tags that are not there, in any letter case, each once."""
    known = {tag.casefold() for tag in there}
    return [tag for tag in dict.fromkeys(wanted) if tag.casefold() not in known]


def is_left_over(write: Write) -> bool:
    """Return whether a text may still stand in the field that no rule will mail any more."""
    ticket = write.ticket
    if write.question or SURVEYED_TAG not in ticket.tags:
        return False
    is_waiting = any(tag in ASKING_TAGS for tag in ticket.tags)
    return not is_waiting or ticket.read_at - ticket.updated_at > RULE_ACTS_WITHIN
