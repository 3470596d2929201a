"""Zendesk: how requests are signed, by OAuth client credentials or by the API token that is going away.

Source: developer.zendesk.com/documentation/api-basics/authentication/oauth-migration and .../oauth/grant_type_tokens
(read 2026-11-21). A client-credentials token has no refresh token: when it ends, the next one is minted the same way.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

import requests
from requests.auth import AuthBase

from bridge.connector import Secret, Tools
from bridge.errors import CredentialsRefused, Refused, Unreachable
from bridge.http import parsed

API_TOKENS_END = date(2027, 4, 30)
TOKEN_WITHIN = timedelta(days=1)  # asked for; Zendesk allows 5 minutes to 2 days and may give less
SCOPE = "read write"  # audits need the global read scope, so finer scopes are not enough
_MEMORY_NAME = "token"


def token_pair(email: Secret, api_token: Secret) -> tuple[str, str]:
    """Return the user and password that Zendesk expects for an API token."""
    return f"{email.reveal()}/token", api_token.reveal()


class ClientCredentials(AuthBase):
    """Signs each request with a token that is kept between runs, renewed in time, and minted again once on a 401."""

    def __init__(self, client_id: Secret, client_secret: Secret, tools: Tools) -> None:
        self._client_id = client_id
        self._client_secret = client_secret
        self._tools = tools
        self._token, self._renew_at = _read(tools.memory.recall_secret(_MEMORY_NAME))

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Put the token on a request."""
        if self._token is None or self._renew_at is None or self._tools.now() >= self._renew_at:
            self._mint()
        self._sign(request)
        request.register_hook("response", self._once_more)  # type: ignore[no-untyped-call]
        return request

    def _sign(self, request: requests.PreparedRequest) -> None:
        request.headers["Authorization"] = f"Bearer {self._token}"

    def _once_more(self, response: requests.Response, **options: Any) -> requests.Response:
        """Send a request again whose token was revoked; it was not carried out, so this is safe for writes too."""
        if response.status_code != 401:
            return response
        response.close()  # unread: whatever it says could be without end
        self._mint()
        again = response.request.copy()
        self._sign(again)
        if wait := self._tools.http.budget.admit():
            self._tools.http.sleep(wait)
        self._tools.http.requests_made += 1
        return response.connection.send(again, **options)

    def _mint(self) -> None:
        body = {
            "grant_type": "client_credentials",
            "client_id": self._client_id.reveal(),
            "client_secret": self._client_secret.reveal(),
            "scope": SCOPE,
            "expires_in": int(TOKEN_WITHIN.total_seconds()),
        }
        http = self._tools.http
        try:
            answer = parsed(http.request("POST", "/oauth/tokens", json=body, auth=_unsigned))
        except Refused as exc:
            todo = "are client id and secret right, and is the client confidential?"
            raise CredentialsRefused(
                f"{http.account}: POST /oauth/tokens: {exc.status}; {todo}", status=exc.status
            ) from exc
        if not isinstance(answer, Mapping) or not isinstance(answer.get("access_token"), str):
            raise Unreachable(f"{http.account}: POST /oauth/tokens: the answer has no 'access_token'")
        lifetime = answer.get("expires_in")
        seconds = lifetime if isinstance(lifetime, int) and lifetime > 0 else TOKEN_WITHIN.total_seconds()
        self._token = answer["access_token"]
        self._renew_at = self._tools.now() + timedelta(seconds=seconds * 0.9)
        kept = json.dumps({"token": self._token, "renew_at": self._renew_at.isoformat()})
        self._tools.memory.remember_secret(_MEMORY_NAME, kept)


def _unsigned(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _read(kept: str | None) -> tuple[str | None, datetime | None]:
    """Read the token that an earlier run kept; whatever cannot be read is minted anew."""
    try:
        values = json.loads(kept or "")
        return str(values["token"]), datetime.fromisoformat(values["renew_at"])
    except (ValueError, KeyError, TypeError):
        return None, None
