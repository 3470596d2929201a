"""Zendesk: what an answer to a write means, or the history of its ticket. Pure: no call is made here.

Source: recorded answers and the OpenAPI file (job statuses), read 2026-11-21; the words are English in every account.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from bridge.errors import Conflict, CredentialsRefused, HelpdeskError, NotFound, Refused, Throttled
from bridge.model import EffectKind, Verdict, Write, Written
from connectors.zendesk.bodies import HALF_TAG, METADATA, mark_of

_WORDS = (  # narrow, because an account's own fields may be called "Date closed" or "Customer group"
    (re.compile(r"conflict", re.I), Verdict.CONFLICT),
    (re.compile(r"closed prevents|closedticket|(is|already) closed", re.I), Verdict.LOCKED),
    (re.compile(r"assignee|member of the group|\bgroup: (is|does|not)", re.I), Verdict.BAD_ASSIGNEE),
    (re.compile(r"not ?found", re.I), Verdict.GONE),
)
_LINK = re.compile(r"\S*(?:://|access_token)\S*")  # of a survey: whoever has it may answer


def row_verdict(row: Mapping[str, Any]) -> tuple[Verdict, str]:
    """Tell what one row of a job's results means."""
    if row.get("success") is True or (row.get("success") is None and row.get("status") == "Updated"):
        return Verdict.APPLIED, ""
    said = " ".join(_text(row.get(name)) for name in ("error", "description", "details", "errors"))
    return _verdict_of(said), _inert(said)


def was_asked(audits: Sequence[Mapping[str, Any]], write: Write) -> bool:
    """Tell from a ticket's history, oldest first, if the question of this write stood on it and was not taken back."""
    mark, is_there = mark_of(write), False
    for audit in audits:
        ours = ((audit.get("metadata") or {}).get("custom") or {}).get(METADATA) == write.effect.marker
        for event in audit.get("events") or ():
            tags, before = event.get("value") or (), event.get("previous_value") or ()
            if mark in tags and HALF_TAG not in tags:  # the first of two updates does not carry it yet
                is_there = True
            elif mark in before and mark not in tags and ours:
                is_there = False
    return is_there


def failed(write: Write, exc: HelpdeskError) -> Written:
    """Tell what an error means for one write. Raises it again where nothing more can be sent."""
    effect_id = write.effect.effect_id
    if isinstance(exc, Throttled) or (isinstance(exc, CredentialsRefused) and exc.status == 401):
        raise exc  # refused unread, and so would the next be
    if isinstance(exc, Conflict):
        return Written(effect_id, Verdict.CONFLICT, "the ticket changed since it was read")
    if isinstance(exc, NotFound):
        return Written(effect_id, Verdict.GONE, "the ticket is not there any more")
    if isinstance(exc, Refused):
        if not exc.details:  # its body was cut off: the next look at the ticket tells what stands in the way
            return unknown(write, f"{exc.status} without a reason that can be read")
        said = " ".join(exc.details)
        verdict = _verdict_of(said)
        if write.effect.kind is EffectKind.FOLLOW_UP and verdict is Verdict.LOCKED:
            verdict = Verdict.REFUSED  # it is the new ticket that was refused
        return Written(effect_id, verdict, f"{exc.status} {_inert(said)}")
    if isinstance(exc, CredentialsRefused):
        return Written(effect_id, Verdict.REFUSED, "403, our user may not do this")
    return Written(effect_id, Verdict.UNKNOWN, str(exc))


def _verdict_of(said: str) -> Verdict:
    """Tell the cases apart by the vendor's words, which are English whatever the account's language."""
    return next((verdict for words, verdict in _WORDS if words.search(said)), Verdict.REFUSED)


def _inert(said: str) -> str:
    """Bound the vendor's words and leave out a requester's name, which stands in one of them, and every link."""
    return "the requester is suspended" if "UserSuspended" in said else _LINK.sub("(link)", said).strip()[:200]


def unknown(write: Write, why: str) -> Written:
    """Say that a write may or may not have happened."""
    return Written(write.effect.effect_id, Verdict.UNKNOWN, why)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)
