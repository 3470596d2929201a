"""The two ways to the API: python-freshdesk through our own session, and raw reads where the library cannot serve.

The library's models are lossy and its lists stop at the first trouble, so lists and records that matter are read raw.
Two private attributes of python-freshdesk 1.3.9 are set, `_session` and `_api_prefix`, and `_get` is replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import requests

from bridge.connector import Secret
from bridge.errors import CredentialsRefused, NotFound, Unreachable
from bridge.http import BridgeSession

if TYPE_CHECKING:
    from freshdesk.v2.api import API

T = TypeVar("T")
PER_PAGE = 100  # the most that lists give; more is an error

UNREADABLE = (AttributeError, KeyError, TypeError, ValueError)
"""What the library's models raise when a successful answer lacks what they expect: after a write it *has* happened."""


class Api:
    """API v2 of one account; every verb may raise the HelpdeskError family."""

    def __init__(self, account: str, session: BridgeSession, key: Secret) -> None:
        self.account = account
        self.session = session
        self._key = key
        self._has_next = False
        session.auth = (key.reveal(), "x")  # any password
        session.headers["Content-Type"] = "application/json"  # the library sends text that is JSON already
        session.hooks["response"].insert(0, self._notice_links)  # before the check, which may raise

    @cached_property
    def library(self) -> API:
        """Return python-freshdesk, talking through our session: reads may be retried, writes never are."""
        from freshdesk.v2.api import API

        library = API("never-asked.freshdesk.com", self._key.reveal())
        library._session = self.session
        library._api_prefix = f"{self.session.base_url}/api/v2/"
        library._get = lambda url, params=None: self.read(url, params)
        return library

    def read(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """Return the JSON of one GET below /api/v2/."""
        return self.session.read(f"/api/v2/{path}", params)

    def read_if_offered(self, path: str, params: Mapping[str, Any] | None = None) -> Any | None:
        """Return the JSON of one GET, or None where this account or this key does not have it."""
        return self._if_offered(lambda: self.read(path, params))

    def rows_if_offered(self, path: str, params: Mapping[str, Any] | None = None) -> list[Any] | None:
        """Return all rows of a list, or None where this account or this key does not have it."""
        return self._if_offered(lambda: list(self.rows(path, params)))

    def _if_offered(self, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except NotFound:
            return None
        except CredentialsRefused as exc:
            if exc.status != requests.codes.forbidden:
                raise
            return None

    def page(self, path: str, number: int, params: Mapping[str, Any] | None = None) -> tuple[list[Any], bool]:
        """Return one page of a list, and whether another follows.

        A full page without a Link header counts as followed: better one empty page than a lost one.
        """
        rows = self.read(path, {**(params or {}), "page": number, "per_page": PER_PAGE})
        return self.as_list(path, rows), self._has_next or len(rows) >= PER_PAGE

    def rows(self, path: str, params: Mapping[str, Any] | None = None) -> Iterator[dict[str, Any]]:
        """Read a list page by page, one row at a time."""
        number, more = 1, True
        while more:
            rows, more = self.page(path, number, params)
            yield from rows
            number += 1

    def as_list(self, path: str, body: Any) -> list[Any]:
        """Return *body* if it is a list of records. Raises Unreachable if it is anything else."""
        if not isinstance(body, list):
            raise Unreachable(f"{self.account}: GET /api/v2/{path}: expected a list, got {type(body).__name__}")
        if not all(isinstance(row, dict) for row in body):
            raise Unreachable(f"{self.account}: GET /api/v2/{path}: expected a list of records")
        return body

    def record(self, path: str) -> dict[str, Any]:
        """Return the one record at a path. Raises Unreachable if the answer is anything else."""
        body = self.read(path)
        if isinstance(body, dict):
            return body
        raise Unreachable(f"{self.account}: GET /api/v2/{path}: expected a record, got {type(body).__name__}")

    def _notice_links(self, response: requests.Response, *_: Any, **__: Any) -> None:
        self._has_next = "next" in response.links


def moment(text: str) -> datetime:
    """Read a time of the API as aware UTC; one without a zone is UTC. Raises ValueError or TypeError."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is UTC:  # the usual case, a hundred thousand times
        return at
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def as_text(at: datetime) -> str:
    """Return a time as the API writes it."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def as_id(value: Any) -> str | None:
    """Return an id of the API as text, or None for null."""
    return None if value is None else str(value)
