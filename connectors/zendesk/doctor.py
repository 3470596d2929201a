"""Zendesk: what `doctor` looks at, with what to do about it. Reads only.

The account's own objects (automations, triggers, fields) come through zenpy, which reads every style of paging they
have; it is given our session, so that time limits, redirects and errors stay ours. It is imported only here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from bridge.connector import Asking, Finding, Level, Tools
from bridge.errors import CredentialsRefused, HelpdeskError, Unreachable
from bridge.http import LOOPBACK, BridgeSession
from connectors.zendesk.asking import Asker, features, hours_until_closed, spares_ours, wanted
from connectors.zendesk.auth import API_TOKENS_END
from connectors.zendesk.csat import RATINGS, RESPONSES, SURVEYS, Csat
from connectors.zendesk.doctor_webhook import WebhookLooks
from connectors.zendesk.pages import allowed
from connectors.zendesk.people import People
from connectors.zendesk.question import TEXT_FIELD, TITLES, installed

if TYPE_CHECKING:
    from zenpy import Zenpy

SKEW_WARN, SKEW_FAIL = 30, 300  # seconds
CLOSE_SOON = 24  # hours between solved and closed that leave a customer little time to rate
OWN_SURVEY_NEEDS = timedelta(hours=48)  # to the close; with less our own question is used
NEVER_SET = frozenset({"solved", "closed", "pending", "hold", "new"})  # statuses, by our ordinary updates
MAIL_TO_REQUESTER = ("requester_id", "requester_and_ccs")
Record = Mapping[str, Any]


def examine(doctor: Doctor, *, signs_with_token: bool) -> Iterator[Finding]:
    """Yield what is so and what to do; ends early if nobody lets us in."""
    try:
        yield from doctor.user()
    except CredentialsRefused as exc:
        yield Finding(Level.FAIL, str(exc), "check the client id and secret (or e-mail and API token) of this account")
        return
    except HelpdeskError as exc:
        yield Finding(Level.FAIL, str(exc), "check the url of this account and the network")
        return
    yield from doctor.token(signs_with_token)
    looks = (
        (doctor.ratings, "satisfaction ratings"), (doctor.plan, "the rate limit"), (doctor.clock, "the clock"),
        (doctor.closing, "automations"), (doctor.required_fields, "ticket fields"), (doctor.triggers, "triggers"),
        (doctor.audits, "audits"), (doctor.presence, "agent availability"),
        (doctor.ways_to_ask, "the ways to ask again"), (doctor.others_who_ask, "what else asks customers"),
        (doctor.webhook.look, "webhooks"),  # the last: their own limits are lower
    )  # fmt: skip
    for look, what in looks:
        try:
            yield from look()
        except HelpdeskError as exc:
            yield Finding(Level.WARNING, f"could not look at {what}: {exc}", "give our user the role of an admin")


class Doctor:
    """The looks at one account, each a generator of findings."""

    def __init__(self, tools: Tools, csat: Csat, people: People, asker: Asker, webhook: WebhookLooks) -> None:
        self.webhook = webhook
        self._tools = tools
        self._http = tools.http
        self._csat = csat
        self._people = people
        self._asker = asker
        self._user_id = ""

    def user(self) -> Iterator[Finding]:
        """Who we are: ratings, surveys and exports are for admins."""
        with zenpy_on(self._http) as zenpy:
            me = _plain(self._http, zenpy.users.me)
        self._user_id = str(me.get("id") or "")
        if not self._user_id:
            yield Finding(Level.FAIL, "Zendesk takes us for a visitor", "check the credentials of this account")
        elif me.get("role") == "admin":
            yield Finding(Level.OK, f"we are {me.get('name')}, an admin")
        else:
            what = f"we are {me.get('name')}, role {me.get('role')}; ratings and exports are for admins"
            yield Finding(Level.FAIL, what, "make a dedicated user for the bridge and give it the role of an admin")

    def token(self, signs_with_token: bool) -> Iterator[Finding]:
        """How we sign: API tokens stop working on a known day."""
        if not signs_with_token:
            yield Finding(Level.OK, "signs in with OAuth client credentials")
            yield from self._scopes()
            return
        days = (API_TOKENS_END - self._tools.now().date()).days
        what = f"signs in with an API token; Zendesk ends these on {API_TOKENS_END} ({max(days, 0)} days from now)"
        todo = "create a confidential OAuth client in Admin Center and set its CLIENT_ID and CLIENT_SECRET instead"
        yield Finding(Level.WARNING if days > 0 else Level.FAIL, what, todo)

    def _scopes(self) -> Iterator[Finding]:
        try:
            answer = self._http.read("/api/v2/oauth/tokens/current")
        except HelpdeskError:
            return  # not every account lets a token look at itself; the looks below find what it may not do
        token = answer.get("token") if isinstance(answer, Mapping) else None
        scopes = token.get("scopes") if isinstance(token, Mapping) else None
        missing = [scope for scope in ("read", "write") if isinstance(scopes, list) and scope not in scopes]
        if missing:
            what = f"our token has no scope {' and '.join(missing)}"
            yield Finding(Level.FAIL, what, "allow the OAuth client the scopes read and write")

    def ratings(self) -> Iterator[Finding]:
        """Which CSAT the account uses, its scale, and whether we may read it."""
        surveys = self._csat.uses_surveys()
        if surveys:
            self._http.read(RESPONSES, {"page[size]": 1})
            scales = sorted({len(steps) for steps in self._csat.scales().values()})
            points = " or ".join(map(str, scales)) or "an unknown number of"
            yield Finding(Level.OK, f"uses the new CSAT surveys, {points} points")
            return
        yield from self._survey_permission()
        if features(self._http).get("customer_satisfaction") is False:
            what = (
                "customer satisfaction is switched off in this account, or not in its plan: there is nothing to act on"
            )
            yield Finding(
                Level.WARNING, what, "switch it on in Admin Center (Suite Growth or Support Professional and up)"
            )
            return
        self._http.read(RATINGS, {"page[size]": 1})
        yield Finding(Level.OK, "uses legacy satisfaction ratings: good and bad")

    def _survey_permission(self) -> Iterator[Finding]:
        try:
            self._http.read(SURVEYS, {"filter[types]": "CUSTOMER_SATISFACTION"})
        except CredentialsRefused:
            what = "we may not see whether the account uses the new CSAT surveys, and take it for legacy"
            yield Finding(Level.WARNING, what, "give our user the role of an admin, and our client the scope read")
        except HelpdeskError:
            return

    def plan(self) -> Iterator[Finding]:
        """How many calls the account's plan allows, and our share."""
        budget = self._http.budget
        yield Finding(Level.OK, f"{budget.limit} calls per minute, of which we use at most {budget.share:.0%}")

    def clock(self) -> Iterator[Finding]:
        """How far our clock is from Zendesk's."""
        if self._http.helpdesk_time is None:
            return
        seconds = abs((self._http.helpdesk_time - self._tools.now()).total_seconds())
        level = Level.FAIL if seconds > SKEW_FAIL else Level.WARNING if seconds > SKEW_WARN else Level.OK
        todo = "" if level is Level.OK else "let this machine keep its time by NTP"
        yield Finding(level, f"our clock and Zendesk's differ by {seconds:.0f} s", todo)

    def closing(self) -> Iterator[Finding]:
        """After how many hours solved tickets close: from then on only a follow-up ticket is possible."""
        with zenpy_on(self._http) as zenpy:
            found = [hours for rule in _listed(self._http, zenpy.automations) for hours in hours_until_closed(rule)]
        if not found:
            todo = "nothing, if tickets are closed in some other way; a closed ticket gets a follow-up ticket"
            yield Finding(Level.NOTE, "no active automation closes solved tickets; Zendesk does after 28 days", todo)
            return
        hours = min(found)
        what = f"solved tickets close after {hours} h; customers cannot rate a closed ticket"
        if hours < CLOSE_SOON:
            yield Finding(Level.WARNING, what, "let the automation wait for four days, or customers cannot answer")
        else:
            yield Finding(Level.OK, what)

    def required_fields(self) -> Iterator[Finding]:
        """Which fields Zendesk wants before it lets a ticket be solved."""
        with zenpy_on(self._http) as zenpy:
            fields = _listed(self._http, zenpy.ticket_fields)
        needed = [str(field.get("title")) for field in fields if is_required(field)]
        if needed:
            ours = "solve one only again, for its survey" if self._tools.needs.surveys else "never solve one"
            what = f"agents must fill {', '.join(needed)} before they solve a ticket; our writes {ours}"
            yield Finding(Level.NOTE, what, "nothing; if a write is refused, `retry --list` names the field")
        else:
            yield Finding(Level.OK, "no field is required that could refuse our writes")

    def triggers(self) -> Iterator[Finding]:
        """Which triggers would write to the customer because of our update."""
        with zenpy_on(self._http) as zenpy:
            rules = [rule for rule in _listed(self._http, zenpy.triggers) if rule.get("title") not in TITLES]
        found = [rule for rule in rules if mails_requester(rule, self._user_id)]
        for rule in found:
            what = f"trigger {rule.get('title')!r} mails the requester, and a write of ours could set it off"
            todo = "add the condition: Tags contain none of sr_flagged, or: Current user is not our user"
            yield Finding(Level.WARNING, what, todo)
        if not found:
            yield Finding(Level.OK, "no active trigger mails the requester because of a write of ours")
        if self._tools.needs.surveys:
            yield from self._mails_on_solve([rule for rule in rules if rule not in found])

    def _mails_on_solve(self, rules: Iterable[Record]) -> Iterator[Finding]:
        for rule in rules:
            if mails_requester(rule, self._user_id, NEVER_SET - {"solved"}):
                what = f"trigger {rule.get('title')!r} mails the requester when we solve a ticket again for its survey"
                todo = "add the condition: Tags contain none of sr_surveyed, or write `reopen: never` into the survey"
                yield Finding(Level.NOTE, what, todo)

    def audits(self) -> Iterator[Finding]:
        """Whether we may read who held a ticket in the past."""
        try:
            self._http.read("/api/v2/ticket_audits", {"limit": 1})
        except CredentialsRefused:
            todo = "allow the OAuth client the whole scope read"
            yield Finding(Level.WARNING, "we may not read ticket audits, which name earlier assignees", todo)
        except HelpdeskError:
            return

    def presence(self) -> Iterator[Finding]:
        """Whether the account tells who is there."""
        if self._people.has_presence():
            yield Finding(Level.OK, "the account tells which agents are there")
        else:
            todo = "keep `away:` in rules.yaml, or use the Out of Office app"
            yield Finding(Level.NOTE, "the account does not tell which agents are there", todo)

    # -------------------------------------------------------------- asking again
    def ways_to_ask(self) -> Iterator[Finding]:
        """Whether the second question can reach a customer, and for how long it can be answered."""
        if not self._tools.needs.surveys:
            return
        asking = self._asker.asking(fresh=True)
        yield from self._own_survey(asking)
        yield from self._mail(asking)
        if asking.closes_after is not None and asking.closes_after < OWN_SURVEY_NEEDS:
            hours = asking.closes_after.total_seconds() / 3600
            what = f"solved tickets close after {hours:.0f} h: too soon for an answer to the helpdesk's own survey"
            yield Finding(Level.WARNING, what, "let that automation leave out tickets with the tag sr_flagged")
        there = allowed(lambda: installed(self._http))
        if there and any(field.get("visible_in_portal") for field in there.fields):
            what = f"end users can see the ticket field {TEXT_FIELD!r}, which may hold a link to a survey"
            yield Finding(Level.FAIL, what, "run recovery-bridge setup")

    def _own_survey(self, asking: Asking) -> Iterator[Finding]:
        if not asking.own:
            how = "a link to its new survey" if asking.is_link else "a second rating, which overwrites the first"
            yield Finding(Level.OK, f"customers can be asked again by {how}")
            return
        what, _, todo = asking.own.partition("; ")
        level = Level.WARNING if self._tools.needs.rerating else Level.NOTE
        yield Finding(level, f"customers cannot be asked again by a rating of Zendesk: {what}", todo)

    def _mail(self, asking: Asking) -> Iterator[Finding]:
        if not self._tools.needs.survey_mail:
            return
        what, _, todo = asking.mail.partition("; ")
        if not asking.mail:
            how = "a trigger of ours mails our question to the requester alone"
            what = f"{how}; agents can read its link in the history of the ticket"
            yield Finding(Level.NOTE, what, "nothing, or write `survey_mail: smtp` into the settings")
        elif asking.own or asking.is_link:
            yield Finding(Level.FAIL, f"no question can reach a customer: {what}", todo)
        else:
            yield Finding(Level.WARNING, f"our own question cannot reach a customer: {what}", todo)

    def others_who_ask(self) -> Iterator[Finding]:
        """Which rules of the account ask customers too, and whether both kinds of CSAT are in use."""
        if not self._tools.needs.surveys:
            return
        with zenpy_on(self._http) as zenpy:
            rules = [("automation", rule) for rule in _listed(self._http, zenpy.automations)]
            rules += [("trigger", rule) for rule in _listed(self._http, zenpy.triggers)]
        asking = [(kind, rule) for kind, rule in rules if asks_customer(rule) and rule.get("title") not in TITLES]
        for kind, rule in asking:
            if not spares_ours(rule):
                yield _asks_too(kind, rule)
        if self._csat.uses_surveys():
            yield from self._both_kinds([f"{kind} {rule.get('title')!r}" for kind, rule in asking if asks_legacy(rule)])

    def _both_kinds(self, legacy: list[str]) -> Iterator[Finding]:
        if features(self._http).get("customer_satisfaction") is True:
            legacy = ["the legacy satisfaction rating itself", *legacy]
        if legacy:
            what = f"the new CSAT survey is on, and so is {', '.join(legacy)}: customers may be asked twice"
            yield Finding(Level.WARNING, what, "switch the legacy rating and its rules off in Admin Center")


