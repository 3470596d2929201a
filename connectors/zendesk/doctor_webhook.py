"""Zendesk: what `doctor` looks at about the webhook that tells us of ratings, up to a test that Zendesk sends.

Source: as webhook.py. UNVERIFIED, and met here alone: the words for what became of a delivery (those that somebody saw
count), and that a test is signed with the webhook's own secret.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from bridge.connector import WEBHOOK_SECRET, Finding, Level, Tools
from bridge.errors import CredentialsRefused, NotFound, Refused, Unreachable
from connectors.zendesk.pages import PAGE_SIZE, record, rows
from connectors.zendesk.webhook import TITLE, WEBHOOKS, WHERE, Record, amiss, in_words, ours, signing_secret

RUN_SETUP = "run recovery-bridge setup"
POLLED = "ratings are found by polling alone"
NAMED = f"webhook {TITLE!r}"
RECENT = timedelta(days=1)
ARRIVED = "success"
UNSENT = {  # what Zendesk may do with a delivery by itself
    "throttled": "nothing, polls find what is left out; fewer other webhooks, or another plan, send more of them",
    "circuit broken": "see the log of serve: too much of what Zendesk sent was refused, and it stopped for a moment",
}
REFUSED = frozenset({"terminated", "failed", "timeout", "client error", "server error"})
SEE_LOG = "see the log of serve and of the proxy before it; polls find what is left out"
HARMLESS = '{"recovery_bridge": "doctor"}'  # names no ticket: our service answers, and nothing comes of it
ANSWERS = {
    401: "our service does not know the secret: does serve use the same state directory, or the same environment?",
    404: "something else answers there: let the proxy hand /hooks/ on to serve",
    413: "the proxy, or serve, lets no body of that size through",
}


class WebhookLooks:
    """The looks at the webhook of one account. *given*: the secrets that its environment names."""

    def __init__(self, tools: Tools, given: Collection[str]) -> None:
        self._tools = tools
        self._http = tools.http
        self._given = given

    def look(self) -> Iterator[Finding]:
        """Say whether ratings are told at once, and what stands in the way."""
        try:
            there = ours(self._http)
        except (NotFound, CredentialsRefused) as exc:
            if exc.status == 401 or (exc.status == 403 and self._tools.hooks_at):
                raise
            there = []
        url = self._tools.hooks_at
        if url is None:
            yield from _left_over(there)
        elif not there:
            yield Finding(Level.WARNING, f"no webhook tells us of ratings: {POLLED}", RUN_SETUP)
        elif len(there) > 1:
            what = f"there are {len(there)} webhooks {TITLE!r}: each rating is told as often"
            yield Finding(Level.WARNING, what, f"delete all but one under {WHERE}, and run recovery-bridge setup")
        elif wrong := amiss(there[0], url):
            what = f"{NAMED} {in_words(there[0], wrong)}: {POLLED}"
            yield Finding(Level.WARNING, what, RUN_SETUP)
        else:
            yield from self._at_work(str(there[0]["id"]), url)

    def _at_work(self, webhook_id: str, url: str) -> Iterator[Finding]:
        if not self._is_known(webhook_id):
            what = f"the secret of {NAMED} is not known here: all that it sends is refused, and {POLLED}"
            yield Finding(Level.WARNING, what, RUN_SETUP)
            return
        yield Finding(Level.OK, f"{NAMED} tells {url} of ratings, and its secret is known")
        yield from self._recent(webhook_id)
        yield from self._probe(webhook_id)

    def _is_known(self, webhook_id: str) -> bool:
        """True if what this webhook signs is believed; also where we may not read its secret but were given one."""
        known = {*self._given, self._tools.memory.recall_secret(WEBHOOK_SECRET)} - {None, ""}
        try:
            return signing_secret(self._http, webhook_id) in known
        except (Refused, CredentialsRefused):
            return bool(known)

    # -------------------------------------------------------------- deliveries
    def _recent(self, webhook_id: str) -> Iterator[Finding]:
        """Say what became of the deliveries of a day, as far as the newest page tells."""
        path = f"{WEBHOOKS}/{webhook_id}/invocations"
        params = {"sort": "-latest_completed_at", "page[size]": PAGE_SIZE}
        try:
            found = rows(self._http, path, record(self._http, path, self._http.read(path, params)), "invocations")
        except (Refused, CredentialsRefused):
            return
        recent = [one for one in found if _at(one) >= self._tools.now() - RECENT]
        became = Counter(_status(one) for one in recent)
        for status, count in became.items():
            if status in UNSENT or status in REFUSED:
                what = (
                    f"of {len(recent)} deliveries of the last day {count} ended as {status!r}{_codes(recent, status)}"
                )
                yield Finding(Level.WARNING, what, UNSENT.get(status, SEE_LOG))
        if became[ARRIVED]:
            yield Finding(Level.OK, f"of {len(recent)} deliveries of the last day {became[ARRIVED]} arrived")

    def _probe(self, webhook_id: str) -> Iterator[Finding]:
        """Let Zendesk call our service, and say what it was answered."""
        path, body = f"{WEBHOOKS}/test?webhook_id={webhook_id}", {"request": {"payload": HARMLESS}}
        try:
            answer = record(self._http, path, self._http.write("POST", path, body)).get("response") or {}
        except (Refused, CredentialsRefused, Unreachable) as no:
            yield Finding(Level.NOTE, f"Zendesk would not send a test: {no}", "nothing, if deliveries arrive")
            return
        status = answer.get("status") or 0
        if status == 200:
            yield Finding(Level.OK, "a test that Zendesk sent arrived: our service answered 200")
        else:
            todo = ANSWERS.get(status, "see that serve runs, and that the world reaches it through the proxy")
            what = f"a test that Zendesk sent did not arrive: it was answered {status}"
            yield Finding(Level.WARNING, what, f"{todo}; ignore this if deliveries of ratings arrive")


def _left_over(there: Sequence[Record]) -> Iterator[Finding]:
    if there:
        what = f"{NAMED} is left over from before: settings.served_at is not set"
        yield Finding(Level.WARNING, what, f"delete it under {WHERE}, or write served_at and run setup")


def _status(invocation: Any) -> str:
    return str(invocation.get("status")).lower().replace("_", " ")


def _codes(recent: Sequence[Any], status: str) -> str:
    """Return the answers that ended so, such as ` (401, 502)`."""
    codes = {str(one["status_code"]) for one in recent if _status(one) == status and one.get("status_code")}
    return f" ({', '.join(sorted(codes))})" if codes else ""


def _at(invocation: Any) -> datetime:
    """Return when a delivery ended; one that does not say ended a long time ago."""
    try:
        at = datetime.fromisoformat(str(invocation.get("latest_completed_at")))
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return at if at.tzinfo else at.replace(tzinfo=UTC)
