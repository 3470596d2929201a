"""`/readyz`: a database that takes nothing, a worker that stands still, a service about to end."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bridge.store import Store
from bridge.web.readiness import WRITES_EVERY, Readiness

NOW = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class Asked:
    """A service whose readiness is asked for; *clock* are seconds."""

    def __init__(self, path: Path) -> None:
        self.path, self.clock, self.ends = path, 1000.0, False
        self.store = Store.open(f"sqlite:///{path}", busy=timedelta(milliseconds=5))
        self.readiness = Readiness(
            self.store, lambda: NOW, every=MINUTE, stopping=lambda: self.ends, clock=lambda: self.clock
        )

    def later(self, seconds: float) -> str:
        self.clock += seconds
        return self.readiness.why_not()


@pytest.fixture
def asked(tmp_path: Path, migrated_file: Path) -> Iterator[Asked]:
    shutil.copyfile(migrated_file, tmp_path / "bridge.db")
    found = Asked(tmp_path / "bridge.db")
    yield found
    found.store.close()


def test_a_service_that_works_is_ready(asked: Asked) -> None:
    assert asked.later(0) == ""


def test_a_database_that_cannot_be_written_is_found_though_it_can_be_read(asked: Asked) -> None:
    with closing(sqlite3.connect(asked.path)) as other:
        other.execute("BEGIN IMMEDIATE")
        said = asked.later(0)
        other.rollback()

    assert said == "the database cannot be used"
    assert asked.later(WRITES_EVERY / 2) == said  # not tried again so soon
    assert asked.later(WRITES_EVERY / 2) == ""


def test_a_database_that_was_removed_is_found(asked: Asked) -> None:
    asked.path.unlink()

    assert asked.later(0) == "the database cannot be used"


def test_a_worker_that_stands_still_is_found(asked: Asked) -> None:
    assert asked.later(8 * 60) == ""
    assert asked.later(1) == "the worker has done nothing for 481 seconds"

    asked.readiness.beat()
    assert asked.later(0) == ""


def test_a_service_that_is_about_to_end_is_not_ready(asked: Asked) -> None:
    asked.ends = True

    assert asked.later(0) == "this service is about to end"


class _Crowded(Store):
    """A store that is slow: while it writes, somebody else asks whether the service is ready."""

    asks: Callable[[], str] = staticmethod(lambda: "")

    def remember(self, account: str, name: str, value: Any, now: datetime) -> None:
        self.asks()


def test_whoever_asks_while_the_database_is_tried_does_not_try_it_too(tmp_path: Path, migrated_file: Path) -> None:
    shutil.copyfile(migrated_file, tmp_path / "bridge.db")
    store = _Crowded.open(f"sqlite:///{tmp_path / 'bridge.db'}")
    readiness = Readiness(store, lambda: NOW, every=MINUTE, stopping=lambda: False, clock=lambda: 1000.0)
    said: list[str] = []
    store.asks = lambda: said.append(readiness.why_not()) or ""  # type: ignore[func-returns-value]

    assert readiness.why_not() == ""
    assert said == [""]
    store.close()
