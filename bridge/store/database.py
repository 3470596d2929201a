"""One database: opening and migrating it, its two kinds of transaction, and its troubles in our words.

SQLite: WAL, synchronous=FULL, BEGIN IMMEDIATE for whoever writes (a transaction that reads first and writes later
loses against another writer: "database is locked"). PostgreSQL: psycopg 3, READ COMMITTED and row locks.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, Engine, create_engine, event, insert, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from bridge.errors import BridgeError, SettingsError, StoreError
from bridge.store.rows import StaleCase
from bridge.store.tables import metadata, tell_postgresql

log = logging.getLogger(__name__)

REVISIONS = ("0001",)  # the names of migrations/versions, oldest first
BUSY = timedelta(seconds=10)  # how long to wait for another writer, and for a connection of ours
STANDS_STILL = timedelta(minutes=1)  # how long a transaction may do nothing; ours last milliseconds
_MIGRATING = 0x7265636F  # any number: the advisory lock of whoever migrates


class Database:
    """A database, and a pool of connections to it; `open` gives one at the newest schema. *place* names it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.place = _place(engine.url)
        self._is_sqlite = engine.dialect.name == "sqlite"
        self._opened = self._inode()
        if engine.dialect.name == "postgresql":
            from sqlalchemy.dialects.postgresql import insert
        else:
            from sqlalchemy.dialects.sqlite import insert  # type: ignore[assignment]
        self._insert: Any = insert  # the one with on_conflict_do_...(), in this database's dialect

    @classmethod
    def open(cls, url: str, *, busy: timedelta = BUSY) -> Self:
        """Open the database at *url*, creating or migrating it first where that is needed.

        Raises SettingsError for an address that cannot be used and for a schema newer than this program;
        StoreError if the database cannot be read or written.
        """
        self = cls.reach(url, busy=busy)
        try:
            self.migrate()
        except BaseException:
            self.close()
            raise
        return self

    @classmethod
    def reach(cls, url: str, *, busy: timedelta = BUSY) -> Self:
        """Return the database at *url* as it is: of another version, perhaps, or empty.

        Raises SettingsError for an address that cannot be used.
        """
        found = _parsed(url)
        return cls(_postgresql(found, busy) if found.get_backend_name() == "postgresql" else _sqlite(found, busy))

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Connection]:
        """One transaction that may write: all of it happens, or nothing."""
        self._check_file()
        with self._translated(), self.engine.begin() as tx:
            self._begin(tx, "BEGIN IMMEDIATE")
            yield tx

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Connection]:
        """One transaction that only reads, and waits for no writer."""
        self._check_file()
        with self._translated(), self.engine.begin() as tx:
            self._begin(tx, "BEGIN DEFERRED")
            yield tx

    def _begin(self, tx: Connection, how: str) -> None:
        """Begin on SQLite, past SQLAlchemy: as one of its events this would make every statement cost twice as much."""
        if self._is_sqlite:
            driver: Any = tx.connection.driver_connection
            driver.execute(how)

    def _inode(self) -> tuple[int, int] | None:
        """Return which file is at the path now: device and number; None if there is none, as for PostgreSQL."""
        path = self.engine.url.database
        if not self._is_sqlite or not path:
            return None
        try:
            found = Path(path).stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _check_file(self) -> None:
        """Raise StoreError if the file was moved or removed: SQLite writes on into it, and what it keeps is lost.

        Before each transaction, as it costs microseconds, and a new connection would make an empty file at the path.
        """
        if self._inode() != self._opened:
            raise StoreError(
                f"{self.place}: is no longer the file that was opened; it was moved or removed;"
                " put it back and start this anew"
            )

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except PoolTimeout:
            raise StoreError(f"{self.place}: all connections are in use; try again in a moment") from None
        except (DBAPIError, sqlite3.Error) as exc:
            # Not `from exc`: the driver's words may quote the row, and with it what a customer wrote.
            raise _translated(exc, self.place) from None

    def migrate(self) -> None:
        """Bring the schema up to this program. Raises SettingsError for one that is newer."""
        found = self.revision()
        if found == REVISIONS[-1]:
            return
        if found is None:
            self._warn_of_loss()
        from bridge.store.migrations import upgrade

        with self._writing() as tx:
            if tx.dialect.name == "postgresql":
                tx.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATING})"))
            upgrade(tx)

    def _warn_of_loss(self) -> None:
        """Say that an installation, which has worked before, begins with an empty file."""
        key = Path(self.place).with_name("customer.key")  # made once the first file is open
        if self._opened and key.exists():
            log.warning(
                "%s: there was no database, but %s is of an installation that has worked before: its open cases are"
                " forgotten; if the database was lost, stop this and restore a backup (README, Restoring a backup);"
                " else go on: the next run reads the last 90 days as memory again",
                *(self.place, key),
            )

    def revision(self) -> str | None:
        """Return the revision of the schema, None for an empty database. Raises SettingsError if it is not ours."""
        with self._reading() as tx:
            if not tx.dialect.has_table(tx, "alembic_version"):
                return None
            found = tx.execute(text("SELECT version_num FROM alembic_version")).scalar()
        if found is None or found in REVISIONS:
            return found
        raise SettingsError(
            f"{self.place}: its schema is {found}, newer than the {REVISIONS[-1]} of this program;"
            " install the version of recovery-bridge that wrote it, or a newer one"
        )

    def copy_to(self, url: str) -> None:
        """Copy everything, as it is at one moment, into a new database at *url*."""
        target = _parsed(url)
        if {self.engine.dialect.name, target.get_backend_name()} == {"sqlite"}:
            self._copy_file(Path(target.database or ""))
            return
        copy = type(self).open(url)
        try:
            with self._reading() as tx, copy._writing() as new:
                for table in metadata.sorted_tables:
                    for rows in tx.execution_options(yield_per=1000).execute(select(table)).mappings().partitions():
                        new.execute(insert(table), [dict(row) for row in rows])
        finally:
            copy.close()

    def _copy_file(self, path: Path) -> None:
        _make_private(path)
        with self._translated(), self.engine.connect() as connection:
            connection.exec_driver_sql("VACUUM INTO ?", (str(path),))

    def ping(self) -> None:
        """Read one row. Raises StoreError if that fails."""
        with self._reading() as tx:
            tx.execute(select(1))

    @property
    def file(self) -> Path | None:
        """Where SQLite keeps it; None for PostgreSQL."""
        return Path(self.engine.url.database or "") if self._is_sqlite else None

    def quick_check(self) -> list[str]:
        """Let SQLite look through its pages and return what is wrong with them; PostgreSQL has its own means."""
        if not self._is_sqlite:
            return []
        with self._reading() as tx:
            said = tx.execute(text("PRAGMA quick_check(20)")).scalars().all()
        return [] if said == ["ok"] else [str(line) for line in said]

    def size(self) -> int:
        """Return the size of the database in bytes."""
        asks = {
            "sqlite": "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()",
            "postgresql": "SELECT pg_database_size(current_database())",
        }
        with self._reading() as tx:
            return int(tx.execute(text(asks[tx.dialect.name])).scalar_one())


