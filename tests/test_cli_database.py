"""`db backup`, `db check` and `db upgrade` as operators meet them, and a backup that goes to work elsewhere."""

from __future__ import annotations

import shutil
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from commands import SINCE, Said, Shell, shell_beside_a_company


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A shell after a run that flagged a ticket of each account."""
    with shell_beside_a_company(tmp_path_factory.mktemp("worked")) as shell:
        for account in ("acme", "shop"):
            shell.rate(account)
        assert shell("run --once", *SINCE).code == 0
        yield shell


@pytest.fixture
def shell(worked: Shell) -> Iterator[Shell]:
    """The same, with its environment as it was."""
    env = dict(worked.env)
    yield worked
    worked.env = env


@contextmanager
def state_in(shell: Shell, folder: Path) -> Iterator[None]:
    """Let the shell's commands live in another state folder."""
    before = shell.env["BRIDGE_STATE_DIR"]
    shell.env["BRIDGE_STATE_DIR"] = str(folder)
    yield
    shell.env["BRIDGE_STATE_DIR"] = before


def backed_up(shell: Shell, into: Path, *words: str) -> tuple[Said, Path]:
    """Take a backup; returns what was said and the newest one."""
    said = shell("db backup", str(into), *words)
    return said, max(into.iterdir())


def rows(database: Path, table: str) -> int:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        return int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


# ------------------------------------------------------------------ db backup
def test_a_backup_holds_the_database_the_keys_and_the_rules(shell: Shell, tmp_path: Path) -> None:
    (shell.state / "logins").write_bytes(b"\xff")

    said, backup = backed_up(shell, tmp_path)

    assert said.code == 0
    assert said.out.startswith(f"{backup}: acme.token, bridge.db, customer.key, logins, rules.yaml")
    assert rows(backup / "bridge.db", "cases") == 2
    assert (backup / "customer.key").read_bytes() == (shell.state / "customer.key").read_bytes()
    assert (backup / "logins").read_bytes() == b"\xff"


def test_a_backup_is_for_its_owner_alone(shell: Shell, tmp_path: Path) -> None:
    _, backup = backed_up(shell, tmp_path / "new")

    modes = {stat.filemode(path.stat().st_mode) for path in (tmp_path / "new", backup, *backup.iterdir())}

    assert modes == {"drwx------", "-rw-------"}


def test_a_backup_waits_for_no_writer_and_holds_what_was_there_when_it_began(shell: Shell, tmp_path: Path) -> None:
    with closing(sqlite3.connect(shell.state / "bridge.db", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM account_state")

        _, backup = backed_up(shell, tmp_path)

        writer.execute("ROLLBACK")
    assert rows(backup / "bridge.db", "account_state") == rows(shell.state / "bridge.db", "account_state")


def test_only_so_many_are_kept_and_nothing_else_is_removed(shell: Shell, tmp_path: Path) -> None:
    for name in ("2026-01-01T000000Z", "2026-01-02T000000Z", "2026-01-02T000000Z.mine"):
        (tmp_path / name).mkdir()

    said, backup = backed_up(shell, tmp_path, "--keep", "2")

    assert {path.name for path in tmp_path.iterdir()} == {"2026-01-02T000000Z", "2026-01-02T000000Z.mine", backup.name}
    assert said.says(f"{tmp_path / '2026-01-01T000000Z'}: removed")


def test_a_backup_that_fails_leaves_nothing_behind(shell: Shell, tmp_path: Path) -> None:
    said = shell("db backup", str(tmp_path), file_size=20_000)

    assert said.code == 74
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_said(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    said = shell("db backup", str(tmp_path / "file" / "below"))

    assert (said.code, said.err.count("\n")) == (74, 1)
    assert said.says(str(tmp_path / "file"), "may this user write")


def test_without_a_database_there_is_nothing_to_copy(shell: Shell, tmp_path: Path) -> None:
    with state_in(shell, tmp_path / "empty"):
        said = shell("db backup", str(tmp_path / "backups"))

    assert said.code == 74
    assert not (tmp_path / "backups").exists()


def test_programs_are_told_the_folder_its_files_and_what_was_removed(shell: Shell, tmp_path: Path) -> None:
    said, backup = backed_up(shell, tmp_path, "--json")

    assert said.json["folder"] == str(backup)
    assert set(said.json) == {"folder", "files", "bytes", "removed"}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_postgresql_is_left_to_pg_dump(shell: Shell, database_url: str, tmp_path: Path) -> None:
    shell.env["BRIDGE_DATABASE_URL"] = database_url

    said, backup = backed_up(shell, tmp_path)

    assert said.says("the database is not in it", "pg_dump")
    assert not (backup / "bridge.db").exists()
    assert (backup / "customer.key").exists()


# ------------------------------------------------------------------ restoring
def test_a_restored_backup_goes_on_and_does_nothing_twice(shell: Shell, tmp_path: Path) -> None:
    _, backup = backed_up(shell, tmp_path)
    shell.rate("acme", customer="Tom Tanner")
    shell("run --once")
    written, restored = shell.written(), tmp_path / "restored"
    shutil.copytree(backup, restored)

    with state_in(shell, restored):
        assert shell("db check").code == 0
        shell.rules(mode="shadow")
        assert shell("run --once").code == 0
        compared = shell("verify --since 2020-01-01")
        shell.rules(mode="live")

    assert compared.says("2 effects on 2 tickets compared: 2 as recorded, 0 differ")
    assert shell.written() == written


# ------------------------------------------------------------------ db check
def test_a_sound_database_is_called_sound(shell: Shell) -> None:
    said = shell("db check")

    assert said.code == 0
    assert said.says("bridge.db: sound (", "schema 0001)")


def test_a_damaged_one_ends_with_1_and_pushes_out_no_backup(shell: Shell, tmp_path: Path) -> None:
    _, backup = backed_up(shell, tmp_path / "backups")
    shutil.copyfile(backup / "bridge.db", tmp_path / "bridge.db")
    with (tmp_path / "bridge.db").open("r+b") as file:
        file.seek(36)
        file.write((1).to_bytes(4))  # the header now speaks of a free page that is nowhere

    with state_in(shell, tmp_path):
        checked, copied = shell("db check"), shell("db backup", str(tmp_path / "backups"), "--keep", "1")

    assert (checked.code, copied.code) == (1, 74)
    assert checked.says("bridge.db: damaged: ")
    assert list((tmp_path / "backups").iterdir()) == [backup]


# ------------------------------------------------------------------ db upgrade
def test_upgrade_says_from_where_to_where(shell: Shell, tmp_path: Path) -> None:
    with state_in(shell, tmp_path):
        first, again = shell("db upgrade"), shell("db upgrade", "--json")

    assert first.out == f"{tmp_path / 'bridge.db'}: schema 0001; before: none\n"
    assert again.json == {"database": str(tmp_path / "bridge.db"), "from": "0001", "to": "0001"}


def test_a_database_of_a_newer_program_is_left_alone(shell: Shell, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "bridge.db", isolation_level=None)) as db:
        db.execute("CREATE TABLE alembic_version (version_num TEXT)")
        db.execute("INSERT INTO alembic_version VALUES ('9999')")

    with state_in(shell, tmp_path):
        said = shell("db upgrade")

    assert said.code == 78
    assert said.says("its schema is 9999, newer than")
