"""The database: `db backup`, `db check` and `db upgrade`. None is stopped by a mistake in rules.yaml."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.shell import cli, exit_with, json_option, print_json, rules_option
from bridge.errors import StoreError

if TYPE_CHECKING:
    from bridge.store.database import Database

unread_rules = click.option("--rules", type=click.Path(), expose_value=False, help="Is not read here.")


@cli.group()
def db() -> None:
    """Look after the database: copy it, look through it, bring it up to this program.

    \b
    Example:
        recovery-bridge db backup /var/backups/recovery-bridge --keep 14
        recovery-bridge db check
    """


@db.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--keep", type=click.IntRange(1), help="Then remove all backups in FOLDER but so many.")
@rules_option
@json_option
def backup(folder: Path, keep: int | None, rules_path: Path, as_json: bool) -> None:
    """Copy database, keys, logins and rules.yaml into a new folder below FOLDER, while runs go on.

    \b
    Example:
        recovery-bridge db backup /var/backups/recovery-bridge --keep 14
    """
    from bridge.backup import forget_old, take
    from bridge.settings import state_dir

    with _database(must_exist=True) as database:
        taken = take(database, state_dir(os.environ), rules_path, folder, _now())
        place, is_in_it = database.place, database.file is not None
    removed = forget_old(folder, keep) if keep else []
    if as_json:
        print_json({"folder": taken.folder, "files": taken.files, "bytes": taken.bytes, "removed": removed})
        return
    click.echo(f"{taken.folder}: {', '.join(taken.files) or 'nothing'} ({taken.bytes // 1024} KiB)")
    if not is_in_it:
        click.echo(f"{place}: the database is not in it; copy it with pg_dump --format=custom")
    for one in removed:
        click.echo(f"{one}: removed")


@db.command()
@unread_rules
@json_option
def check(as_json: bool) -> None:
    """Look through the database; leaves with 1 if it is damaged.

    \b
    Example:
        recovery-bridge db check
        BRIDGE_STATE_DIR=/var/backups/recovery-bridge/2026-11-22T031500Z recovery-bridge db check
    """
    with _database(must_exist=True) as database:
        damage, size, schema = database.quick_check(), database.size(), database.revision()
        place, can_tell = database.place, database.file is not None
    if as_json:
        print_json({"database": place, "schema": schema, "bytes": size, "damage": damage})
    else:
        for line in damage:
            click.echo(f"{place}: damaged: {line}")
        if not damage:
            word = "sound" if can_tell else "answers; pg_amcheck looks through its pages"
            click.echo(f"{place}: {word} ({size // 1024} KiB, schema {schema})")
    exit_with(1 if damage else 0)


@db.command()
@unread_rules
@json_option
def upgrade(as_json: bool) -> None:
    """Bring the schema up to this program, as every other command does by itself when it opens the database.

    \b
    Example:
        recovery-bridge db backup /var/backups/recovery-bridge
        recovery-bridge db upgrade
    """
    with _database() as database:
        before = database.revision()
        database.migrate()
        after, place = database.revision(), database.place
    if as_json:
        print_json({"database": place, "from": before, "to": after})
    elif before == after:
        click.echo(f"{place}: schema {after}, as this program wants it; nothing to do")
    else:
        click.echo(f"{place}: schema {after}; before: {before or 'none'}")


@contextmanager
def _database(*, must_exist: bool = False) -> Iterator[Database]:
    """Open the database as it is; to look at one does not change its schema."""
    from bridge.settings import database_url, state_dir
    from bridge.store.database import Database

    database = Database.reach(database_url(os.environ, state_dir(os.environ)))
    try:
        if must_exist and database.revision() is None:
            raise StoreError(f"{database.place}: there is no database of ours yet; the first run makes it")
        yield database
    finally:
        database.close()


def _now() -> datetime:
    """Return the time of this process's clock, where it is not the machine's."""
    times = click.get_current_context().obj or {}
    now: datetime = times.get("now", lambda: datetime.now(UTC))()
    return now
