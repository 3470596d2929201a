"""Zendesk: reading one page, or a list from its first page to its last.

Three styles of paging meet here: cursors (`meta.has_more`, `meta.after_cursor`), links (`links.next`), and the older
offsets (`next_page`). A position is a cursor, or the address of the next page; None is the beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias, TypeVar

from bridge.errors import CredentialsRefused, Unreachable
from bridge.http import BridgeSession

Found = TypeVar("Found")
Params: TypeAlias = Mapping[str, Any]
PAGE_SIZE = 100
PAGED: Params = {"page[size]": PAGE_SIZE}


def allowed(read: Callable[[], Found]) -> Found | None:
    """Return what was read, or None where our user may not (403)."""
    try:
        return read()
    except CredentialsRefused as exc:
        if exc.status != 403:
            raise
        return None


def read_page(session: BridgeSession, path: str, params: Params, position: str | None) -> Mapping[str, Any]:
    """Read the page at *position* of a list; the session refuses an address on another host."""
    if position is None:
        body = session.read(path, params)
    elif _is_address(position):
        body = session.read(position)
    else:
        body = session.read(path, {**params, "page[after]": position})
    return record(session, path, body)


def next_position(body: Mapping[str, Any]) -> str | None:
    """Return where the page after this one begins, or None if this was the last."""
    meta = body.get("meta")
    if isinstance(meta, Mapping) and "has_more" in meta:
        if not meta["has_more"]:
            return None
        if meta.get("after_cursor"):
            return str(meta["after_cursor"])
    links = body.get("links")
    found = (links.get("next") if isinstance(links, Mapping) else None) or body.get("next_page")
    return str(found) if found else None


def read_all(session: BridgeSession, path: str, key: str, params: Params = PAGED) -> Iterator[dict[str, Any]]:
    """Yield the objects under *key* of every page of a list."""
    position: str | None = None
    while True:
        body = read_page(session, path, params, position)
        yield from rows(session, path, body, key)
        position = moved(session, path, position, next_position(body))
        if position is None:
            return


def rows(session: BridgeSession, path: str, body: Mapping[str, Any], key: str) -> list[Any]:
    """Return the list under *key*. Raises Unreachable if the answer is not a page of that list."""
    found = body.get(key)
    if not isinstance(found, list):
        raise Unreachable(f"{session.account}: GET {path}: the answer has no list {key!r}")
    return found


def record(session: BridgeSession, path: str, body: Any) -> Mapping[str, Any]:
    """Return *body* if it is a JSON object. Raises Unreachable if not."""
    if not isinstance(body, Mapping):
        raise Unreachable(f"{session.account}: GET {path}: the answer is not a JSON object")
    return body


def moved(session: BridgeSession, path: str, before: str | None, after: str | None) -> str | None:
    """Return *after*. Raises Unreachable if it is where we were: such a list would never end.

    Raises WrongHost if it is on another host: nobody could go on from there, so it must not be kept.
    """
    if after is not None and after == before:
        raise Unreachable(f"{session.account}: GET {path}: the next page is this page again")
    if after is not None and _is_address(after):
        session.target(after)
    return after


def _is_address(position: str) -> bool:
    return position.startswith(("http://", "https://", "/"))
