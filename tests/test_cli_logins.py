"""`recovery-bridge login`: letting people in, on a terminal, from a pipe, and by mistake."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bridge.cli.logins import login
from bridge.logins import Logins, Role
from tests.web.people import entry

PASSWORD = "a quiet harbour"


class Desk:
    """Where the commands are given, without a terminal."""

    def __init__(self, state: Path) -> None:
        self.logins, self.env = Logins(state / "logins"), {"BRIDGE_STATE_DIR": str(state)}

    def __call__(self, command: str, stdin: str = "") -> Result:
        return CliRunner(env=self.env).invoke(login, command.split(), input=stdin, prog_name="recovery-bridge login")

    def on_a_terminal(self, command: str, *typed: str) -> str:
        """Give a command in a process of its own, type lines, and return what the terminal showed."""
        ours, theirs = pty.openpty()
        words = [sys.executable, "-m", "bridge", "login", *command.split()]
        env = {"PATH": os.environ["PATH"], **self.env}
        with subprocess.Popen(words, env=env, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True):
            os.close(theirs)
            shown = b""
            for line in typed:
                while not shown.endswith(b": "):
                    shown += os.read(ours, 1000)
                os.write(ours, f"{line}\n".encode())
                shown += b"\n"
            try:
                while more := os.read(ours, 1000):
                    shown += more
            except OSError:  # the terminal is gone with its last process
                pass
        os.close(ours)
        return shown.decode()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "state")


@pytest.fixture
def known(desk: Desk) -> Desk:
    """A desk that knows ana already."""
    desk.logins.path.parent.mkdir()
    desk.logins.put(entry("ana", Role.OPERATOR, PASSWORD))
    return desk


def test_a_password_comes_from_stdin_without_its_end_of_line(desk: Desk) -> None:
    said = desk("add Ana --role operator --password-stdin", f"{PASSWORD}\r\n")

    assert (said.exit_code, said.output) == (0, "ana may sign in as operator\n")
    assert desk.logins.let_in("ana", PASSWORD) is not None
    assert PASSWORD not in desk.logins.path.read_text()


def test_on_a_terminal_a_password_is_asked_for_twice_and_not_shown(desk: Desk) -> None:
    shown = desk.on_a_terminal("add ana", PASSWORD, "another one here", PASSWORD, PASSWORD)

    assert "ana may sign in as viewer" in shown
    assert "do not match" in shown
    assert PASSWORD not in shown
    assert desk.logins.let_in("ana", PASSWORD) is not None


def test_whom_a_proxy_signs_in_has_no_password(desk: Desk) -> None:
    said = desk("add vic@example.com --no-password")

    assert said.output == "vic@example.com may come in by the proxy as viewer\n"
    assert desk.logins.entries()["vic@example.com"].password is None


def test_people_are_listed_without_their_passwords(known: Desk) -> None:
    known("add vic@example.com --no-password")

    assert known("list").output == "ana              operator  password\nvic@example.com  viewer    by the proxy\n"
    assert json.loads(known("list --json").output) == [
        {"name": "ana", "role": "operator", "password": True},
        {"name": "vic@example.com", "role": "viewer", "password": False},
    ]


def test_while_nobody_is_listed_the_list_says_how_to_begin(desk: Desk) -> None:
    assert "nobody can sign in yet; let somebody in: recovery-bridge login add NAME" in desk("list").output
    assert json.loads(desk("list --json").output) == []


def test_somebody_may_do_more_or_less_with_the_same_password(known: Desk) -> None:
    assert known("role ANA viewer").output == "ana is viewer now\n"

    found = known.logins.let_in("ana", PASSWORD)
    assert found is not None
    assert found.role == "viewer"


def test_a_password_is_changed(known: Desk) -> None:
    known("password ana --password-stdin", "some other words")

    assert known.logins.let_in("ana", PASSWORD) is None
    assert known.logins.let_in("ana", "some other words") is not None


def test_somebody_is_let_in_no_more(known: Desk) -> None:
    assert known("remove ana").output == "ana may not sign in any more\n"
    assert known.logins.entries() == {}


@pytest.mark.parametrize(
    ("command", "stdin", "why"),
    [
        ("add ana --password-stdin", PASSWORD, "ana is there already; change them with login role,"),
        ("add new --password-stdin", "short", "the password has 5 characters; use at least 12"),
        ("add new --password-stdin", "", "the password has 0 characters"),
        ("add new --password-stdin", "my-new-password", "the password is too easily guessed"),
        ("add new", PASSWORD, "no terminal to ask for a password; write it to stdin, with --password-stdin"),
        ("add new --no-password --password-stdin", PASSWORD, "not both"),
        ("add a/b --no-password", "", "'a/b' is no name; use letters a to z"),
        ("add new --role boss", "", "'boss' is not one of 'viewer', 'operator'"),
        ("add new " + PASSWORD.replace(" ", "-"), "", "unexpected extra argument"),
        ("remove new", "", "nobody is called 'new'; recovery-bridge login list shows who may sign in"),
        ("role new viewer", "", "nobody is called 'new'"),
        ("password new --password-stdin", PASSWORD, "nobody is called 'new'"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(known: Desk, command: str, stdin: str, why: str) -> None:
    before = known.logins.path.read_text()

    said = known(command, stdin)

    assert (said.exit_code, why in said.output) == (2, True)
    assert known.logins.path.read_text() == before


@pytest.mark.parametrize("command", ["", *(f"{one} " for one in ("add", "list", "role", "password", "remove"))])
def test_every_command_shows_an_example(desk: Desk, command: str) -> None:
    said = desk(f"{command}--help").output

    assert "Example:" in said
    assert f"recovery-bridge login {command.strip() or 'add'}" in said


def test_a_file_that_cannot_be_used_ends_with_78(known: Desk) -> None:
    known.logins.path.chmod(0o644)

    run = subprocess.run(
        [sys.executable, "-m", "bridge", "login", "list"],
        env={"PATH": os.environ["PATH"], **known.env}, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (run.returncode, run.stdout) == (78, "")
    assert run.stderr == f"{known.logins.path}: others can read or write it; run: chmod 600 {known.logins.path}\n"
