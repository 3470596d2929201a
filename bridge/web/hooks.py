"""`POST /hooks/{account}`: a webhook is a hint that a ticket should be looked at now.

Verified by its connector (`connectors/NAME/hooks.py`), stored, then acknowledged; the ticket and its rating are read
through the API by the engine. Whoever is refused learns nothing, the log one line without what came.
"""

from __future__ import annotations

import importlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bridge import settings
from bridge.connector import WEBHOOK_SECRET, Secret, each_of
from bridge.errors import BridgeError, SettingsError
from bridge.rules import Rules
from bridge.web.counts import Counts
from bridge.web.keeping import Keeper

log = logging.getLogger(__name__)

DEEPEST = 20  # levels of JSON
LOOK_EVERY = timedelta(seconds=1)  # for secrets that came since, whoever knocks
STATUS = {  # by outcome; a stranger cannot tell why, nor which accounts there are
    "kept": 200, "known": 200, "no_ticket": 200,
    "unknown_account": 401, "unsigned": 401, "forged": 401, "stale": 401, "replayed": 401,
    "content_type": 415, "not_json": 400, "too_deep": 400, "not_stored": 503,
}  # fmt: skip
_KNOW_IT = "run recovery-bridge setup again, or look at {secret}"
SAID = {  # by outcome, what the log says; the others are said elsewhere, or need no word
    "no_ticket": "it names no ticket, as tests do; nothing is done",
    "unknown_account": "its address is of no account with a webhook secret; look where the helpdesk sends it",
    "unsigned": f"it brings no signature or secret; {_KNOW_IT}",
    "forged": f"its signature or secret is not a known one; {_KNOW_IT}",
    "stale": "it was signed too long ago, or in the future; set the clock of this machine",
    "replayed": "it was taken before; nothing is done again",
    "content_type": "its content type is not application/json; let the helpdesk send JSON",
    "not_json": "it is not JSON; let the helpdesk send what recovery-bridge setup says",
    "too_deep": "its JSON is nested too deeply; let the helpdesk send what recovery-bridge setup says",
}


class Vendor(Protocol):
    """What a helpdesk's `hooks` module offers; headers come by lower-case name."""

    SIGNS_ATTEMPTS: bool  # True if each attempt is signed anew, so that one seen before is a replay
    RIPENS_IN: timedelta  # how long to wait before the ticket is read

    def why_weak(self, secret: str) -> str | None:
        """Return why a secret must not be used."""

    def why_refused(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: datetime) -> str | None:
        """Return why a delivery is not believed: `unsigned`, `forged` or `stale`."""

    def delivery_key(self, headers: Mapping[str, str], body: bytes, now: datetime) -> str:
        """Return what a delivery is known by."""

    def ticket_of(self, payload: Any) -> str | None:
        """Return the ticket that a delivery is about."""


@dataclass(frozen=True)
class Door:
    """How the webhooks of one account are verified. Several secrets are active while one takes another's place."""

    vendor: Vendor
    secrets: Sequence[str]


def doors_of(rules: Rules, env: settings.Environment) -> dict[str, Door]:
    """Return the accounts that take webhooks: those with a secret whose helpdesk sends any.

    BRIDGE_<ACCOUNT>_WEBHOOK_SECRET holds one secret, or several between commas or on lines of their own; the one that
    `setup` keeps is as good as those. Raises SettingsError for one that must not be used.
    """
    folder, doors = settings.state_path(env), {}
    for name, account in rules.accounts.items():
        vendor = _vendor(account.connector)
        if vendor is None:
            continue
        given = each_of(settings.secret(env, name, WEBHOOK_SECRET))
        for one in given:
            if why := vendor.why_weak(one):
                raise SettingsError(f"{settings.variable(name, WEBHOOK_SECRET)}: cannot be used: {why}")
        kept = settings.read_private(settings.remembered(folder, name, WEBHOOK_SECRET))
        if active := tuple(dict.fromkeys([*given, *each_of(Secret(kept or ""))])):
            doors[name] = Door(vendor, active)
    return doors


