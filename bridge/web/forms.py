"""What a form of ours sends: read within bounds, and whether it was a page of ours that sent it."""

from __future__ import annotations

import asyncio
import hmac
import re
from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import URL
from starlette.requests import ClientDisconnect, Request

from bridge.web.visitors import Visitor

BODY_MAX = 24 * 1024  # bytes: 2,000 characters of Japanese are 18,000 in a form
BODY_WITHIN = 10  # seconds
FIELDS_MAX = 10
FORM = "application/x-www-form-urlencoded"
LOCAL = re.compile(r"/(?![/\\])[!-\[\]-~]{0,500}")  # no backslash, space or control character, nothing but ASCII


class UnreadableForm(Exception):
    """What was sent is not our form."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


async def body_of(request: Request) -> bytes:
    """Return the body of our form. Raises UnreadableForm if it is another thing, too large or too slow."""
    if request.headers.get("content-type", "").partition(";")[0].strip().casefold() != FORM:
        raise UnreadableForm(415)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_WITHIN):
            async for chunk in request.stream():
                body += chunk
                if len(body) > BODY_MAX:
                    raise UnreadableForm(413)
    except (TimeoutError, ClientDisconnect) as exc:
        raise UnreadableForm(408) from exc
    return bytes(body)


def fields_of(body: bytes) -> Mapping[str, str]:
    """Return what was filled in, by field; of several values the last. Raises UnreadableForm for too many fields."""
    try:
        found = parse_qs(body.decode("utf-8", "replace"), errors="replace", max_num_fields=FIELDS_MAX)
    except ValueError as exc:
        raise UnreadableForm(422) from exc
    return {name: values[-1] for name, values in found.items()}


# ------------------------------------------------------------------ where it came from
def is_foreign(request: Request) -> bool:
    """Tell whether a page of somebody else made a browser send this.

    Browsers say where a request comes from: Sec-Fetch-Site where they trust the connection (HTTPS, this machine),
    Origin elsewhere, which is `null` for pages that hide themselves. Programs say neither, and carry no cookie that
    they were not given.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is not None and _host(origin) != request.headers.get("host", "")


def _host(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:  # such as http://[
        return None


def is_of(visitor: Visitor, fields: Mapping[str, str]) -> bool:
    """Tell whether a form was made for this visitor."""
    return hmac.compare_digest(fields.get("csrf", "").encode("utf-8", "replace"), visitor.csrf.encode())


# ------------------------------------------------------------------ where to go next
def local_path(text: str, otherwise: str) -> str:
    """Return a path of this site, *otherwise* for anything that could lead a browser elsewhere."""
    return text if LOCAL.fullmatch(text) else otherwise


def with_word(path: str, **word: str) -> str:
    """Return a path with words added to its query, in place of those of the same name."""
    return str(URL(path).include_query_params(**word))
