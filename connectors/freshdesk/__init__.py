"""Freshdesk: satisfaction ratings, tickets and people, over API v2.

Source: developers.freshdesk.com/api (read 2026-11-21). What no source confirms is marked UNVERIFIED where it is used.
The key belongs to an agent with the role Administrator and global ticket scope; `doctor` says what it lacks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from bridge.connector import Asking, Finding, Marks, Secret, SetupStep, Tools, each_of
from bridge.errors import Refused, SettingsError
from bridge.http import check_url
from bridge.model import Activity, Directory, Effect, News, Rating, RatingPage, Ticket, Watched, Write
from connectors.freshdesk.api import Api
from connectors.freshdesk.csat import Csat
from connectors.freshdesk.people import People
from connectors.freshdesk.tickets import Tickets

if TYPE_CHECKING:
    from connectors.freshdesk.writes import Writer


@dataclass(frozen=True)
class Config:
    """One Freshdesk account. *out_of_office* are the agent statuses, as the API names them, that mean absence."""

    account: str
    url: str
    api_key: Secret | None = None
    webhook_secret: Secret | None = None
    out_of_office: tuple[str, ...] = ()


class Freshdesk:
    """One account of Freshdesk, behind the contract of `bridge.connector.Connector`."""

    conditional_writes = False  # no If-Match, no stamp: the last write wins

    def __init__(self, config: Config, api: Api, tools: Tools) -> None:
        self.account = config.account
        self.url = tools.http.base_url
        self._api = api
        self._tools = tools
        self._hook_secrets = each_of(config.webhook_secret)
        self._csat = Csat(api, tools)
        self._people = People(api, tools, config.out_of_office)
        self._tickets = Tickets(api, tools, self._people.brands)

    def new_ratings(self, cursor: str | None) -> Iterator[RatingPage]:
        """Read the ratings created since the last finished walk, with an overlap; the first time of 28 days."""
        return self._csat.new_ratings(cursor)

    def past_ratings(self, since: datetime, cursor: str | None = None) -> Iterator[RatingPage]:
        """Read the ratings created at or after *since*, of every survey that was ever sent."""
        return self._csat.past_ratings(since, cursor)

    def ratings_of(self, ticket_id: str, rating_id: str | None = None) -> Sequence[Rating]:
        """Read the ratings of one ticket, or that one rating, as they are now."""
        return self._csat.ratings_of(ticket_id, rating_id)

    def tickets(self, ticket_ids: Sequence[str]) -> Mapping[str, Ticket]:
        """Read tickets with their requesters, one call each."""
        return {ticket_id: self._tickets.read(ticket_id) for ticket_id in ticket_ids}

    def addresses(self, requester_ids: Sequence[str]) -> Mapping[str, str]:
        """Return the e-mail addresses of requesters, one call each: Freshdesk shows no list of chosen contacts."""
        rows = {key: self._api.read_if_offered(f"contacts/{key}") or {} for key in requester_ids}
        return {key: str(row["email"]) for key, row in rows.items() if row.get("email")}

    def activity(self, watched: Sequence[Watched]) -> Iterator[Activity]:
        """Yield the watched tickets that changed: one walk through all that changed since the oldest reading.

        Costs one call per 100 tickets of that walk and one or two for each watched one that changed. The requester
        comes without name and address. A deleted ticket, spam and an archived one are in no list: they are absent here,
        and noticed when they are read singly.
        """
        from connectors.freshdesk.activity import Changes

        return Changes(self._api, self._tools.memory, self._tickets).of(watched)

    def requests(self) -> Sequence[str]:
        """Return the ids of the tickets, but closed ones, that carry the tag `sr_request`: one call per 30 of them."""
        return self._tickets.requested()

    def asking(self, *, fresh: bool = False) -> Asking:
        """Tell which rules of ours are there to ask customers again, from memory for a day; else two calls."""
        from connectors.freshdesk.asking import asking

        return asking(self._api, self._tools.memory, fresh=fresh)

    def language(self, ticket: Ticket) -> str | None:
        """Return the requester's language; one call a day for each, unless the rules ask for it anyway."""
        if ticket.requester is None or ticket.requester.language:
            return ticket.requester.language if ticket.requester else None
        return self._tickets.customers.language(ticket.requester.requester_id)

    def asked_since(self, ticket_id: str, since: datetime) -> datetime | None:  # noqa: ARG002
        """Return None: Freshdesk shows answers to surveys, never that one was sent."""
        return None

    def survey_link(self, ticket: Ticket, language: str | None = None) -> str:  # noqa: ARG002
        """Refuse: Freshdesk makes no links to its survey, it only sends it."""
        raise Refused(f"{self.account}: Freshdesk makes no link to its survey; a rule has to send it", status=405)

    def past_holder(self, ticket_id: str, at: datetime) -> str | None:
        """Return who last answered the customer before *at*: Freshdesk shows no history of responders."""
        return self._tickets.last_answered_by(ticket_id, at)

    def directory(self, *, fresh: bool = False) -> Directory:
        """Return the people and groups of the account, from memory unless too old or *fresh* is asked for."""
        return self._people.directory(fresh=fresh)

    def write(self, writes: Sequence[Write]) -> Iterator[News]:
        """Carry out writes one after the other: one PUT with the fields and the marker, then the private note.

        A question goes with the PUT. Solving again costs two PUTs, each after a GET, and one call more if the ticket
        changed between them; a new ticket that carries a question costs a GET and a PUT more.
        """
        return self._writer().write(writes)

    def follow(self, job: str, writes: Sequence[Write]) -> Iterator[News]:
        """Say UNKNOWN for every write: this connector starts no jobs."""
        return self._writer().follow(job, writes)

    def marks(self, ticket: Ticket) -> Marks:
        """Look for what our writes left on a ticket, in its conversations."""
        from connectors.freshdesk.marks import marks_on

        return marks_on(self._api, ticket)

    def continuations(self, effect: Effect, ticket: Ticket) -> Sequence[str]:
        """Return the ids of the new tickets of the last 30 days that this effect made and wrote to last."""
        return list(self._writer().made_by(effect, ticket))

    def link(self, ticket_id: str) -> str:
        """Return the address of the ticket for a member of staff."""
        return f"{self.url}/a/tickets/{ticket_id}"

    def doctor(self) -> Iterator[Finding]:
        """Look at the key, its scope, surveys, limits, fields, rules and ways to ask again, presence and the clock."""
        from connectors.freshdesk.doctor import examine

        return examine(self._api, self._tools, self._csat, self._people, self._hook_secrets)

    def setup(self, *, dry_run: bool = False, remove: bool = False) -> Iterator[SetupStep]:
        """Create or remove the field of our marker, what asks customers again (a field and two rules), and a secret.

        The rule that tells us of ratings is made by hand, and removed by us.
        """
        from connectors.freshdesk import webhook
        from connectors.freshdesk.asking import set_up

        yield from set_up(self._api, self._tools.memory, self._tools.needs, dry_run=dry_run, remove=remove)
        if remove:
            yield from webhook.remove(self._api, self._tools, dry_run=dry_run)
        else:
            yield from webhook.set_up(self._api, self._tools, self._hook_secrets, dry_run=dry_run)

    def _writer(self) -> Writer:
        from connectors.freshdesk.writes import Writer

        return Writer(self._api, self._tools, self._tickets)


def connect(config: Config, tools: Tools) -> Freshdesk:
    """Return the connector of one account; makes no call.

    Raises SettingsError for an unsafe url or a missing API key.
    """
    check_url(config.account, config.url, ".freshdesk.com")
    if config.api_key is None:
        name = re.sub(r"[^A-Z0-9]", "_", f"bridge_{config.account}_api_key".upper())
        raise SettingsError(
            f"{config.account}: no API key; set {name} to the key of an administrator (Profile settings > API key)"
        )
    return Freshdesk(config, Api(config.account, tools.http, config.api_key), tools)