def _asks_too(kind: str, rule: Record) -> Finding:
    """Return the finding about a rule that asks customers; one that asks only who was never asked is harmless."""
    todo = "add the condition: Tags contain none of sr_surveyed"
    once = any(c.get("field") == "satisfaction_score" and c.get("value") == "unoffered" for c in wanted(rule))
    if once:
        what = (
            f"{kind} {rule.get('title')!r} asks who was not asked before; we take its question for ours if it is first"
        )
        return Finding(Level.NOTE, what, todo)
    return Finding(Level.WARNING, f"{kind} {rule.get('title')!r} may ask a customer whom we ask, too", todo)


# ------------------------------------------------------------------ what a rule does
def asks_customer(rule: Record) -> bool:
    """True if an active rule sends the account's own survey; the new one's placeholder is not published."""
    return bool(rule.get("active")) and any(
        action.get("field") == "satisfaction_score" or "{{satisfaction." in str(action.get("value"))
        for action in rule.get("actions") or ()
    )


def asks_legacy(rule: Record) -> bool:
    """True if a rule mails the legacy rating."""
    return any("{{satisfaction.rating_" in str(action.get("value")) for action in rule.get("actions") or ())


def is_required(field: Record) -> bool:
    """True if agents must fill a field of the account's own before they solve a ticket."""
    own = field.get("type") not in ("subject", "description", "status", "group", "assignee")
    return bool(own and field.get("active") and field.get("required"))


