"""A memory for connectors under test: a dictionary with a clock that can be set."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class DictMemory:
    """Keeps values as JSON text, so that what would not survive a file does not survive here."""

    def __init__(self, now: datetime = NOON) -> None:
        self.moment = now
        self.values: dict[str, tuple[datetime, str]] = {}
        self.secrets: dict[str, str] = {}

    @property
    def now(self) -> Callable[[], datetime]:
        """Return the clock that `Tools.now` can share."""
        return lambda: self.moment

    def advance(self, step: timedelta) -> None:
        """Let time pass."""
        self.moment += step

    def recall(self, name: str, max_age: timedelta | None = None) -> Any:
        """Return the value under *name*, or None if there is none or it is older than *max_age*."""
        if name not in self.values:
            return None
        at, text = self.values[name]
        if max_age is not None and self.moment - at > max_age:
            return None
        return json.loads(text)

    def remember(self, name: str, value: Any) -> None:
        """Keep a JSON value under *name*."""
        self.values[name] = (self.moment, json.dumps(value))

    def recall_secret(self, name: str) -> str | None:
        """Return the secret under *name*, or None."""
        return self.secrets.get(name)

    def remember_secret(self, name: str, text: str) -> None:
        """Keep a secret."""
        self.secrets[name] = text

    def forget_secret(self, name: str) -> None:
        """Keep a secret no longer."""
        self.secrets.pop(name, None)
