"""What a process that works shows of itself after each pass: to systemd, a dead man's switch and Prometheus."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.errors import BridgeError, Throttled
from bridge.heartbeat import DeadMansSwitch, Heartbeat
from bridge.settings import program_secret

if TYPE_CHECKING:
    from bridge.app import App

log = logging.getLogger(__name__)


class Signs:
    """The signs of life of one process. *textfile* is where Prometheus finds what `/metrics` would say."""

    def __init__(self, env: Mapping[str, str], textfile: Path | None = None) -> None:
        self.heart = Heartbeat(env)
        self._switch = DeadMansSwitch(program_secret(env, "ping_url"))
        self._textfile = textfile

    @contextmanager
    def of_pass(self, app: App) -> Iterator[None]:
        """Show how the pass within went; nothing that goes wrong here is the pass's."""
        try:
            yield
        except Exception:
            self._show(app, "the last pass failed", well=False)
            raise
        trouble = [name for name, why in app.failures.items() if not isinstance(why, Throttled)]
        said = f"trouble with {', '.join(trouble)}" if trouble else "all is well"
        self._show(app, said, well=not trouble)

    def close(self) -> None:
        """Say that the process is about to end, once a ping that is under way has left."""
        self.heart.stopping()
        self._switch.close()

    def _show(self, app: App, said: str, *, well: bool) -> None:
        self.heart.status(f"{app.now():%H:%M:%S}Z: {said}")
        self._switch.passed(well=well)
        if self._textfile is None:
            return
        from bridge.metrics import Metrics, write_textfile

        try:
            write_textfile(Metrics(app.store, lambda: app.rules, app.now).text(), self._textfile)
        except BridgeError as exc:
            log.error("%s", exc)
