"""Notices: what a member of staff is told about an account or the whole installation, and not about one case.

At least once, like alerts: a notice is marked as told after it has left, so that one whose fate is unknown leaves
again, with the same message id. What does not get through is tried again by later runs. Quiet hours hold all of it
back.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from bridge.decision import who_hears
from bridge.notify import Channels, NotToldError
from bridge.rules import Playbook, Rules
from bridge.store import Store

log = logging.getLogger(__name__)

AGAIN_AFTER = timedelta(minutes=15)  # when something did not get through
INSTALLATION = ""  # in place of an account's name, which is never empty: what is about all of them


@dataclass(frozen=True)
class Notice:
    """A message about an account. *about* is its kind, and *which* tells one of a kind from the next."""

    account: str
    about: str
    which: str
    subject: str
    text: Callable[[], str]  # asked for once it can leave
    to: str | None = None  # a name of people; None for whoever hears of what nobody else does


@dataclass(frozen=True)
class Notices:
    """Tells notices, each once."""

    rules: Rules
    store: Store
    channels: Channels
    now: Callable[[], datetime]

    def tell(self, notice: Notice) -> None:
        """Tell a notice, unless it was told, has to wait, or there is nobody to hear it; trouble is only logged."""
        kept, now = self._kept(notice.account, notice.about), self.now()
        again_at = datetime.fromisoformat(kept["again_at"]) if kept.get("again_at") else now
        if kept.get("which") == notice.which or now < again_at <= now + AGAIN_AFTER:
            return
        target = self._target(notice)
        if target is None or self.rules.calendar(notice.account or None).after_quiet(now) > now:
            return
        try:
            self.channels.tell(target, f"Recovery Bridge: {notice.subject}", notice.text(), _message_id(notice))
        except NotToldError as exc:
            log.warning("not told, tried again later: %s: %s", notice.subject, exc)
            kept |= {"again_at": (now + AGAIN_AFTER).isoformat()}
        else:
            kept = {"which": notice.which}
        self.store.put_account_state(notice.account, **{f"told_{notice.about}": kept})

    def last(self, account: str, about: str) -> str | None:
        """Return which notice of a kind was told last."""
        return self._kept(account, about).get("which")

    def _kept(self, account: str, about: str) -> dict[str, str]:
        found: dict[str, str] = self.store.account_state(account).get(f"told_{about}", {})
        return found

    def _target(self, notice: Notice) -> str | None:
        name = notice.to or who_hears(Playbook(), self.rules)
        person = self.rules.person(name) if name else None
        return person.notify or person.agent if person else None


def _message_id(notice: Notice) -> str:
    """Return what names this message, the same whenever it leaves."""
    named = f"{notice.account}\n{notice.about}\n{notice.which}"
    return f"sr-{hashlib.sha256(named.encode()).hexdigest()[:16]}"