# ------------------------------------------------------------------ addresses
def _parsed(url: str) -> URL:
    try:
        found = make_url(url)
    except ArgumentError:
        found = None
    if found is not None and found.get_backend_name() in ("postgres", "postgresql"):
        return found.set(drivername="postgresql+psycopg")
    if found is not None and found.drivername in ("sqlite", "sqlite+pysqlite"):
        return found
    raise SettingsError(
        "BRIDGE_DATABASE_URL: not an address of a database that can be used;"
        " write sqlite:////path/to/bridge.db or postgresql://user@host/name"
    )


def _place(url: URL) -> str:
    """Name the database in a message; an address may hold a password, even among its options."""
    if url.get_backend_name() == "sqlite":
        return url.database or "sqlite in memory"
    return f"postgresql {url.host or 'on this machine'}/{url.database or ''}"


def _sqlite(url: URL, busy: timedelta) -> Engine:
    pool = {}
    if url.database and url.database != ":memory:":
        _make_private(Path(url.database))
        pool = {"pool_timeout": busy.total_seconds()}
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": busy.total_seconds()}, **pool)

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver begins no transaction of its own
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    return engine


def _make_private(path: Path) -> None:
    """Create the file where it is missing, for nobody else to read; SQLite gives its other files the same mode.

    Raises StoreError where the file is gone and what was written last is still beside it: SQLite would throw it away.
    """
    log_of_writes = Path(f"{path}-wal")
    try:
        if not path.exists() and log_of_writes.exists() and log_of_writes.stat().st_size:
            todo = f"put the file back, or move {log_of_writes.name} away to begin anew"
            raise StoreError(f"{path}: is missing, and {log_of_writes.name} holds what was written last; {todo}")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as exc:
        raise StoreError(f"{path}: {exc.strerror}; may this user write there?") from exc


