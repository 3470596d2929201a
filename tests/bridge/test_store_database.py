"""Facts about the database itself: opening, migrating, privacy, and what happens when the disk is no help."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, event, text

from bridge.errors import BridgeError, SettingsError, StoreError
from bridge.model import Audit, Case, Category, Effect, Rating, RatingPage
from bridge.store import Store, database, tables

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
INSTANT = timedelta(milliseconds=1)


def page(*ids: int) -> RatingPage:
    ratings = (Rating(str(n), str(n), Category.BAD, 1, 2, NOW, NOW, comment="very private" * 50) for n in ids)
    return RatingPage(tuple(ratings), (), f"cursor {len(ids)}")


def add(store: Store, found: RatingPage) -> None:
    store.add_page("acme", "s", found, source="poll", seen_at=NOW, memory_before=NOW)


@pytest.fixture
def path(tmp_path: Path, migrated_file: Path) -> Path:
    """A migrated SQLite file."""
    path = tmp_path / "bridge.db"
    path.write_bytes(migrated_file.read_bytes())
    return path


def opened(path: Path, busy: timedelta = INSTANT) -> Store:
    return Store.open(f"sqlite:///{path}", busy=busy)


# ------------------------------------------------------------------ migrations
def test_migrations_make_exactly_the_tables_of_the_code(empty_database_url: str) -> None:
    store = Store.open(empty_database_url)

    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, tables.metadata) == []
    store.close()


def test_migrations_make_the_same_sqlite_file_as_the_code(tmp_path: Path) -> None:
    migrated = opened(tmp_path / "migrated.db")
    created = create_engine(f"sqlite:///{tmp_path / 'created.db'}")
    tables.metadata.create_all(created)

    found = [_schema(migrated.engine), _schema(created)]

    assert found[0] == found[1]
    migrated.close()
    created.dispose()


def _schema(engine: Any) -> list[list[str]]:
    """Return the parts of each definition, conditions of indices and checks included; constraints come in any order."""
    asked = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name <> 'alembic_version' ORDER BY name"
    with engine.connect() as connection:
        found = connection.execute(text(asked)).scalars().all()
    return [sorted(re.split(r",|\)$", re.sub(r'[\s"]+', "", sql))) for sql in found]


def test_migrations_make_the_same_indices_on_postgresql(cluster: Any) -> None:
    name = next(cluster.names)
    cluster.create(name, "template1")
    created = create_engine(cluster.url(name).replace("postgresql:", "postgresql+psycopg:"))
    tables.metadata.create_all(created)
    asked = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version' ORDER BY 1"
    migrated = Store.open(cluster.url("migrated"))

    with created.connect() as one, migrated.engine.connect() as two:
        assert one.execute(text(asked)).all() == two.execute(text(asked)).all() != []

    created.dispose()
    migrated.close()
    cluster.drop(name)


def test_two_processes_may_open_a_new_database_at_once(empty_database_url: str) -> None:
    code = "import sys; from bridge.store import Store; Store.open(sys.argv[1]).close()"

    both = [subprocess.Popen([sys.executable, "-c", code, empty_database_url]) for _ in range(2)]

    assert [process.wait(60) for process in both] == [0, 0]


def test_opening_again_keeps_everything(empty_database_url: str) -> None:
    first = Store.open(empty_database_url)
    add(first, page(1))
    first.close()

    second = Store.open(empty_database_url)

    assert len(second.pending("acme", NOW, 9)) == 1
    second.close()


def test_the_newest_schema_is_opened_without_what_only_others_need(path: Path) -> None:
    others = ("alembic", "psycopg", "sqlalchemy.orm", "sqlalchemy.dialects.postgresql")
    code = f"import sys; from bridge.store import Store; Store.open('sqlite:///{path}').close(); print(*sys.modules)"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert "sqlalchemy" in loaded
    assert not [name for name in loaded if name.startswith(others)]


def test_a_schema_from_the_future_is_refused(database_url: str) -> None:
    store = Store.open(database_url)
    with store.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    store.close()

    with pytest.raises(SettingsError, match="9999, newer than"):
        Store.open(database_url)


def test_the_code_knows_every_revision_in_its_order() -> None:
    folder = Path(database.__file__).parent / "migrations" / "versions"

    assert [path.name.split("_")[0] for path in sorted(folder.glob("*.py"))] == list(database.REVISIONS)


@pytest.mark.parametrize(
    ("words", "table"), [(Case, tables.cases), (Effect, tables.effect), (Audit, tables.audit), (Rating, tables.rating)]
)
def test_every_field_of_our_words_has_a_column(words: Any, table: Any) -> None:
    assert {one.name for one in fields(words)} <= set(table.c.keys())


# ------------------------------------------------------------------ addresses
@pytest.mark.parametrize("url", ["", "bridge.db", "mysql://root@localhost/bridge", "postgresql+asyncpg2:", "://"])
def test_an_address_of_no_use_is_a_matter_of_settings(url: str) -> None:
    with pytest.raises(SettingsError, match="BRIDGE_DATABASE_URL"):
        Store.open(url)


def test_a_server_that_is_not_there_is_named_without_the_password() -> None:
    with pytest.raises(StoreError, match=r"127\.0\.0\.1/bridge: .*is the server running") as caught:
        Store.open("postgresql://me:secret@127.0.0.1:1/bridge?application_name=secret")

    assert "secret" not in str(caught.value)


def test_a_missing_driver_is_named_with_its_extra(tmp_path: Path) -> None:
    (tmp_path / "psycopg.py").write_text("raise ImportError('not installed')")
    code = "import sys; sys.path.insert(0, sys.argv[1]); from bridge.store import Store; Store.open('postgresql://a/b')"

    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)

    assert "SettingsError" in ended.stderr
    assert "recovery-bridge[postgresql]" in ended.stderr


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "bridge.db"
    store = opened(path)
    add(store, page(1))

    modes = {found.name: oct(found.stat().st_mode & 0o777) for found in path.parent.iterdir()}

    assert modes == {"bridge.db": "0o600", "bridge.db-wal": "0o600", "bridge.db-shm": "0o600"}
    assert oct(path.parent.stat().st_mode & 0o777) == "0o700"
    store.close()


def test_sqlite_is_as_durable_as_it_can_be(path: Path) -> None:
    store = opened(path, busy=timedelta(seconds=10))

    with store.engine.connect() as connection:
        asked = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        found = [connection.execute(text(f"PRAGMA {pragma}")).scalar() for pragma in asked]

    assert found == ["wal", 2, 1, 10_000]
    store.close()


# ------------------------------------------------------------------ troubles
def test_a_full_disk_stores_nothing_of_a_page(path: Path) -> None:
    store = opened(path)
    add(store, page(1))
    with store.engine.connect() as connection:  # the pool hands the same connection out again
        connection.execute(text("PRAGMA max_page_count = 60"))

    with pytest.raises(StoreError, match=r"bridge\.db: database or disk is full: .*make room") as caught:
        add(store, page(*range(2, 2000)))

    assert "very private" not in str(caught.value)
    assert (len(store.pending("acme", NOW, 9)), store.cursor("acme", "s")) == (1, "cursor 1")
    store.close()


def test_a_locked_database_says_so(path: Path) -> None:
    store = opened(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(StoreError, match="locked by another process"):
        store.set_cursor("acme", "s", "x")

    assert store.cursor("acme", "s") is None  # reading waits for nobody
    other.close()
    store.close()


def test_a_crowd_that_holds_every_connection_is_said_in_our_words(path: Path) -> None:
    store = Store.open(f"sqlite:///{path}", busy=timedelta(milliseconds=5))
    with contextlib.ExitStack() as crowd:
        for _ in range(15):  # as many as SQLAlchemy opens
            crowd.enter_context(store.engine.connect())

        with pytest.raises(StoreError, match="all connections are in use"):
            store.ping()
    store.close()


def _moved(path: Path) -> None:
    path.rename(path.with_name("elsewhere.db"))


def _replaced(path: Path) -> None:
    _moved(path)
    path.write_bytes(path.with_name("elsewhere.db").read_bytes())


@pytest.mark.parametrize("harm", [Path.unlink, _moved, _replaced])
def test_nothing_is_written_into_a_file_that_is_no_longer_there(path: Path, harm: Callable[[Path], None]) -> None:
    store = opened(path)
    add(store, page(1))
    harm(path)

    for act in (store.ping, lambda: add(store, page(2))):
        with pytest.raises(StoreError, match=r"bridge\.db: is no longer the file that was opened; .* start this anew"):
            act()
    store.close()


def test_no_empty_file_takes_the_place_of_one_that_was_moved(path: Path) -> None:
    store = opened(path)
    store.engine.dispose()  # as if the next transaction needed a connection of its own
    _moved(path)

    with pytest.raises(StoreError, match="no longer the file"):
        store.ping()
    assert not path.exists()


def test_a_file_that_was_put_back_is_gone_on_with(path: Path) -> None:
    store = opened(path)
    _moved(path)
    path.with_name("elsewhere.db").rename(path)

    add(store, page(1))

    assert len(store.pending("acme", NOW, 9)) == 1
    store.close()


@pytest.mark.parametrize(("key", "warnings"), [("customer.key", 1), ("other.key", 0)])
def test_an_installation_that_lost_its_database_is_told_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, key: str, warnings: int
) -> None:
    (tmp_path / key).write_text("5" * 64)

    for _ in range(2):  # it is said once
        opened(tmp_path / "bridge.db").close()

    found = [line for line in caplog.messages if "there was no database" in line and "restore a backup" in line]
    assert len(found) == warnings


def test_a_reader_sees_one_moment(path: Path) -> None:
    store = opened(path)
    other = opened(path)

    with store._reading() as tx:
        seen = [tx.execute(text("SELECT count(*) FROM rating")).scalar()]
        add(other, page(1))
        seen.append(tx.execute(text("SELECT count(*) FROM rating")).scalar())

    assert seen == [0, 0]
    store.close()
    other.close()


def test_a_file_that_cannot_be_written_says_so(path: Path) -> None:
    store = opened(path)
    with store.engine.connect() as connection:
        connection.execute(text("PRAGMA query_only = ON"))

    with pytest.raises(StoreError, match="may this user write"):
        store.set_cursor("acme", "s", "x")
    store.close()


def test_a_read_only_server_says_so(cluster: Any) -> None:
    name = next(cluster.names)
    cluster.create(name, "migrated")
    cluster.admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    store = Store.open(cluster.url(name))

    with pytest.raises(StoreError, match="read-only"):
        store.set_cursor("acme", "s", "x")
    store.close()
    cluster.drop(name)


def test_a_server_that_stops_and_comes_back_costs_one_run(cluster: Any) -> None:
    name = next(cluster.names)
    cluster.create(name, "migrated")
    store = Store.open(cluster.url(name))
    store.ping()
    cluster.admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])

    store.ping()
    store.close()
    cluster.drop(name)


def _no_database(path: Path) -> None:
    path.write_bytes(b"not a database, but long enough to be one" * 100)


def _damaged(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(data)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("harm", "says"),
    [(_no_database, "not a database"), (_damaged, "restore a backup"), (_folder, "may this user")],
)
def test_a_file_that_is_no_good_says_so(path: Path, harm: Callable[[Path], None], says: str) -> None:
    harm(path)

    with pytest.raises(StoreError, match=says):
        add(opened(path), page(1))


def test_a_folder_that_cannot_be_made_says_so(path: Path) -> None:
    with pytest.raises(StoreError, match="may this user write there"):
        opened(path / "below" / "bridge.db")


def test_a_bug_never_quotes_what_a_customer_wrote(store: Store) -> None:
    broken = Rating("1", "1", Category.BAD, None, 2, NOW, NOW, comment="very private")  # type: ignore[arg-type]

    with pytest.raises(BridgeError, match="please report this") as caught:
        add(store, RatingPage((broken,), (), "c"))

    assert (caught.value.exit_code, caught.value.__cause__) == (70, None)
    assert "private" not in str(caught.value)


# ------------------------------------------------------------------ speed
@pytest.mark.parametrize(
    "ask",
    [
        lambda store: store.case_of_rating("acme", "31"),
        lambda store: store.claim("acme", NOW, limit=9, lease=INSTANT),
        lambda store: store.effects_of("k1"),
        lambda store: store.failures(),
        lambda store: store.flagged_since("acme", NOW),
        lambda store: store.followed_answers("acme", NOW, 9),
        lambda store: store.hints("acme", NOW, 9),
        lambda store: store.history_of("c1", NOW, 9),
        lambda store: store.next_effect_at("acme"),
        lambda store: store.next_hint_at("acme"),
        lambda store: store.open_case_of("acme", "c1"),
        lambda store: store.open_case_on("acme", "7"),
        lambda store: store.open_cases_of_incident("acme", "outage"),
        lambda store: store.open_cases_on("acme", ["7", "8"]),
        lambda store: store.purge_hints("acme", NOW),
        lambda store: store.rated_since("acme", NOW),
        lambda store: store.recoveries_of("acme", "7"),
        lambda store: store.recoveries_of_customer("c1", NOW),
        lambda store: store.steps_of(["k1", "k2"]),
        lambda store: store.was_hinted("acme", "7", NOW, NOW),
    ],
)
def test_what_is_asked_often_reads_no_whole_table_and_no_whole_account(path: Path, ask: Callable[[Store], Any]) -> None:
    store, plan = opened(path), list[str]()

    @event.listens_for(store.engine, "before_cursor_execute")
    def explain(_on: Any, cursor: Any, statement: str, values: Any, *_: Any) -> None:
        plan.extend(row[3] for row in cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", values))

    ask(store)

    assert plan
    assert not [line for line in plan if re.search(r"SCAN (cases|effect|rating|inbox)$|\(account=\?\)", line)]
    store.close()


# ------------------------------------------------------------------ looking after it
def test_a_healthy_database_has_nothing_to_say(store: Store) -> None:
    store.ping()

    assert store.quick_check() == []
    assert store.size() > 50_000


def test_a_copy_holds_everything(store: Store, tmp_path: Path) -> None:
    add(store, page(*range(1500)))
    store.remember("acme", "x", {"a": 1}, NOW)
    url = f"sqlite:///{tmp_path / 'copy' / 'plan.db'}"

    store.copy_to(url)

    copy = Store.open(url)
    assert copy.pending("acme", NOW, 9999) == store.pending("acme", NOW, 9999)
    assert copy.recall("acme", "x") == ({"a": 1}, NOW)
    copy.close()


def test_a_copy_of_sqlite_is_private(path: Path, tmp_path: Path) -> None:
    store = opened(path)

    store.copy_to(f"sqlite:///{tmp_path / 'copy.db'}")

    assert oct((tmp_path / "copy.db").stat().st_mode & 0o777) == "0o600"
    store.close()


# ------------------------------------------------------------------ times
@pytest.mark.parametrize(
    ("at", "stored"),
    [
        (NOW, "2026-11-21T09:30:00.000000Z"),
        (NOW + timedelta(microseconds=12), "2026-11-21T09:30:00.000012Z"),
        (NOW.astimezone(timezone(timedelta(hours=13, minutes=45))), "2026-11-21T09:30:00.000000Z"),
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00.000000Z"),
    ],
)
def test_times_are_text_of_one_width_in_utc(at: datetime, stored: str) -> None:
    assert tables.time_text(at) == stored
    assert datetime.fromisoformat(stored) == at


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="has no zone"):
        tables.time_text(NOW.replace(tzinfo=None))


def test_a_missing_file_whose_last_writes_are_still_there_is_not_begun_anew(tmp_path: Path) -> None:
    tmp_path.joinpath("bridge.db-wal").write_bytes(b"frames")

    with pytest.raises(StoreError, match="holds what was written last; put the file back"):
        Store.open(f"sqlite:///{tmp_path / 'bridge.db'}")

    assert not tmp_path.joinpath("bridge.db").exists()
