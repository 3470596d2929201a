"""Zendesk: satisfaction ratings, tickets, people and writes of one account.

Source: the vendor's OpenAPI file (snapshot 2026-08) and developer.zendesk.com (read 2026-11-21); each module names its
pages. What the vendor leaves open is handled in the module that meets it, with a comment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from bridge.connector import Asking, Finding, Marks, Secret, SetupStep, Tools, each_of
from bridge.errors import SettingsError
from bridge.http import check_url
from bridge.model import Activity, Directory, Effect, News, Rating, RatingPage, Ticket, Watched, Write
from connectors.zendesk.activity import Watch
from connectors.zendesk.asking import Asker
from connectors.zendesk.auth import ClientCredentials, token_pair
from connectors.zendesk.csat import Csat
from connectors.zendesk.marks import MarksReader, made_by
from connectors.zendesk.people import People
from connectors.zendesk.tickets import Tickets
from connectors.zendesk.writes import Writes

REQUEST_TAG = "sr_request"
TAGS = {
    "sr_flagged": "tickets whose rating we act on; in a trigger, the way to leave our writes out",
    "sr_reopened": "tickets that we reopened, to be left out of reopen rate, SLA and CSAT automations",
    "sr_withdrawn": "tickets whose rating the customer took back",
    "sr_request": "put on by agents: a recovery without a bad rating",
    "sr_surveyed": "tickets whose requester we asked again",
    "sr_ask": "for a moment: the trigger of setup mails our question and takes the tag off",
    "sr_ask_survey": "the same, with the rating of the helpdesk",
    "sr_half": "for a moment: reopened by us, about to be solved again",
    "sr_ref_*": "the last write of ours, so that none is made twice",
}


@dataclass(frozen=True)
class Config:
    """One Zendesk account. Needs client id and secret, or e-mail and API token."""

    account: str
    url: str
    client_id: Secret | None = None
    client_secret: Secret | None = None
    email: Secret | None = None
    api_token: Secret | None = None
    webhook_secret: Secret | None = None
    out_of_office: tuple[str, ...] = ("agent_ooo",)  # tags, or keys of user fields, that say so

    def __post_init__(self) -> None:
        """Check the address and that there is a pair of credentials. Raises SettingsError."""
        check_url(self.account, self.url, ".zendesk.com")
        if (self.client_id and self.client_secret) or (self.email and self.api_token):
            return
        name = f"BRIDGE_{self.account.upper().replace('-', '_')}"
        raise SettingsError(
            f"{self.account}: no credentials; set {name}_CLIENT_ID and {name}_CLIENT_SECRET (OAuth),"
            f" or {name}_EMAIL and {name}_API_TOKEN (until 2027-04-30)"
        )


def connect(config: Config, tools: Tools) -> Zendesk:
    """Return the account, with its session signing every request."""
    if config.client_id and config.client_secret:
        tools.http.auth = ClientCredentials(config.client_id, config.client_secret, tools)
    elif config.email and config.api_token:
        tools.http.auth = token_pair(config.email, config.api_token)
    return Zendesk(config, tools)


class Zendesk:
    """One account of Zendesk: the contract of `bridge.connector.Connector`."""

    conditional_writes = True

    def __init__(self, config: Config, tools: Tools) -> None:
        self.account = config.account
        self._config = config
        self._tools = tools
        self._csat = Csat(tools)
        self._people = People(tools, config.out_of_office)
        self._tickets = Tickets(tools)
        self._asker = Asker(tools, self._csat)
        self._writes = Writes(tools, self._asker)
        self._marks = MarksReader(tools.http)

    def new_ratings(self, cursor: str | None) -> Iterator[RatingPage]:
        """Read what may have been rated since *cursor*; None starts 28 days ago."""
        return self._csat.new_ratings(cursor)

    def past_ratings(self, since: datetime, cursor: str | None = None) -> Iterator[RatingPage]:
        """Read every rating given or changed at or after *since*; *cursor* resumes a walk."""
        return self._csat.past_ratings(since, cursor)

    def ratings_of(self, ticket_id: str, rating_id: str | None = None) -> Sequence[Rating]:
        """Read the ratings of one ticket, or that one rating, as they are now; `tickets` then has that one at hand."""
        return self._csat.ratings_of(ticket_id, rating_id, self._tickets.look)

    def tickets(self, ticket_ids: Sequence[str]) -> Mapping[str, Ticket]:
        """Read tickets with their requesters, 100 per call; a deleted one comes with that status."""
        return self._tickets.read_or_take(ticket_ids, self.directory()) if ticket_ids else {}

    def addresses(self, requester_ids: Sequence[str]) -> Mapping[str, str]:
        """Return the e-mail addresses of requesters, 100 per call."""
        return self._people.addresses(requester_ids)

    def activity(self, watched: Sequence[Watched]) -> Iterator[Activity]:
        """Yield the watched tickets that changed: one call per 100 watched, and one for each that changed."""
        if watched:
            yield from Watch(self._tools, self._tickets, self.directory()).changes(watched)

    def requests(self) -> Sequence[str]:
        """Return the ids of tickets with the tag `sr_request` that are not closed, in one search."""
        return self._tickets.with_tag(REQUEST_TAG)

    def asking(self, *, fresh: bool = False) -> Asking:
        """Tell how customers can be asked again, from memory for a day unless *fresh*."""
        return self._asker.asking(fresh)

    def language(self, ticket: Ticket) -> str | None:
        """Return the requester's language; it came with the ticket."""
        return ticket.requester.language if ticket.requester else None

    def asked_since(self, ticket_id: str, since: datetime) -> datetime | None:
        """Return when a new survey was offered on this ticket at or after *since*; legacy ratings do not tell."""
        return self._asker.asked_since(ticket_id, since)

    def survey_link(self, ticket: Ticket, language: str | None = None) -> str:
        """Offer the new survey to the requester and return its link, a secret. Raises Refused with the reason."""
        return self._asker.survey_link(ticket, language)

    def past_holder(self, ticket_id: str, at: datetime) -> str | None:
        """Return who held, or last answered, the ticket at that moment, from its audits."""
        return self._tickets.past_holder(ticket_id, at, self.directory())

    def directory(self, *, fresh: bool = False) -> Directory:
        """Return the people and groups, from memory unless too old or *fresh* is asked for."""
        return self._people.directory(fresh)

    def write(self, writes: Sequence[Write]) -> Iterator[News]:
        """Carry out writes: one ticket by itself, more in jobs of a hundred, each question alone in two updates."""
        self._tickets.forget()
        return self._writes.write(writes)

    def follow(self, job: str, writes: Sequence[Write]) -> Iterator[News]:
        """Read the result of a job that took a batch earlier."""
        return self._writes.follow(job, writes)

    def marks(self, ticket: Ticket) -> Marks:
        """Look for what our writes left on a ticket, in its audits; in its comments where we may not read those."""
        return self._marks.on(ticket)

    def continuations(self, effect: Effect, ticket: Ticket) -> Sequence[str]:  # noqa: ARG002
        """Return the ids of the follow-up tickets that this effect made, by their external id; one call."""
        return [str(row["id"]) for row in made_by(self._tools.http, effect.marker)]

    def link(self, ticket_id: str) -> str:
        """Return the address of the ticket for a member of staff."""
        return f"{self._config.url.rstrip('/')}/agent/tickets/{ticket_id}"

    def doctor(self) -> Iterator[Finding]:
        """Look at credentials, surveys, automations and whatever could refuse or repeat our writes."""
        from connectors.zendesk.doctor import Doctor, examine
        from connectors.zendesk.doctor_webhook import WebhookLooks

        webhook = WebhookLooks(self._tools, each_of(self._config.webhook_secret))
        doctor = Doctor(self._tools, self._csat, self._people, self._asker, webhook)
        return examine(doctor, signs_with_token=not self._config.client_id)

    def setup(self, *, dry_run: bool = False, remove: bool = False) -> Iterator[SetupStep]:
        """Tell which tags we use, and install (or remove) what mails a second question and what tells us of ratings.

        Zendesk knows a tag from its first use: none is created or removed.
        """
        from connectors.zendesk.setup import Setup
        from connectors.zendesk.setup_webhook import WebhookSetup

        for tag, purpose in TAGS.items():
            yield SetupStep(f"tag {tag}: {purpose}", "stays on tickets" if remove else "in use")
        setup = Setup(self._tools, self._csat, self._asker, dry_run=dry_run)
        yield from setup.remove() if remove else setup.install()
        webhook = WebhookSetup(self._tools, dry_run=dry_run)
        yield from webhook.remove() if remove else webhook.install()
