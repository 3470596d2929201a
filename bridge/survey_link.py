"""The signed link behind which a customer answers our own question: it names a case, and ends by itself.

Signing is itsdangerous (HMAC); the key is a secret of this installation. Whoever has a link may answer: it is a secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from bridge.errors import BridgeError

if TYPE_CHECKING:
    from itsdangerous import URLSafeSerializer

SALT = "recovery-bridge survey"
BRAND_MAX = 60  # characters: a link must stay one that can be copied


class BadLinkError(BridgeError):
    """A link is not one of ours, or its time is over."""


class ExpiredLinkError(BadLinkError):
    """A link is one of ours, but its time is over."""


@dataclass(frozen=True)
class Invitation:
    """What a link says: whose answer is asked for, to which attempt, until when, and how the page is to look.

    Language and brand travel in the link, so that the page needs no helpdesk; anybody can read them there.
    """

    case_id: str
    attempt: int
    expires_at: datetime
    language: str | None = None
    brand: str | None = None


class SurveyLinks:
    """Makes links to one page, and reads them."""

    def __init__(self, key: str, page: str) -> None:
        self._key = key
        self._page = page.rstrip("/")

    @cached_property
    def _signer(self) -> URLSafeSerializer:
        from itsdangerous import URLSafeSerializer  # here, because most runs make no link

        return URLSafeSerializer(self._key, salt=SALT)

    def link(self, invitation: Invitation) -> str:
        """Return the address at which an invitation is answered."""
        said: list[str | int | None] = [invitation.case_id, invitation.attempt, int(invitation.expires_at.timestamp())]
        look = [invitation.language, invitation.brand and invitation.brand[:BRAND_MAX]]
        return f"{self._page}/survey/{self._signer.dumps([*said, *look] if any(look) else said)}"

    def read(self, token: str, now: datetime) -> Invitation:
        """Return what the last part of a link says.

        Raises ExpiredLinkError if its time is over, BadLinkError if it was altered.
        """
        from itsdangerous import BadSignature

        try:
            case_id, attempt, expires, *look = self._signer.loads(token)
        except (BadSignature, ValueError, TypeError) as exc:
            raise BadLinkError("this link is not one of ours, or was cut") from exc
        invitation = Invitation(case_id, attempt, datetime.fromtimestamp(expires, UTC), *look)
        if now > invitation.expires_at:
            raise ExpiredLinkError("the time to answer is over")
        return invitation
