"""A backup: what one installation needs to go on elsewhere, in a folder by itself that looks like the state folder.

Database, keys, logins, rules.yaml, and what connectors keep: tokens of today, and the secrets of webhooks. What we sign
in with at helpdesks is not in the state folder, and so not in here; nor are logins that BRIDGE_LOGINS_FILE puts
elsewhere.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bridge.errors import StoreError
from bridge.store.database import Database

COPY = "bridge.db"  # the copy's name, whatever the database is called
NAME = re.compile(r"\d{4}-\d\d-\d\dT\d{6}Z")  # of a finished backup; a later one sorts later


@dataclass(frozen=True)
class Backup:
    """What was copied, and where it is now."""

    folder: Path
    files: tuple[str, ...]  # their names
    bytes: int


def take(database: Database, state: Path, rules: Path, into: Path, now: datetime) -> Backup:
    """Copy everything into a new folder below *into*, for its owner alone, while others go on writing.

    The folder gets its name once all of it is on the disk and the copy of the database was looked through. A database
    on PostgreSQL is left to its own means. Raises StoreError.
    """
    done = into / now.astimezone(UTC).strftime("%Y-%m-%dT%H%M%SZ")
    draft = into / f".{done.name}.{os.getpid()}"
    try:
        into.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft.mkdir(mode=0o700)
        _fill(draft, database, state, rules)
        files = sorted(draft.iterdir())
        found = Backup(done, tuple(file.name for file in files), sum(file.stat().st_size for file in files))
        draft.rename(done)
    except OSError as exc:
        raise StoreError(f"{exc.filename or into}: {exc.strerror}; may this user write in {into}?") from exc
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return found


def _fill(draft: Path, database: Database, state: Path, rules: Path) -> None:
    if database.file:
        _copy_database(database, draft / COPY)  # before the keys: those that it was written with exist by then
    for file in _private_files(state, database.file):
        _copy(file, draft / file.name)
    if rules.is_file():
        _copy(rules, draft / "rules.yaml")


def _copy_database(database: Database, target: Path) -> None:
    """Copy it, unless it is damaged: such a copy would push out those that are sound."""
    _look_through(database)
    url = f"sqlite:///{target}"
    database.copy_to(url)
    copy = Database.reach(url)
    try:
        _look_through(copy)
    finally:
        copy.close()


def _look_through(database: Database) -> None:
    if damage := database.quick_check():
        raise StoreError(f"{database.place}: is damaged: {damage[0]}; no backup was made; restore the last one")


def _private_files(state: Path, database: Path | None) -> Iterator[Path]:
    """Yield the files of the state folder, but for the database's own, locks and drafts."""
    passed_over = (".", COPY, database.name if database else COPY)
    for file in sorted(state.iterdir()):
        if file.is_file() and file.suffix != ".lock" and not file.name.startswith(passed_over):
            yield file


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as old, os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as new:
        shutil.copyfileobj(old, new)
        new.flush()
        os.fsync(new.fileno())


def forget_old(into: Path, keep: int) -> list[Path]:
    """Remove all backups below *into* but the newest *keep*, and return them. Raises StoreError."""
    old = sorted(folder for folder in into.iterdir() if folder.is_dir() and NAME.fullmatch(folder.name))[:-keep]
    try:
        for folder in old:
            shutil.rmtree(folder)
    except OSError as exc:
        raise StoreError(f"{exc.filename}: cannot be removed ({exc.strerror})") from exc
    return old
