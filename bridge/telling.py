"""Carrying out alerts: telling members of staff, one message for those that belong together.

Staff is told at least once (fail open): an alert whose fate is unknown, because we crashed between sending and storing
that it was sent, leaves again, with the same message id. Mail to customers is the other way round and not here.
What does not get through now is tried again, later and later; what never will waits for `retry` at once. Neither
stops a case: alerts are nobody's next step.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

from bridge.model import EffectState
from bridge.notify import Channels, NoAnswerError, NotToldError
from bridge.store import Claim, Store

log = logging.getLogger(__name__)

PAUSES = tuple(timedelta(minutes=minutes) for minutes in (1, 3, 9, 27, 60, 60, 60))  # between the tries of an alert
SILENT_FOR = timedelta(minutes=1)  # how long nobody else tries a way on which nobody answered
LONGEST_LIST = 50  # tickets in one message
LONGEST_LINE = 300  # characters about one ticket

Finish = Callable[[Claim, EffectState, str], None]  # stores what became of an effect, and why
Park = Callable[[Claim, str], None]  # leaves an effect to whoever looks at `retry --list`, and says why


class Telling:
    """Tells members of staff what alerts say."""

    def __init__(
        self,
        store: Store,
        channels: Channels,
        now: Callable[[], datetime],
        *,
        lease: timedelta,
        finish: Finish,
        park: Park,
    ) -> None:
        self.store, self.channels, self.now, self.lease = store, channels, now, lease
        self.finish, self.park = finish, park
        self._silent_until: dict[str, datetime] = {}  # ways on which nobody answered
        self._said: set[str] = set()  # warnings that need no repeating

    def tell(self, claims: Sequence[Claim]) -> None:
        """Carry out alerts; those of one bundle to one target leave as one message with a list.

        Nothing is raised for a channel that is broken: its alerts are tried again later, or wait for a person.
        """
        for together in _bundles(claims):
            self._tell(together, together[0].effect.target)

    def _tell(self, claims: Sequence[Claim], target: str | None) -> None:
        if not target:
            for claim in claims:
                self.park(claim, f"nobody can be told: {claim.effect.person!r} has no `notify` in rules.yaml")
            return
        way = self.channels.way_to(target)
        if self._silent_until.get(way, self.now()) > self.now():  # or each alert would wait for it in vain
            for claim in claims:
                self.store.postpone(claim, self._silent_until[way], f"{way}: no answer a moment ago")
            return
        ours = self.store.intend(claims, self.now(), self.lease)
        claims = [claim for claim in claims if claim.effect.effect_id in ours]  # others are another process's by now
        if claims:
            self._send(claims, target, way)

    def _send(self, claims: Sequence[Claim], target: str, way: str) -> None:
        try:
            self.channels.tell(target, *_message(claims), _message_id(claims))
        except NotToldError as exc:
            if isinstance(exc, NoAnswerError):
                self._silent_until[way] = self.now() + SILENT_FOR
            for claim in claims:
                self._failed(claim, exc)
            return
        together = f", in a list of {len(claims)}" if len(claims) > 1 else ""
        for claim in claims:
            self.finish(claim, EffectState.APPLIED, f"told {claim.effect.person}{together}")

    def _failed(self, claim: Claim, exc: NotToldError) -> None:
        if exc.is_lasting:
            self.park(claim, str(exc))
        elif claim.tries >= len(PAUSES):
            self.park(claim, f"given up after {claim.tries + 1} tries: {exc}")
        else:
            if str(exc) not in self._said:
                self._said.add(str(exc))
                log.warning("tried again later: %s", exc, extra={"account": claim.effect.account})
            self.store.postpone(claim, self.now() + PAUSES[claim.tries], str(exc))


# ------------------------------------------------------------------ messages
def _bundles(claims: Sequence[Claim]) -> Iterable[list[Claim]]:
    """Return the alerts that leave together, in the order in which they came."""
    found: dict[tuple[str | None, str], list[Claim]] = {}
    for claim in claims:
        effect = claim.effect
        found.setdefault((effect.target, effect.bundle or effect.effect_id), []).append(claim)
    return found.values()


def _message(claims: Sequence[Claim]) -> tuple[str, str]:
    """Return subject and text: of one alert its own, of several a list."""
    effect = claims[0].effect
    if len(claims) == 1:
        return f"Recovery Bridge: ticket {effect.ticket_id} of {effect.account}", effect.text or ""
    lines = _lines(claims)
    kind, _, name = (effect.bundle or "").partition(":")
    what = f"{len(lines)} {'ticket' if len(lines) == 1 else 'tickets'} of {effect.account}, {kind} {name}"
    more = [f"and {len(lines) - LONGEST_LIST} more"] if len(lines) > LONGEST_LIST else []
    return f"Recovery Bridge: {what}", "\n".join([f"{what}:", *lines[:LONGEST_LIST], *more])


def _lines(claims: Sequence[Claim]) -> list[str]:
    """Return one line for each ticket, the most severe first: its heading, then every reason once."""
    said: dict[str, dict[str, None]] = {}
    for claim in sorted(claims, key=lambda claim: claim.case.severity.weight, reverse=True):
        parts = (claim.effect.text or "").split("\n", 1)
        said.setdefault(claim.effect.ticket_id, {}).update(dict.fromkeys(parts))
    return [_line(*parts) for parts in said.values()]


def _line(heading: str, *reasons: str) -> str:
    line = " ".join(f"- {heading} ({'; '.join(reasons)})".split())
    return line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}..."


def _message_id(claims: Sequence[Claim]) -> str:
    """Return what names this message, the same whenever these alerts leave together."""
    if len(claims) == 1:
        return claims[0].effect.marker
    together = ",".join(sorted(claim.effect.effect_id for claim in claims))
    return f"sr-{hashlib.sha256(together.encode()).hexdigest()[:16]}"
