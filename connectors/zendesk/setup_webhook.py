"""Zendesk: installing the webhook that tells us of ratings, keeping its secret, and taking both away again."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.connector import WEBHOOK_SECRET, SetupStep, Tools
from bridge.errors import CredentialsRefused, NotFound, Refused
from connectors.zendesk.hooks import why_weak
from connectors.zendesk.webhook import TITLE, WEBHOOKS, WHERE, Record, amiss, by_hand, ours, signing_secret, webhook

WHAT = f"webhook {TITLE}"
SECRET = f"secret of {WHAT}: kept here, so that nobody need copy it"
NAMED = "the variable of this account that ends in _WEBHOOK_SECRET"


class WebhookSetup:
    """The webhook of ours in one account."""

    def __init__(self, tools: Tools, *, dry_run: bool) -> None:
        self._http = tools.http
        self._memory = tools.memory
        self._hooks_at = tools.hooks_at
        self._dry_run = dry_run

    # -------------------------------------------------------------- installing
    def install(self) -> Iterator[SetupStep]:
        """Create or mend the webhook, and remember its secret; without an address of ours there is nothing to do."""
        if not self._hooks_at:
            return
        try:
            there = ours(self._http)
            if len(there) > 1:
                yield _twice(there)
                return
            step, webhook_id = self._webhook(there, self._hooks_at)
        except (Refused, CredentialsRefused) as no:
            yield _by_hand(no, f"{WHAT} ({no}; {by_hand(self._hooks_at)})")
            return
        yield step
        yield self._secret(webhook_id) if webhook_id else SetupStep(SECRET, "missing")

    def _webhook(self, there: list[Record], url: str) -> tuple[SetupStep, str | None]:
        what = f"{WHAT}: tells {url} of ratings"
        if not there:
            if self._dry_run:
                return SetupStep(what, "missing"), None
            made = self._http.write("POST", WEBHOOKS, {"webhook": webhook(url)})
            return SetupStep(what, "created"), str(made["webhook"]["id"])
        webhook_id, wrong = str(there[0]["id"]), amiss(there[0], url)
        if wrong and not self._dry_run:
            self._http.write("PATCH", f"{WEBHOOKS}/{webhook_id}", {"webhook": wrong})
        state = "present" if not wrong else "differs" if self._dry_run else "changed"
        return SetupStep(what, state), webhook_id

    def _secret(self, webhook_id: str) -> SetupStep:
        try:
            secret = signing_secret(self._http, webhook_id)
        except (Refused, CredentialsRefused) as no:
            return _by_hand(no, f"{SECRET} ({no}; copy it from {WHERE} > Reveal secret into {NAMED})")
        if not secret or why_weak(secret):
            return SetupStep(
                f"{SECRET} (it cannot be read; copy it from {WHERE} > Reveal secret into {NAMED})", "by hand"
            )
        known = self._memory.recall_secret(WEBHOOK_SECRET)
        if known == secret:
            return SetupStep(SECRET, "present")
        if self._dry_run:
            return SetupStep(SECRET, "differs" if known else "missing")
        self._memory.remember_secret(WEBHOOK_SECRET, secret)
        return SetupStep(SECRET, "changed" if known else "created")

    # -------------------------------------------------------------- removing
    def remove(self) -> Iterator[SetupStep]:
        """Take away the webhook and forget its secret."""
        known = self._memory.recall_secret(WEBHOOK_SECRET)
        try:
            there = ours(self._http)
        except (NotFound, CredentialsRefused) as exc:
            if exc.status == 401:
                raise
            there = []
        if len(there) > 1:
            yield _twice(there)
            return
        if there or known or self._hooks_at:
            yield SetupStep(WHAT, self._removed(there, known))

    def _removed(self, there: list[Record], known: str | None) -> str:
        if not there and not known:
            return "absent"
        if self._dry_run:
            return "present"
        for one in there:
            self._http.write("DELETE", f"{WEBHOOKS}/{one['id']}", None)
        self._memory.forget_secret(WEBHOOK_SECRET)
        return "removed"


def _twice(there: list[Record]) -> SetupStep:
    todo = f"delete all but one under {WHERE} and run setup again; nothing was done"
    return SetupStep(f"{WHAT}: there are {len(there)} with this name; {todo}", "stopped")


def _by_hand(no: Refused | CredentialsRefused, what: str) -> SetupStep:
    """Return the step that is left to people. Raises *no* if nobody let us in at all."""
    if no.status == 401:
        raise no
    return SetupStep(what, "by hand")
