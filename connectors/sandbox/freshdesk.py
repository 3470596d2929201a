"""Freshdesk stand-in: what people do in one account, and what the account does by itself.

What Freshdesk does with a ticket follows developers.freshdesk.com/api and records of a live account (both as of
2026-11-21). Where neither says, the stand-in takes the answer that is worse for a program that writes to tickets, and
an attribute of the desk switches it. The HTTP API is in freshdesk_api.py.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from werkzeug import Response
from werkzeug.routing import Rule as UrlRule

from connectors.sandbox import freshdesk_api, freshdesk_rules, freshdesk_search
from connectors.sandbox.courier import Webhook
from connectors.sandbox.freshdesk_answers import Answers
from connectors.sandbox.freshdesk_records import (
    BY_AGENT,
    BY_CUSTOMER,
    CHANNELS,
    CLOSED,
    EMAIL,
    IS_NOTE,
    LEDGER_WORDS,
    NOTE,
    ON_CREATION,
    ON_UPDATE,
    OUTBOUND,
    PENDING,
    REPLY,
    RESOLVED,
    Agent,
    Answer,
    Company,
    Contact,
    Conversation,
    Field,
    Group,
    Job,
    Rule,
    Ticket,
    html_of,
    in_api_words,
    ledger_value,
)
from connectors.sandbox.world import Entry, Mail, World
from connectors.sandbox.wsgi import Api, Call, Refusal, locked

NOTIFICATIONS = frozenset(
    {"request_received", "reply", "solved", "survey", "closed", "rule", "question", "assigned", "comment", "note"}
)
TRIES_AGAIN = tuple(timedelta(minutes=minutes) for minutes in (5, 30, 60))  # webhooks that were not taken
FIRST_ID = 67_000_000_000  # ids of people, groups and answers do not fit into 32 bits
Who = tuple[str, int]  # the actor of the ledger, and the id of the user who does it


class FreshdeskDesk(Api):
    """One Freshdesk account.

    *csat*: "classic_codes" (2A, signed codes on a scale of *points* 2, 3, 5 or 7), "classic_123" (2A, 3 is unhappy),
    "new" (2B, 1 to *points*), "none". Ids in people's verbs are strings, in the attributes numbers as in the API.
    """

    # set these on a desk; all but the first and the last are UNVERIFIED on a live account
    key_is_admin = True
    checks_membership = True  # a responder outside the group that is sent along is refused
    strict_form = False  # any PUT is refused while a required field is empty
    lists_deactivated = True
    reopening_clears_resolved_at = True
    newest_rating_first = True
    created_after = "honoured"  # by the newer CSAT API; or "ignored" or "refused"
    asks_on_solve = True  # a survey of its own whenever a ticket is resolved
    rules_clear_fields = True  # an empty value of a rule's action empties a custom field
    ratings_visible_after = timedelta()  # how late a rating shows up in the list
    search_lag = timedelta()  # how far the search index is behind

    def __init__(
        self,
        world: World,
        name: str = "shop",
        *,
        api_key: str = "sandbox-key",
        csat: str = "classic_codes",
        points: int = 3,
        rate_limit: int = 700,  # credits per minute; 0 is no limit
        archive_after: timedelta = timedelta(days=120),
    ) -> None:
        super().__init__(world, name)
        self.api_key = api_key
        self.csat = csat
        self.points = points
        self.rate_limit = rate_limit
        self.archive_after = archive_after
        self.notifications: set[str] = set(NOTIFICATIONS)
        self.missing_features: set[str] = set()  # of: availability, archive, automations
        self.agents: dict[int, Agent] = {}
        self.groups: dict[int, Group] = {}
        self.contacts: dict[int, Contact] = {}
        self.companies: dict[int, Company] = {}
        self.products: dict[int, str] = {}
        self.tickets: dict[int, Ticket] = {}
        self.answered = Answers(self)
        self.fields: dict[int, Field] = {}
        self.required_for_agents: set[str] = set()  # names of fields: ticket_type, cf_...
        self.required_for_closure: set[str] = set()
        self.rules: dict[int, Rule] = {}
        self.jobs: dict[str, Job] = {}
        self._unsent: list[tuple[datetime, int, Webhook]] = []  # when to try again, which time that is, what
        self._last_id = FIRST_ID
        self.indexed: dict[int, dict[str, Any]] = {}  # tickets as search sees them, while it lags
        self._to_index: deque[tuple[datetime, dict[str, Any]]] = deque()
        self._hourly = freshdesk_rules.Hourly(self)
        self._acting = ""  # whose act lets rules run now
        self._moment: datetime | None = None  # of an hourly rule that runs within a longer step
        self.opened_at = self.now()
        self.survey_id = self.next_id()
        freshdesk_rules.install_defaults(self)
        self.api_agent = int(self.add_agent("Recovery Bridge", f"bridge@{name}.example", role="Administrator"))
        self._endpoints = freshdesk_api.Endpoints(self)

    # -------------------------------------------------------------- HTTP
    def routes(self) -> Iterable[UrlRule]:
        """Return the rules of the API."""
        return self._endpoints.routes()

    def admit(self, call: Call) -> None:
        """Check key, media types and the rate limit."""
        self._endpoints.admit(call)

    def finish(self, call: Call, response: Response) -> None:
        """Add the rate headers."""
        self._endpoints.finish(call, response)

    def refuse_path(self, call: Call, methods: Iterable[str]) -> Refusal:
        """Return a 404 without a body, or the 405 that names the methods."""
        return freshdesk_api.no_such_path(call, methods)

    # -------------------------------------------------------------- who is here
    def now(self) -> datetime:
        """Return the present in whole seconds, as the API tells time."""
        return (self._moment or self.world.clock.now()).replace(microsecond=0)

    def next_id(self) -> int:
        """Return an id that was never used."""
        self._last_id += 1
        return self._last_id

    @locked
    def add_group(self, /, name: str, **details: Any) -> str:
        """Add a group of agents; details: escalate_to, unassigned_for."""
        group = Group(self.next_id(), name, self.now(), **details)
        self.groups[group.id] = group
        return str(group.id)

    @locked
    def add_agent(self, /, name: str, email: str, groups: Iterable[str] = (), **details: Any) -> str:
        """Add an agent; details: role, type, occasional, ticket_scope, time_zone, language, available."""
        now = self.now()
        agent = Agent(self.next_id(), name, email, now, now, now, {int(group) for group in groups}, **details)
        self.agents[agent.id] = agent
        return str(agent.id)

    @locked
    def add_customer(self, /, name: str, email: str, **details: Any) -> str:
        """Add a customer; details: tags, language, organization (the name of a company)."""
        company = details.pop("organization", None)
        contact = Contact(self.next_id(), name, email, self.now(), self.now(), **details)
        contact.tags = list(contact.tags)
        contact.company_id = self._company(company) if company else None
        self.contacts[contact.id] = contact
        return str(contact.id)

    def _company(self, name: str) -> int:
        for company in self.companies.values():
            if company.name == name:
                return company.id
        company = Company(self.next_id(), name, self.now())
        self.companies[company.id] = company
        return company.id

    @locked
    def remove_agent(self, agent_id: str) -> None:
        """The agent leaves and becomes a contact; every ticket of theirs is unassigned."""
        agent = self.agents.pop(int(agent_id))
        self.contacts[agent.id] = Contact(agent.id, agent.name, agent.email, agent.created_at, self.now())
        for ticket in self._tickets_of(agent.id):
            self.change(ticket, ("system", 0), {"responder_id": None})

    @locked
    def deactivate_agent(self, agent_id: str) -> None:
        """The agent keeps the account but cannot log in; tickets that are still being worked on are unassigned."""
        agent = self.agents[int(agent_id)]
        agent.deactivated, agent.updated_at = True, self.now()
        for ticket in self._tickets_of(agent.id):
            if ticket.status not in (RESOLVED, CLOSED):
                self.change(ticket, ("system", 0), {"responder_id": None})

    @locked
    def set_presence(self, agent_id: str, available: bool, since: datetime | None = None) -> None:
        """An agent comes or goes, as the availability endpoint tells it."""
        agent = self.agents[int(agent_id)]
        agent.available, agent.presence_at = available, since or self.now()

    def _tickets_of(self, agent_id: int) -> list[Ticket]:
        return [ticket for ticket in self.tickets.values() if ticket.responder_id == agent_id and not ticket.archived]

    def address(self, user_id: int | None) -> str:
        """Return the address of an agent or contact; empty for anyone else."""
        person = self.agents.get(user_id or 0) or self.contacts.get(user_id or 0)
        return person.email if person else ""

    # -------------------------------------------------------------- tickets, by people
    @locked
    def open_ticket(self, /, customer_id: str, subject: str, text: str, **details: Any) -> str:
        """A customer asks; details: channel, group, assignee, tags, priority, brand, type, custom_fields.

        With `by` (an agent's id) an agent opens it for the customer, who gets no mail about it then.
        """
        by = details.pop("by", None)
        requester = int(customer_id)
        if "brand" in details:
            details["product"] = self.product(details.pop("brand"))
        source = CHANNELS[details.pop("channel", "email")]
        changes = in_api_words(details)
        ticket = self.create_ticket(
            self._person(by or customer_id),
            {"requester_id": requester, "subject": subject, "description": html_of(text), "source": source} | changes,
            mails_customer=by is None,
        )
        return str(ticket.id)

    @locked
    def assign(self, ticket_id: str, agent_id: str | None, by: str) -> None:
        """A person gives the ticket to an agent, and to a group of that agent if the present one is not."""
        ticket = self._ticket(ticket_id)
        changes: dict[str, Any] = {"responder_id": int(agent_id) if agent_id else None}
        groups = self.agents[int(agent_id)].group_ids if agent_id else set()
        if groups and ticket.group_id not in groups:
            changes["group_id"] = min(groups)
        self.change(ticket, self._person(by), changes)

    @locked
    def edit(self, /, ticket_id: str, by: str, **changes: Any) -> None:
        """A person changes tags, priority, status, group, type, subject, brand or custom_fields."""
        if "brand" in changes:
            changes["product"] = self.product(changes.pop("brand"))
        self.change(self._ticket(ticket_id), self._person(by), in_api_words(changes))

    @locked
    def reply(self, ticket_id: str, agent_id: str, text: str) -> None:
        """An agent writes to the customer."""
        self.add_reply(self._ticket(ticket_id), self._person(agent_id), html_of(text))

    @locked
    def private_note(self, ticket_id: str, agent_id: str, text: str) -> None:
        """An agent writes a note that only agents see."""
        self.add_note(self._ticket(ticket_id), self._person(agent_id), html_of(text), private=True)

    @locked
    def customer_replies(self, ticket_id: str, text: str) -> None:
        """The customer writes: a resolved or closed ticket opens again, an archived one stays and a new one begins."""
        ticket = self.tickets[int(ticket_id)]
        if ticket.merged_into:
            ticket = self.tickets[ticket.merged_into]
        if ticket.archived:
            self.open_ticket(str(ticket.requester_id), ticket.subject, text)
            return
        who = self._person(str(ticket.requester_id))
        self.talk(ticket, who[1], html_of(text), REPLY, BY_CUSTOMER, incoming=True)
        ticket.stats["requester_responded_at"] = self.now()
        self.note_down(ticket, who[0], "public_comment", None, text)
        self.mail(self.address(ticket.responder_id), "comment", ticket, text, by=who[0])
        self.after_event(ticket, who, {"reply_sent": ("", "sent")})

    @locked
    def solve(self, ticket_id: str, agent_id: str) -> None:
        """An agent resolves the ticket."""
        self.change(self._ticket(ticket_id), self._person(agent_id), {"status": RESOLVED})

    @locked
    def rate(
        self,
        ticket_id: str,
        category: str,
        comment: str | None = None,
        reason: str | None = None,
        *,
        value: int | None = None,
    ) -> str:
        """The customer rates the ticket bad, neutral or good; *value* is an exact code of the account's scale.

        With 2A a second rating stands beside the first; with 2B it changes the first, unless a survey was sent since.
        """
        ticket = self.tickets[int(ticket_id)]
        if self.csat == "none":
            raise Refusal(403, {"code": "require_feature", "message": "this account has no surveys"})
        code = self.code(category) if value is None else value
        survey = self.answered.newest(ticket)
        return str(self.answered.record(ticket, code, comment, reason=reason, survey=survey).id)

    @locked
    def answer(self, link: str, category: str, comment: str | None = None, reason: str | None = None) -> str:
        """The customer opens the link of a survey and answers; raises Refusal for links that do not work (any more)."""
        survey = self.answered.sent(link)
        ticket = self.tickets[survey.ticket_id]
        code = self.code(category)
        return str(self.answered.record(ticket, code, comment, reason=reason, survey=survey).id)

    @locked
    def merge(self, source_id: str, target_id: str, by: str) -> None:
        """An agent merges one ticket into another: the first is closed with a note."""
        self.merge_tickets(self._ticket(target_id), [self._ticket(source_id)], self._person(by))

    @locked
    def delete(self, ticket_id: str, by: str) -> None:
        """An agent moves the ticket to the trash."""
        ticket = self._ticket(ticket_id)
        ticket.deleted, ticket.updated_at = True, self.now()
        self.note_down(ticket, self._person(by)[0], "deleted")

    @locked
    def mark_spam(self, ticket_id: str, by: str) -> None:
        """An agent marks the ticket as spam."""
        ticket = self._ticket(ticket_id)
        ticket.spam, ticket.updated_at = True, self.now()
        self.note_down(ticket, self._person(by)[0], "spam")

    def _ticket(self, ticket_id: str) -> Ticket:
        """Return a ticket that can still be worked on. Raises Refusal."""
        ticket = self.tickets.get(int(ticket_id))
        if ticket is None or ticket.archived:
            raise Refusal(404, None)
        if ticket.is_refused:
            raise Refusal(405, {"code": "method_not_allowed", "message": "the ticket is spam or deleted"})
        return ticket

    def _person(self, person_id: str) -> Who:
        return person_id, int(person_id) if person_id.isdigit() else 0

    def product(self, name: str) -> int:
        """Return the id of a product (Freshdesk's brand), which is added if it is new."""
        known = next((product for product, found in self.products.items() if found == name), None)
        if known is None:
            known = self.next_id()
            self.products[known] = name
        return known

    # -------------------------------------------------------------- what every change goes through
    def create_ticket(self, who: Who, fields: Mapping[str, Any], *, mails_customer: bool) -> Ticket:
        """Open a ticket with checked fields of the API."""
        now, requester = self.now(), fields["requester_id"]
        contact = self.contacts.get(requester)
        settled = {name: fields.get(name, default) for name, default in (("source", EMAIL), ("description", ""))}
        ticket = Ticket(len(self.tickets) + 1, requester, fields.get("subject", ""), **settled, created_at=now,
                        updated_at=now, company_id=contact.company_id if contact else None)  # fmt: skip
        ticket.due_by, ticket.fr_due_by = now + timedelta(days=3), now + timedelta(days=1)
        ticket.stats["status_updated_at"] = now
        self.tickets[ticket.id] = ticket
        self.note_down(ticket, who[0], "created")
        if mails_customer and ticket.source != OUTBOUND:
            self.mail(self.address(requester), "request_received", ticket, by=who[0])
        rest = {name: value for name, value in fields.items() if name not in ("requester_id", "source", "description")}
        self._apply(ticket, who, rest)
        self._acting = who[0]
        freshdesk_rules.run(self, ON_CREATION, ticket)
        self._acting = ""
        self._index(ticket)
        return ticket

    def change(self, ticket: Ticket, who: Who, changes: Mapping[str, Any], silent: Iterable[str] = ()) -> None:
        """Change fields of a ticket, named as in the API, and let mails (not of *silent* kinds) and rules follow."""
        events = self._apply(ticket, who, changes, silent)
        if events:
            self.after_event(ticket, who, events)

    def _apply(
        self, ticket: Ticket, who: Who, changes: Mapping[str, Any], silent: Iterable[str] = ()
    ) -> dict[str, tuple[Any, Any]]:
        """Set the fields and return those that did change: {name: (before, after)}."""
        changes = dict(changes)
        own = {f"custom_fields.{name}": value for name, value in changes.pop("custom_fields", {}).items()}
        events: dict[str, tuple[Any, Any]] = {}
        for name, value in (changes | own).items():
            custom = name.removeprefix("custom_fields.") if name in own else None
            before = ticket.custom_fields.get(custom) if custom else getattr(ticket, name)
            if before == value:
                continue
            if custom:
                ticket.custom_fields[custom] = value
            else:
                setattr(ticket, name, value)
            events[custom or name] = (before, value)
            self.note_down(ticket, who[0], custom or name, before, value)
        if events:
            ticket.updated_at = self.now()
        if "status" in events:
            self._keep_stats(ticket, events["status"][0])
        self._tell_people(ticket, who, events, silent)
        return events

    def _keep_stats(self, ticket: Ticket, before: int) -> None:
        now, stats = self.now(), ticket.stats
        stats["status_updated_at"] = now
        stats["pending_since"] = now if ticket.status == PENDING else None
        if ticket.status in (RESOLVED, CLOSED):
            stats["resolved_at"] = now if before not in (RESOLVED, CLOSED) else stats["resolved_at"] or now
            stats["closed_at"] = now if ticket.status == CLOSED else None
        elif before in (RESOLVED, CLOSED):
            stats["reopened_at"], stats["closed_at"] = now, None
            if self.reopening_clears_resolved_at:
                stats["resolved_at"] = None

    def _tell_people(
        self, ticket: Ticket, who: Who, events: Mapping[str, tuple[Any, Any]], silent: Iterable[str]
    ) -> None:
        kinds = []
        if "status" in events and ticket.status == RESOLVED:
            kinds = ["solved"] + (["survey"] if self.csat != "none" and self.asks_on_solve else [])
        if "status" in events and ticket.status == CLOSED and not who[0].startswith("rule:"):
            kinds = ["closed"]
        for kind in kinds:
            if kind not in silent:
                text = self.answered.send(ticket) if kind in self.notifications & {"survey"} else ""
                self.mail(self.address(ticket.requester_id), kind, ticket, text, by=who[0])
        if "responder_id" in events and ticket.responder_id not in (None, who[1]):
            self.mail(self.address(ticket.responder_id), "assigned", ticket, by=who[0])

    def after_event(self, ticket: Ticket, who: Who, events: Mapping[str, tuple[Any, Any]]) -> None:
        """Bump the ticket and run the update rules; what rules change starts no further rules."""
        ticket.updated_at = self.now()
        if agent := self.agents.get(who[1]):
            agent.last_active_at = self.now()
        if not (who[0].startswith("rule:") or ticket.archived or ticket.is_refused):
            performer = 1 if who[1] in self.agents else 2 if who[1] in self.contacts else 4
            self._acting = who[0]
            freshdesk_rules.run(self, ON_UPDATE, ticket, events, performer)
            self._acting = ""
        self._index(ticket)

    def _index(self, ticket: Ticket) -> None:
        if self.search_lag:
            self._to_index.append((self.now(), freshdesk_search.facts_of(ticket)))

    def searchable(self) -> Iterator[freshdesk_search.Facts]:
        """Yield what the search index knows about tickets: of those that are there, as they were some time ago."""
        while self._to_index and self._to_index[0][0] <= self.now() - self.search_lag:
            facts = self._to_index.popleft()[1]
            self.indexed[facts["id"]] = facts
        for ticket in self.tickets.values():
            if ticket.archived or ticket.spam or ticket.deleted:
                continue
            if not self.search_lag:
                yield freshdesk_search.TicketFacts(ticket)
            elif ticket.id in self.indexed:
                yield self.indexed[ticket.id]

    def talk(
        self, ticket: Ticket, author: int, body: str, source: int, category: int, *,
        incoming: bool = False, private: bool = False, to: Sequence[str] = (),
    ) -> Conversation:  # fmt: skip
        """Add one thing that was said to a ticket."""
        now = self.now()
        said = Conversation(
            self.next_id(), ticket.id, author, body, source, category, incoming, private, now, now, list(to)
        )
        ticket.conversations.append(said)
        return said

    def add_reply(self, ticket: Ticket, who: Who, body: str, author: int | None = None) -> Conversation:
        """Send a reply of an agent to the customer."""
        address, now = self.address(ticket.requester_id), self.now()
        said = self.talk(ticket, author or who[1], body, REPLY, BY_AGENT, to=[address])
        if ticket.source != OUTBOUND:  # observed on a live account: outbound tickets do not count replies
            ticket.stats["agent_responded_at"] = now
            ticket.stats["first_responded_at"] = ticket.stats["first_responded_at"] or now
        self.note_down(ticket, who[0], "public_comment", None, body)
        self.mail(address, "reply", ticket, body, by=who[0])
        self.after_event(ticket, who, {"reply_sent": ("", "sent")})
        return said

    def add_note(
        self, ticket: Ticket, who: Who, body: str, *,
        private: bool, incoming: bool = False, author: int | None = None, notify: Iterable[str] = (),
    ) -> Conversation:  # fmt: skip
        """Write a note; a public one is mailed to the customer, a private one to nobody but *notify*."""
        said = self.talk(ticket, author or who[1], body, NOTE, IS_NOTE, incoming=incoming, private=private)
        said.to_emails = list(notify)
        self.note_down(ticket, who[0], "private_note" if private else "public_comment", None, body)
        for address in notify:
            self.mail(address, "note", ticket, body, by=who[0])
        if not private and not incoming:
            self.mail(self.address(ticket.requester_id), "reply", ticket, body, by=who[0])
        self.after_event(ticket, who, {"note_type": ("", "private" if private else "public")})
        return said

    def merge_tickets(self, primary: Ticket, secondary: Iterable[Ticket], who: Who, notes: Sequence[str] = ()) -> None:
        """Close tickets with a note in favour of *primary*, which gets a note too."""
        in_primary, in_secondary = notes or ("", "")
        for ticket in secondary:
            ticket.merged_into = primary.id
            words = in_secondary or f"<div>This ticket is closed and merged into ticket {primary.id}</div>"
            self.add_note(ticket, who, words, private=True)
            self.change(ticket, who, {"status": CLOSED}, silent=["closed"])
            self.note_down(ticket, who[0], "merged", None, str(primary.id))
            words = in_primary or f"<div>Ticket {ticket.id} is merged into this ticket</div>"
            self.add_note(primary, who, words, private=True)

    def mail(self, to: str, kind: str, ticket: Ticket, text: str = "", *, by: str, subject: str = "") -> None:
        """Send a mail, because of what *by* did, unless its notification is switched off or nobody would get it."""
        if not to or kind not in self.notifications:
            return
        rule = by.removeprefix("rule:") if by.startswith("rule:") else ""
        contact = self.contacts.get(ticket.requester_id)
        mail = Mail(
            self.now(), self.name, to, kind, str(ticket.id), subject or ticket.subject, text, rule=rule,
            actor=self._acting or ("system" if rule else by), to_customer=contact is not None and contact.email == to,
        )  # fmt: skip
        self.world.mails.append(mail)

    def note_down(self, ticket: Ticket, actor: str, what: str, before: Any = None, after: Any = None) -> None:
        """Write a line of the ledger in the words of both helpdesks."""
        before, after = (ledger_value(what, value) for value in (before, after))
        entry = Entry(self.now(), self.name, actor, LEDGER_WORDS.get(what, what), str(ticket.id), before, after)
        self.world.ledger.append(entry)

    # -------------------------------------------------------------- answers to surveys
    def scale(self) -> tuple[int, ...]:
        """Return the codes of the account's survey, worst first."""
        return self.answered.scale()

    def code(self, category: str) -> int:
        """Return the most extreme code for bad, neutral or good. Raises ValueError where a scale has none."""
        return self.answered.code(category)

    @property
    def answers(self) -> list[Answer]:
        """All answers, in the order of created_at."""
        return self.answered.all

    @property
    def answers_of(self) -> dict[int, list[Answer]]:
        """The answers by ticket."""
        return self.answered.of

    @locked
    def add_ratings_in_bulk(
        self, n: int, *, tickets: int | None = None, bad: float = 0.1, within: timedelta = timedelta(days=90)
    ) -> list[str]:
        """Add *n* ratings of the past, the share *bad* of them bad, on that many resolved tickets (n if not said).

        For benchmarks: no mails, no ledger, no conversations. Returns the ids of the tickets.
        """
        return self.answered.add_in_bulk(n, tickets, bad, within)

    # -------------------------------------------------------------- webhooks
    def deliver_with_retries(self, webhook: Webhook, failed: int = 0) -> None:
        """Send a webhook; one that is not taken is sent again, three times at most."""
        taken = 200 <= self.deliver(webhook) < 300
        if not taken and failed < len(TRIES_AGAIN):
            self._unsent.append((webhook.at + TRIES_AGAIN[failed], failed + 1, webhook))

    def _send_again(self, until: datetime) -> None:
        due = sorted((one for one in self._unsent if one[0] <= until), key=lambda one: one[0])
        self._unsent = [one for one in self._unsent if one[0] > until]
        for at, failed, webhook in due:
            self.deliver_with_retries(replace(webhook, at=at), failed)

    # -------------------------------------------------------------- time
    @locked
    def pass_time(self, step: timedelta) -> None:
        """Run the hourly rules at each full hour within *step*, and archive what has been closed for long enough."""
        end = self.world.clock.now()
        self._send_again(end)
        hour = (end - step).astimezone(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        if hour > end:
            return
        while hour <= end:
            self._moment = hour
            self._hourly.run(hour)
            hour += timedelta(hours=1)
        self._moment = None
        for ticket in self.tickets.values():
            if ticket.status != CLOSED or ticket.archived or ticket.deleted:
                continue
            if end - ticket.updated_at >= self.archive_after:
                ticket.archived = True
                self.note_down(ticket, "system", "archived")
