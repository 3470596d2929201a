"""Sessions: a signed token in a cookie says who signed in and until when; nothing is stored for it.

It holds a digest of the person's line in the file of logins: with that line changed or gone, the token is worth
nothing. Signing is itsdangerous (HMAC); the key is a secret of this installation.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from itsdangerous import BadSignature, URLSafeSerializer

from bridge.logins import Entry

LASTS = timedelta(hours=12)
MOST_ENDED = 10_000  # sessions that were signed out; those of the last 12 hours are remembered
SALT = "recovery-bridge session"


@dataclass(frozen=True)
class Session:
    """Somebody who signed in; *number* is random, and the session's own."""

    entry: Entry
    number: str


class Sessions:
    """Makes tokens and reads them."""

    def __init__(self, key: str, now: Callable[[], datetime]) -> None:
        self._key, self._now = key.encode(), now
        how = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
        self._signer = URLSafeSerializer(key, salt=SALT, signer_kwargs=how)
        self._ended: OrderedDict[str, None] = OrderedDict()

    def begin(self, entry: Entry) -> str:
        """Return the token of somebody who has signed in."""
        ends_at = int((self._now() + LASTS).timestamp())
        return str(self._signer.dumps([entry.name, self._seal(entry), ends_at, secrets.token_hex(16)]))

    def read(self, token: str, entries: Mapping[str, Entry]) -> Session | None:
        """Return the session of a token, None if it is worth nothing (any more)."""
        try:
            name, seal, ends_at, number = self._signer.loads(token)
        except (BadSignature, ValueError, TypeError):
            return None
        entry = entries.get(name)
        is_over = self._now().timestamp() >= ends_at or number in self._ended
        if entry is None or is_over or not hmac.compare_digest(seal, self._seal(entry)):
            return None
        return Session(entry, number)

    def end(self, session: Session) -> None:
        """Sign out: no copy of the token is worth anything as long as this process lives."""
        self._ended[session.number] = None
        if len(self._ended) > MOST_ENDED:
            self._ended.popitem(last=False)

    def csrf(self, session: Session) -> str:
        """Return what the forms of a session carry."""
        return self._mac(f"form {session.number}")

    def csrf_of(self, entry: Entry) -> str:
        """Return what the forms of somebody carry whom a proxy signs in."""
        return self._mac(f"form of {entry}")

    def _seal(self, entry: Entry) -> str:
        return self._mac(f"line {entry}")

    def _mac(self, text: str) -> str:
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()[:32]
