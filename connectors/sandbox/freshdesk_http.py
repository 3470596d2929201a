"""Freshdesk stand-in: error bodies, paging, times and the rate limit of its HTTP API.

Shapes: developers.freshdesk.com/api (read 2026-11-21), sections Errors, Pagination and Rate Limit. The bodies of 404
and 429 are UNVERIFIED.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from werkzeug import Response

from connectors.sandbox.wsgi import Call, Refusal, answer

MAX_PER_PAGE = 100
WINDOW = timedelta(minutes=1)
# calls per minute of a plan -> how many of them may create, update or list tickets, or list contacts
SUB_LIMITS = {
    200: {"create": 80, "update": 80, "list": 20, "contacts": 20},
    400: {"create": 160, "update": 160, "list": 100, "contacts": 100},
    700: {"create": 280, "update": 280, "list": 200, "contacts": 200},
    1000: {"create": 400, "update": 400, "list": 300, "contacts": 300},
    2000: {"create": 800, "update": 800, "list": 400, "contacts": 400},
}


def z(moment: datetime | None) -> str | None:
    """Return a time as the API writes it: `2026-11-21T09:00:00Z`, or None."""
    return moment.astimezone(UTC).isoformat(timespec="seconds")[:19] + "Z" if moment else None


def invalid(field: str, message: str, code: str = "invalid_value") -> Refusal:
    """Return a 400 about one field."""
    error = {"field": field, "message": message, "code": code}
    return Refusal(400, {"description": "Validation failed", "errors": [error]})


def said(status: int, code: str, message: str) -> Refusal:
    """Return a refusal with Freshdesk's other body: a code and a message."""
    return Refusal(status, {"code": code, "message": message})


def missing_feature(name: str) -> Refusal:
    """Return the 403 of a plan that lacks something; the words were seen on a live account."""
    message = f"The {name} feature(s) is/are not supported in your plan. Please upgrade your account to use it."
    return said(403, "require_feature", message)


def not_found() -> Refusal:
    """Return a 404, which has no body."""
    return Refusal(404, None)


def no_such_path(call: Call, methods: Iterable[str]) -> Refusal:
    """Return what answers a path that does not exist (404) or a method that it does not have (405)."""
    allowed = sorted(set(methods) - {"HEAD", "OPTIONS"})
    if not allowed:
        return not_found()
    names = ", ".join(allowed)
    message = f"{call.method} method is not allowed. It should be one of these method(s): {names}"
    return Refusal(405, {"message": message}, {"Allow": names})


def moment(call: Call, name: str) -> datetime | None:
    """Read a time of the query; without a zone it is UTC. Raises a 400 for anything else."""
    text = call.args.get(name)
    return parse_moment(name, text) if text else None


def parse_moment(name: str, text: Any) -> datetime:
    """Read a time that a program sent. Raises a 400 that names the field."""
    try:
        found = datetime.fromisoformat(str(text).replace(" ", "+"))
    except ValueError:
        raise invalid(name, "It should be in the 'combined date and time ISO8601' format", "invalid_date") from None
    return found.replace(tzinfo=found.tzinfo or UTC)


def number(call: Call, name: str) -> int | None:
    """Read a positive number of the query, or None if it is not there. Raises a 400."""
    text = call.args.get(name)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise invalid(name, "It should be a Positive Integer", "datatype_mismatch")
    return int(text)


def window(call: Call) -> tuple[int, int]:
    """Return page and per_page of a list. Raises a 400 beyond 100 per page."""
    page, per_page = number(call, "page") or 1, number(call, "per_page") or 30
    if per_page > MAX_PER_PAGE:
        raise invalid("per_page", "It should be a Positive Integer less than or equal to 100")
    return page, per_page


def listed(call: Call, rows: Sequence[Any], has_more: bool) -> Response:
    """Return one page, with the Link header while there are more."""
    if not has_more:
        return answer(list(rows))
    page, _ = window(call)
    query = urlencode({**call.args.to_dict(), "page": page + 1})
    return answer(list(rows), headers={"Link": f'<{call.base_url}?{query}>; rel="next"'})


def body_of(call: Call) -> dict[str, Any]:
    """Return the JSON object that was sent. Raises 415 for other media types and 400 for other JSON."""
    if "json" not in (call.content_type or ""):
        message = f"Content-Type header is set to {call.content_type}. It should be set to application/json"
        raise said(415, "invalid_content_type", message)
    if not isinstance(call.sent, dict):
        raise said(400, "invalid_json", "Request body has invalid json format")
    return call.sent


def check_keys(body: dict[str, Any], known: Iterable[str]) -> None:
    """Refuse keys that the API does not have, all of them in one answer."""
    unknown = sorted(set(body) - set(known))
    if unknown:
        message, code = "Unexpected/invalid field in request", "invalid_field"
        errors = [{"field": key, "message": message, "code": code} for key in unknown]
        raise Refusal(400, {"description": "Validation failed", "errors": errors})


class Meter:
    """Counts credits in each minute of the desk's clock: all together, and calls that have a limit of their own."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.began_at = datetime.min.replace(tzinfo=UTC)
        self.used: dict[str, int] = {}

    @property
    def remaining(self) -> int:
        """Return the credits that are left in this minute."""
        return max(0, self.limit - self.used.get("all", 0))

    def admit(self, call: Call, now: datetime) -> int:
        """Count a call and return its price in credits. Raises the 429."""
        if not self.began_at <= now < self.began_at + WINDOW:
            self.began_at, self.used = now, {}
        price, kind = _price(call), _kind(call)
        if not self.limit:
            return price
        for name, amount, limit in (("all", price, self.limit), (kind, 1, self._sub_limit(kind))):
            if self.used.get(name, 0) + amount > limit:
                wait = int((self.began_at + WINDOW - now).total_seconds()) or 1
                body = {"code": "rate_limit_exceeded", "message": "You have exceeded the limit of requests per minute"}
                raise Refusal(429, body, {"Retry-After": str(wait)})
        for name, amount in (("all", price), (kind, 1)):
            self.used[name] = self.used.get(name, 0) + amount
        return price

    def _sub_limit(self, kind: str) -> int:
        return SUB_LIMITS.get(self.limit, {}).get(kind, self.limit)


def _price(call: Call) -> int:
    """Return what a call costs: includes cost 1 credit each on one ticket, 2 each on a list."""
    includes = len([name for name in call.args.get("include", "").split(",") if name])
    if call.path == "/api/v2/tickets":
        return 1 + 2 * includes
    return 1 + includes


def _kind(call: Call) -> str:
    if call.path == "/api/v2/tickets":
        return "create" if call.method == "POST" else "list"
    if call.method == "PUT" and re.fullmatch(r"/api/v2/tickets/\d+", call.path):
        return "update"
    return "contacts" if call.path == "/api/v2/contacts" else "other"
