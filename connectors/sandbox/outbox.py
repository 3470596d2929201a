"""The mails that reached customers, each with what caused it: the referee of what Recovery Bridge may cause."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from connectors.sandbox.world import Mail, World

INSTALLED_TITLE = "[recovery-bridge]"  # begins the titles of triggers and rules that `setup` installs
SECOND_QUESTIONS = ("survey", "question")  # the kinds of mail that the bridge may cause


class Cause(StrEnum):
    """Who is to thank for a mail."""

    REPLY = "reply"  # a person wrote
    ACCOUNT = "account"  # a rule or notification of the account's own, set off by people or by time
    INSTALLED = "installed"  # a rule or trigger that the bridge has installed, whoever set it off
    API = "api"  # a rule or notification of the account's own, set off by a program's write


@dataclass(frozen=True)
class Delivered:
    """A mail in a customer's inbox."""

    mail: Mail
    cause: Cause


def outbox(world: World) -> list[Delivered]:
    """Return every mail to a customer, of all desks, oldest first."""
    return [Delivered(mail, _cause(mail)) for mail in world.mails if mail.to_customer]


def caused_by_programs(world: World) -> list[Delivered]:
    """Return the mails to customers that would not exist without a program's writes or the rules it installed."""
    return [sent for sent in outbox(world) if sent.cause in (Cause.INSTALLED, Cause.API)]


def unwanted(world: World) -> list[Delivered]:
    """Return the mails to customers that programs caused and that ask no second question: there must be none."""
    return [sent for sent in caused_by_programs(world) if sent.mail.kind not in SECOND_QUESTIONS]


def _cause(mail: Mail) -> Cause:
    if mail.rule.startswith(INSTALLED_TITLE):
        return Cause.INSTALLED
    if mail.actor.startswith("api:"):
        return Cause.API
    return Cause.REPLY if mail.kind == "reply" else Cause.ACCOUNT
