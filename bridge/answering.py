"""The customer's answer to our own question: whether it is still taken, and keeping it. Needs a store, no engine.

One answer for each attempt of a case. It can be changed for a day, also after it was acted on: `engine` takes every
version to the case. Once a later attempt was answered, that word counts, and the earlier one stands as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from bridge.asking import asked_for
from bridge.model import Answer, Case
from bridge.recovery import Answered
from bridge.store import Hint, Store
from bridge.survey import SCALE_MAX, category_of

CHANGEABLE_FOR = timedelta(days=1)  # from the first answer on
SETTLED_AT_ONCE = 100


class Standing(StrEnum):
    """Where a question stands."""

    OPEN = "open"
    ANSWERED = "answered"  # and may be changed
    SETTLED = "settled"  # answered more than a day ago, or a later question was answered since
    OVER = "over"  # nobody waits for an answer any more


@dataclass(frozen=True)
class Asked:
    """A question as the customer finds it, with the answer that was given."""

    standing: Standing
    value: int | None = None  # 1 to 5


class Answering:
    """Keeps the answers to our own question."""

    def __init__(
        self, store: Store, now: Callable[[], datetime], kept: Callable[[str], None] = lambda _account: None
    ) -> None:
        """*kept* hears of the account for which an answer was kept just now."""
        self.store, self.now, self.kept = store, now, kept

    def look(self, case_id: str, attempt: int) -> Asked:
        """Return how the question of one attempt stands. Raises StoreError."""
        case = self.store.case(case_id)
        return self._asked(case, attempt, self._said(case, attempt))

    def settle(self, account: str) -> None:
        """Forget the words of answers that were taken to their cases and can no longer be changed; they live there."""
        while answers := self.store.followed_answers(account, self.now() - CHANGEABLE_FOR, SETTLED_AT_ONCE):
            for row in answers:
                self.store.settle_answer(row, json.dumps(json.loads(row.raw or "{}") | {"comment": None}))

    def take(self, case_id: str, attempt: int, value: int, comment: str | None) -> Asked:
        """Keep an answer, 1 to 5, durably; returns how the question stands now. Raises StoreError.

        It is ANSWERED if this answer is kept. An answer without a comment leaves the words of an earlier one.
        """
        case = self.store.case(case_id)
        before = self._said(case, attempt)
        asked = self._asked(case, attempt, before)
        if case is None or asked.standing not in (Standing.OPEN, Standing.ANSWERED) or not 1 <= value <= SCALE_MAX:
            return asked
        comment = comment or before.get("comment")
        if (before.get("value"), before.get("comment")) != (
            value,
            comment,
        ):  # a page that is sent again says nothing new
            now = self.now()
            said = {"at": now.isoformat(), "attempt": attempt, "value": value, "comment": comment}
            said["first_at"] = before.get("first_at") or now.isoformat()
            self.store.put_answer(case.account, asked_for(case, attempt), case_id, json.dumps(said), now)
            self.kept(case.account)
        return Asked(Standing.ANSWERED, value)

    def _said(self, case: Case | None, attempt: int) -> dict[str, Any]:
        row = self.store.answer(case.account, asked_for(case, attempt)) if case else None
        said: dict[str, Any] = json.loads(row.raw or "{}") if row else {}
        return said

    def _asked(self, case: Case | None, attempt: int, said: dict[str, Any]) -> Asked:
        if said:
            ends = datetime.fromisoformat(said.get("first_at") or said["at"]) + CHANGEABLE_FOR
            stands = self.now() > ends or (case is not None and is_overtaken(self.store, case, attempt))
            return Asked(Standing.SETTLED if stands else Standing.ANSWERED, said["value"])
        waits = case is not None and case.is_open and case.attempt == attempt
        return Asked(Standing.OPEN if waits else Standing.OVER)


def is_overtaken(store: Store, case: Case, attempt: int) -> bool:
    """Tell whether the customer has answered the question of a later attempt than this one."""
    later = range(attempt + 1, case.attempt + 1)
    return any(store.answer(case.account, asked_for(case, one)) for one in later)


def answered(row: Hint) -> tuple[int, Answered]:
    """Read a kept answer: the attempt that it is about, and what it says."""
    said = json.loads(row.raw or "{}")
    value = int(said["value"])
    answer = Answer(datetime.fromisoformat(said["at"]), category_of(value), value, SCALE_MAX)
    return int(said["attempt"]), Answered(answer, said["comment"])