def _postgresql(url: URL, busy: timedelta) -> Engine:
    options = {
        "connect_timeout": 10,
        "keepalives_idle": 30,  # seconds; a connection that died silently is noticed within two minutes
        "options": f"-c lock_timeout={int(busy.total_seconds() * 1000)} -c timezone=UTC"
        # A process that is frozen within a transaction must not keep its rows from the others for ever.
        f" -c idle_in_transaction_session_timeout={int(STANDS_STILL.total_seconds() * 1000)}",
        "application_name": "recovery-bridge",
    }
    try:
        engine = create_engine(
            url, hide_parameters=True, pool_pre_ping=True, pool_timeout=busy.total_seconds(), connect_args=options
        )
    except ImportError as exc:
        raise SettingsError(
            "BRIDGE_DATABASE_URL: PostgreSQL needs psycopg; pip install 'recovery-bridge[postgresql]'"
        ) from exc
    tell_postgresql()
    return engine


# ------------------------------------------------------------------ troubles
_SQLITE_TROUBLES = {
    "FULL": "the disk is full; make room, then run again",
    "READONLY": "it is read-only; may this user write the file and its directory?",
    "BUSY": "it is locked by another process; wait for that one, or end it",
    "LOCKED": "it is locked by another process; wait for that one, or end it",
    "CORRUPT": "it cannot be read whole; look at the system's log, and restore a backup if doctor finds damage",
    "NOTADB": "it is not a database; move it away, or correct BRIDGE_DATABASE_URL",
    "CANTOPEN": "it cannot be opened; may this user read and write there?",
    "PERM": "it cannot be opened; may this user read and write there?",
    "IOERR": "the disk does not answer as it should; look at the system's log",
}
_POSTGRESQL_TROUBLES = {  # by SQLSTATE, or its class
    "53100": "the disk of the server is full; make room, then run again",
    "25006": "it is read-only; is this a replica?",
    "42501": "this user lacks a permission",
    "25P03": "a transaction stood still for too long, and was ended; run again",
    "55P03": "it is locked by another process; wait for that one, or end it",
    "40": "two processes stood in each other's way; run again",
    "53": "the server has not enough resources",
    "57": "the server was stopped; run again when it is back",
    "08": "the connection broke; run again when the server is back",
    "XX": "it is damaged; restore a backup",
    "58": "the disk of the server does not answer as it should; look at its log",
}


def _translated(exc: DBAPIError | sqlite3.Error, place: str) -> BridgeError:
    orig: Any = getattr(exc, "orig", exc)
    if (name := getattr(orig, "sqlite_errorname", None)) is not None:
        said, trouble = str(orig), _SQLITE_TROUBLES.get(name.split("_")[1])
        unique = name in ("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY")
    else:
        state = getattr(orig, "sqlstate", None) or ""
        said = (orig.diag.message_primary if state else None) or type(orig).__name__
        trouble = _POSTGRESQL_TROUBLES.get(state) or _POSTGRESQL_TROUBLES.get(state[:2])
        unique = state == "23505"
        broke = isinstance(exc, DBAPIError) and exc.connection_invalidated
        if not state and (broke or type(orig).__name__ == "OperationalError"):
            trouble = "cannot be reached; is the server running, and BRIDGE_DATABASE_URL right?"
    if unique and isinstance(exc, IntegrityError):
        return StaleCase(f"{place}: {said}: another process was faster; read again")
    if trouble:
        return StoreError(f"{place}: {said}: {trouble}")
    return BridgeError(f"{place}: {type(orig).__name__}: {said}; please report this")