def mails_requester(trigger: Record, our_user_id: str, never: Collection[str] = NEVER_SET) -> bool:
    """True if an active trigger mails the requester, and none of its conditions keeps our update away from it.

    *never* are the statuses that no update of ours sets.
    """
    actions = (a for a in trigger.get("actions") or () if a.get("field") == "notification_user")
    mails = any(_first(action.get("value")) in MAIL_TO_REQUESTER for action in actions)
    return bool(trigger.get("active") and mails) and not any(
        _keeps_us_out(c, our_user_id, never) for c in wanted(trigger)
    )


def _keeps_us_out(condition: Record, our_user_id: str, never: Collection[str]) -> bool:
    """True for a condition that an update of ours never meets: it is no creation, its comment is private, it opens."""
    field, operator, value = condition.get("field"), condition.get("operator"), str(condition.get("value")).lower()
    if field == "update_type":
        return value == "create"
    if field == "comment_is_public":
        return value in ("true", "requester_can_see_comment")
    if field == "status":
        return operator in ("is", "changed", "value") and value in never
    if field == "current_tags":
        return operator == "not_includes" and "sr_" in value
    return field == "current_user_id" and operator == "is_not" and value == our_user_id


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else value


# ------------------------------------------------------------------ zenpy
@contextmanager
def zenpy_on(session: BridgeSession) -> Iterator[Zenpy]:
    """Give a Zenpy that sends through our session, signed by it, to this account's address."""
    from zenpy import Zenpy

    parts = urlsplit(session.base_url)
    subdomain, _, domain = (parts.hostname or "").partition(".")
    # anonymous: our session signs; no cache: it would never forget; no budget: our session raises at a 429 by itself
    options = {"session": session, "anonymous": True, "disable_cache": True, "ratelimit_budget": 0}
    zenpy = Zenpy(subdomain=subdomain, domain=domain or "zendesk.com", **options)
    if parts.hostname not in LOOPBACK:
        yield zenpy
        return
    # zenpy can be sent elsewhere only by these two variables, which it reads at each call
    here = {"ZENPY_FORCE_SCHEME": parts.scheme, "ZENPY_FORCE_NETLOC": parts.netloc}
    before = {name: os.environ.get(name) for name in here}
    os.environ.update(here)
    try:
        yield zenpy
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _plain(session: BridgeSession, call: Callable[[], Any]) -> Record:
    return _as_records(session, lambda: [call()])[0]


def _listed(session: BridgeSession, call: Callable[[], Any]) -> list[Record]:
    return _as_records(session, call)


def _as_records(session: BridgeSession, call: Callable[[], Any]) -> list[Record]:
    """Return what zenpy read as plain values. Raises Unreachable where it returns something else, as it may."""
    from zenpy.lib.exception import ZenpyException

    try:
        return [item.to_dict() for item in call()]
    except (ZenpyException, AttributeError, KeyError, TypeError, ValueError) as exc:
        what = f"an answer that zenpy cannot read ({type(exc).__name__})"
        raise Unreachable(f"{session.account}: {what}; is the url of this account right?") from exc