def _vendor(connector: str) -> Vendor | None:
    name = f"connectors.{connector}.hooks"
    try:
        module: Any = importlib.import_module(name)
    except ModuleNotFoundError as exc:
        if exc.name not in (name, f"connectors.{connector}"):
            raise
        return None
    vendor: Vendor = module
    return vendor


class Hooks:
    """Takes webhooks in. *doors* may be replaced while it works, and are looked for again by *find*."""

    def __init__(
        self,
        doors: Mapping[str, Door],
        keeper: Keeper,
        counts: Counts,
        now: Callable[[], datetime],
        find: Callable[[], Mapping[str, Door]] | None = None,
    ) -> None:
        self.doors = doors
        self.find = find
        self._keeper, self._counts, self._now = keeper, counts, now
        self._looked_at = datetime.min.replace(tzinfo=UTC)

    def routes(self) -> list[Route]:
        """Return where webhooks come in."""
        return [Route("/hooks/{account}", self.receive, methods=["POST"])]

    async def receive(self, request: Request) -> Response:
        """Answer one delivery: 200 once it is stored, 503 if it cannot be, 4xx for whatever is not a genuine one."""
        account = request.path_params["account"]
        outcome = await self._take(request, account, self.doors.get(account))
        if outcome in ("unknown_account", "forged") and self._found_others():
            outcome = await self._take(request, account, self.doors.get(account))
        known = {"account": account} if account in self.doors else {}
        self._counts.add("webhooks_total", outcome=outcome, **known)
        status = STATUS[outcome]
        if outcome in SAID and not request.scope.get("refused_often"):
            level = logging.INFO if status == 200 else logging.WARNING
            why = SAID[outcome].format(secret=settings.variable(account, WEBHOOK_SECRET)) if known else SAID[outcome]
            log.log(level, "webhook answered %d: %s", status, why, extra=known)
        return Response(status_code=status, headers={"Retry-After": "30"} if status == 503 else None)

    def _found_others(self) -> bool:
        """Look whether `setup` has kept another secret since, so that nobody need start this anew."""
        now = self._now()
        if self.find is None or now - self._looked_at < LOOK_EVERY:
            return False
        self._looked_at, before = now, self.doors
        try:
            self.doors = self.find()
        except BridgeError as exc:
            log.error("%s", exc)
        return self.doors != before

    async def _take(self, request: Request, account: str, door: Door | None) -> str:
        """Verify, store, and return the outcome."""
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return "content_type"
        if door is None:
            return "unknown_account"
        body, now = await request.body(), self._now()
        if why := door.vendor.why_refused(request.headers, body, door.secrets, now):
            return why
        try:
            ticket_id = door.vendor.ticket_of(_parsed(body))
        except _Unusable as exc:
            return str(exc)
        if ticket_id is None:
            return "no_ticket"  # a test, or an event of something else: genuine, so the vendor need not try again
        key = door.vendor.delivery_key(request.headers, body, now)
        return await self._keep(account, key, ticket_id, door.vendor)

    async def _keep(self, account: str, key: str, ticket_id: str, vendor: Vendor) -> str:
        try:
            is_new = await self._keeper.keep(account, key, ticket_id, vendor.RIPENS_IN)
        except BridgeError as exc:
            log.error("a webhook could not be stored: %s", exc, extra={"account": account})
            return "not_stored"
        if is_new:
            return "kept"
        return "replayed" if vendor.SIGNS_ATTEMPTS else "known"


class _Unusable(Exception):
    """A body that is not JSON as we take it; the message is the outcome."""


def _parsed(body: bytes) -> Any:
    """Return the JSON value. Raises _Unusable."""
    try:
        payload = json.loads(body)
    except RecursionError:
        raise _Unusable("too_deep") from None
    except ValueError:
        raise _Unusable("not_json") from None
    if not _is_flat(payload):
        raise _Unusable("too_deep")
    return payload


def _is_flat(value: Any) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return True
    return False
