"""The signs of life of the worker behind the server: around each poll, and also while there is nothing to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from bridge.app import App
from bridge.reloading import LivingApp
from bridge.web.counts import Counts
from bridge.web.service import LOOKS_UP, Bell, Worker
from connectors.sandbox.world import Fault
from tests.bridge.stories import MONDAY, WHOLE_SHARE
from tests.in_process import company


class Ears(Bell):
    """A bell that nobody rings; remembers how long it would have been waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.waited: list[float] = []

    def wait(self, seconds: float) -> list[tuple[str, datetime]]:
        self.waited.append(seconds)
        return []


@pytest.fixture
def living(tmp_path: Path) -> Iterator[LivingApp]:
    with company(MONDAY, tmp_path) as firm:
        path = tmp_path / "rules.yaml"
        path.write_text(firm.rules().text.replace(*WHOLE_SHARE), encoding="utf-8")
        firm.zendesk.faults.append(Fault("status", status=403, times=99))
        with LivingApp(path, firm.bridge) as found:
            yield found


def test_each_poll_is_shown_with_what_went_wrong(living: LivingApp) -> None:
    shown: list[list[str]] = []

    @contextmanager
    def showing(app: App) -> Iterator[None]:
        yield
        shown.append(list(app.failures))

    hour = timedelta(hours=1)
    Worker(living, Bell(), Counts(), every=hour, stopping=lambda: False, of_pass=showing).reconcile()

    assert shown == [["acme"]]


def test_while_there_is_nothing_to_do_it_looks_up_every_second(living: LivingApp) -> None:
    ears, asked = Ears(), iter([False] * 5)
    worker = Worker(living, ears, Counts(), every=timedelta(hours=1), stopping=lambda: next(asked, True))

    worker.work()

    assert len(ears.waited) > 2
    assert max(ears.waited) <= LOOKS_UP.total_seconds()
