"""Zendesk: how a customer can be asked again, whether Zendesk asked by itself, and the link of its own survey.

Source: api-reference/ticketing/ticket-management/csat_survey_responses and the OpenAPI file (automations, account
settings), read 2026-11-21. A new survey is a link that we bring; a legacy rating is asked for by a trigger.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from bridge.connector import Asking, Tools
from bridge.errors import CredentialsRefused, NotFound, Refused, Unreachable
from bridge.http import BridgeSession
from bridge.model import Ticket
from connectors.zendesk.activity import rows_since
from connectors.zendesk.csat import RESPONSES, Csat
from connectors.zendesk.pages import PAGED, allowed, read_all, record
from connectors.zendesk.people import BRAND_HOSTS
from connectors.zendesk.question import MAIL_TITLE, RATE_TITLE, Installed, Record, installed
from connectors.zendesk.tickets import TICKETS

AUTOMATIONS = "/api/v2/automations"
SETTINGS = "/api/v2/account/settings"
DEFAULT_LOCALE = "en-us"
CLOSED_BY_DEFAULT = 96  # hours: the automation of a new account, assumed where we may not read it
REMEMBERED = timedelta(days=1)
_ASKING = "asking"  # name in the account's memory
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_REASONS = {
    404: "the survey or the ticket is not there any more",
    409: "the survey is switched off",
    422: "it takes no offer for this ticket; perhaps it was offered before",  # a second offer is UNVERIFIED
}
_NOT_ALLOWED = "our user may not read triggers and ticket fields (403); give it the role of an admin"

Found = TypeVar("Found")


class Asker:
    """The ways in which one account can ask a customer again."""

    def __init__(self, tools: Tools, csat: Csat) -> None:
        self._tools = tools
        self._http = tools.http
        self._memory = tools.memory
        self._csat = csat

    def asking(self, fresh: bool) -> Asking:
        """Return how the account can ask, from memory for a day unless *fresh*."""
        found = self._remembered(fresh)
        hours = found["closes_after"]
        closes_after = timedelta(hours=hours) if hours is not None else None
        return Asking(found["own"], found["mail"], found["is_link"], found["overwrites"], closes_after)

    def field_id(self) -> str | None:
        """Return the id of the field that carries a question; None if there is none."""
        found: str | None = self._remembered(fresh=False)["field"]
        return found

    def forget(self) -> None:
        """Look anew next time."""
        self._memory.remember(_ASKING, None)

    def _remembered(self, fresh: bool) -> dict[str, Any]:
        found = None if fresh else self._memory.recall(_ASKING, REMEMBERED)
        if found is None:
            found = self._look(fresh)
            self._memory.remember(_ASKING, found)
        return dict(found)

    def _look(self, fresh: bool) -> dict[str, Any]:
        there = allowed(lambda: installed(self._http))
        is_new = self._csat.uses_surveys(fresh=fresh)
        return {
            "own": "" if is_new else self._why_no_rating(there),
            "mail": there.why_not(MAIL_TITLE) if there else _NOT_ALLOWED,
            "is_link": is_new,
            "overwrites": not is_new,
            "closes_after": self._hours_to_close(),
            "field": there.field_id if there else None,
        }

    def _why_no_rating(self, there: Installed | None) -> str:
        if not self._tools.needs.rerating:
            return "a second rating would overwrite the first; settings.allow_rerating in rules.yaml permits it"
        if features(self._http).get("customer_satisfaction") is False:
            return "customer satisfaction is switched off in this account, or not in its plan; use our own question"
        return there.why_not(RATE_TITLE) if there else _NOT_ALLOWED

    def _hours_to_close(self) -> int | None:
        found = allowed(lambda: list(read_all(self._http, AUTOMATIONS, "automations")))
        if found is None:
            return CLOSED_BY_DEFAULT
        hours = [hours for rule in found if not spares_ours(rule) for hours in hours_until_closed(rule)]
        return min(hours, default=None)

    # -------------------------------------------------------------- what Zendesk offered, and offers
    def asked_since(self, ticket_id: str, since: datetime) -> datetime | None:
        """Return when a survey or legacy rating was first offered on this ticket, at or after *since*."""
        if not self._csat.uses_surveys():
            return self._rating_asked_since(ticket_id, since)
        start = int(since.timestamp() * 1000)
        params = {**PAGED, "filter[subject_zrns]": f"zen:ticket:{ticket_id}", "filter[created_at_start]": start}
        offers = list(read_all(self._http, RESPONSES, "survey_responses", params))
        now = self._http.helpdesk_time or self._tools.now()
        return min((offered_at(str(row.get("id")), since, now) for row in offers), default=None)

    def _rating_asked_since(self, ticket_id: str, since: datetime) -> datetime | None:
        """Return when a legacy rating was offered, as an automation of the account does on a follow-up ticket.

        None without the global scope `read`, which audits need. UNVERIFIED how audits name it: as conditions do.
        """
        audits = allowed(lambda: list(rows_since(self._http, f"{TICKETS}/{ticket_id}/audits", "audits", since)))
        offers = (audit for audit in audits or () if any(map(_offers_rating, audit.get("events") or ())))
        return min((datetime.fromisoformat(audit["created_at"]) for audit in offers), default=None)

    def survey_link(self, ticket: Ticket, language: str | None) -> str:
        """Offer the new survey to the requester and return its address. Raises Refused with the reason."""
        survey_id = self._csat.survey_id()
        if survey_id is None:
            raise self._no_link(ticket, 404, "this account has no survey that is switched on")
        if ticket.requester is None:
            raise self._no_link(ticket, 422, "the ticket has no requester")
        wish = {
            "survey_id": survey_id,
            "responder_id": _number(ticket.requester.requester_id),
            "subject_zrns": [f"zen:ticket:{ticket.ticket_id}"],
        }
        wanted = (language or DEFAULT_LOCALE).lower().replace("_", "-")
        for locale in dict.fromkeys((wanted, DEFAULT_LOCALE)):
            try:
                return self._offer(ticket, {**wish, "locale": locale})
            except CredentialsRefused as exc:
                if exc.status != 403:
                    raise
                raise self._no_link(
                    ticket, 403, "our user may not offer surveys; it needs the role of an admin"
                ) from None
            except Refused as exc:
                no = exc  # perhaps it is not translated; what was refused was not made
                if no.status not in (400, 404, 422):
                    break
        if no.status == 409:
            self.forget()
        raise self._no_link(ticket, no.status, _REASONS.get(no.status, "Zendesk refused it")) from None

    def _offer(self, ticket: Ticket, wish: Record) -> str:
        answer = self._http.write("POST", RESPONSES, {"survey_response": wish})
        response = answer.get("survey_response") if isinstance(answer, Mapping) else None
        links = response.get("links") if isinstance(response, Mapping) else None
        path = links.get("url_path") if isinstance(links, Mapping) else None
        if not isinstance(path, str) or not path.startswith("/"):
            raise Unreachable(f"{self._http.account}: POST {RESPONSES}: the answer has no 'url_path'")
        hosts = self._memory.recall(BRAND_HOSTS) or {}
        return f"{hosts.get(ticket.brand) or self._http.base_url}{path}"

    def _no_link(self, ticket: Ticket, status: int, why: str) -> Refused:
        where = f"{self._http.account}: ticket {ticket.ticket_id}: Zendesk's own survey cannot be offered"
        return Refused(f"{where}: {why} ({status})", status=status)


def features(session: BridgeSession) -> Record:
    """Return which features the account has switched on, as far as it tells; which flag means what is UNVERIFIED."""
    try:
        body = allowed(lambda: session.read(SETTINGS))
    except NotFound:
        return {}
    found = record(session, SETTINGS, body).get("settings") if body else None
    active = found.get("active_features") if isinstance(found, Mapping) else None
    return active if isinstance(active, Mapping) else {}


# ------------------------------------------------------------------ automations
def hours_until_closed(automation: Record) -> list[int]:
    """Return the hours since solved after which an active automation closes a ticket; empty if it does not."""
    closes = any(a.get("field") == "status" and a.get("value") == "closed" for a in automation.get("actions") or ())
    if not automation.get("active") or not closes:
        return []
    return [int(c["value"]) for c in wanted(automation) if c.get("field") == "SOLVED" and str(c.get("value")).isdigit()]


def spares_ours(rule: Record) -> bool:
    """True if a rule leaves out tickets with one of the tags that all tickets of a recovery carry."""
    return any(
        c.get("field") == "current_tags" and c.get("operator") == "not_includes" and "sr_" in str(c.get("value"))
        for c in wanted(rule)
    )


def wanted(rule: Record) -> Iterator[Record]:
    """Yield the conditions that must all hold."""
    yield from (rule.get("conditions") or {}).get("all") or ()


def _offers_rating(event: Mapping[str, Any]) -> bool:
    return event.get("field_name") == "satisfaction_score" and event.get("value") == "offered"


def offered_at(response_id: str, since: datetime, now: datetime) -> datetime:
    """Return when a response was made, from the time in its id; *since* where that is not plausible.

    A ULID begins with 48 bits of milliseconds, ten characters in base 32. That Zendesk fills them so is UNVERIFIED.
    """
    letters = response_id.upper()
    if len(letters) != 26 or not set(letters) <= set(_CROCKFORD):
        return since
    milliseconds = 0
    for letter in letters[:10]:
        milliseconds = milliseconds * 32 + _CROCKFORD.index(letter)
    begins, ends = since.timestamp() * 1000, now.timestamp() * 1000
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if begins <= milliseconds <= ends else since


def _number(some_id: str) -> int | str:
    return int(some_id) if some_id.isdigit() else some_id
