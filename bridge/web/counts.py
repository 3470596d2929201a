"""What happened in this process, counted: names and labels as `/metrics` shows them; never an id, never a person."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping

Series = tuple[str, tuple[tuple[str, str], ...]]  # a name, and its labels in order


class Counts:
    """Counters that several threads may raise."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counted: Counter[Series] = Counter()

    def add(self, name: str, number: int = 1, **labels: str) -> None:
        """Raise one counter."""
        with self._lock:
            self._counted[name, tuple(sorted(labels.items()))] += number

    def get(self, name: str, **labels: str) -> int:
        """Return what one counter stands at."""
        return self._counted[name, tuple(sorted(labels.items()))]

    def all(self) -> Mapping[Series, int]:
        """Return every counter as it stands."""
        with self._lock:
            return dict(self._counted)
