"""Who may sign in to the dashboard: `login add`, `login list`, `login role`, `login password`, `login remove`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from bridge.cli.shell import cli, json_option, print_json

if TYPE_CHECKING:
    from bridge.logins import Entry, Hash, Logins

ROLES = click.Choice(["viewer", "operator"])
stdin_option = click.option("--password-stdin", "from_stdin", is_flag=True, help="Read the password from stdin.")


@cli.group()
def login() -> None:
    """Say who may sign in to the dashboard: viewers look, operators retry, resume and close, too.

    What is changed holds at once, also for whoever is signed in.

    \b
    Example:
        recovery-bridge login add ana --role operator
        recovery-bridge login add vic@example.com --no-password
        recovery-bridge login list
    """


@login.command()
@click.argument("name")
@click.option("--role", type=ROLES, default="viewer", show_default=True, help="What they may do.")
@stdin_option
@click.option("--no-password", is_flag=True, help="A reverse proxy signs them in; see serve --user-header.")
def add(name: str, role: str, *, from_stdin: bool, no_password: bool) -> None:
    """Let somebody in. The password is asked for, or read from stdin; it has at least 12 characters.

    \b
    Example:
        recovery-bridge login add ana --role operator
        recovery-bridge login add vic@example.com --no-password
        pwgen -s 20 1 | tee /dev/tty | recovery-bridge login add vic --password-stdin
    """
    from bridge.logins import Entry, Role

    if from_stdin and no_password:
        raise click.UsageError("write --password-stdin or --no-password, not both")
    logins, name = _logins(), _canonical(name)
    if name in logins.entries():
        raise click.UsageError(f"{name} is there already; change them with login role, login password, login remove")
    password = None if no_password else _new_password(name, from_stdin=from_stdin)
    logins.put(Entry(name, Role(role), password))
    click.echo(f"{name} may sign in as {role}" if password else f"{name} may come in by the proxy as {role}")


@login.command("list")
@json_option
def list_people(as_json: bool) -> None:
    """Show who may sign in.

    \b
    Example:
        recovery-bridge login list --json
    """
    entries = list(_logins().entries().values())
    if as_json:
        print_json([{"name": one.name, "role": str(one.role), "password": one.password is not None} for one in entries])
        return
    width = max((len(one.name) for one in entries), default=0)
    for one in entries:
        click.echo(f"{one.name:{width}}  {one.role:8}  {'password' if one.password else 'by the proxy'}")
    if not entries:
        click.echo("nobody can sign in yet; let somebody in: recovery-bridge login add NAME --role operator")


@login.command()
@click.argument("name")
@click.argument("role", type=ROLES)
def role(name: str, role: str) -> None:
    """Change what somebody may do; whoever is signed in has to sign in again.

    \b
    Example:
        recovery-bridge login role vic operator
    """
    from dataclasses import replace

    from bridge.logins import Role

    logins = _logins()
    entry = _known(logins, name)
    logins.put(replace(entry, role=Role(role)))
    click.echo(f"{entry.name} is {role} now")


@login.command()
@click.argument("name")
@stdin_option
def password(name: str, *, from_stdin: bool) -> None:
    """Give somebody another password; whoever is signed in with the old one is signed out.

    \b
    Example:
        recovery-bridge login password ana
    """
    from dataclasses import replace

    logins = _logins()
    entry = _known(logins, name)
    logins.put(replace(entry, password=_new_password(entry.name, from_stdin=from_stdin)))
    click.echo(f"{entry.name} has a new password")


@login.command()
@click.argument("name")
def remove(name: str) -> None:
    """Let somebody in no more, and end their sessions.

    \b
    Example:
        recovery-bridge login remove vic
    """
    logins = _logins()
    entry = _known(logins, name)
    logins.remove(entry.name)
    click.echo(f"{entry.name} may not sign in any more")


def _logins() -> Logins:
    from bridge.logins import Logins, logins_path
    from bridge.settings import state_dir

    state_dir(os.environ)  # so that there is a place for the file
    return Logins(logins_path(os.environ))


def _canonical(name: str) -> str:
    from bridge.logins import canonical

    try:
        return canonical(name)
    except ValueError as exc:
        raise click.UsageError(f"{name!r} {exc}") from exc


def _known(logins: Logins, name: str) -> Entry:
    entry = logins.entries().get(_canonical(name))
    if entry is None:
        raise click.UsageError(f"nobody is called {name!r}; recovery-bridge login list shows who may sign in")
    return entry


def _new_password(name: str, *, from_stdin: bool) -> Hash:
    """Ask for a password twice, or read it from stdin: never from the command line, where others can see it."""
    from bridge.logins import Cost, Hash, why_weak

    if from_stdin:
        text = sys.stdin.readline().rstrip("\r\n")
    elif sys.stdin.isatty():
        text = click.prompt(f"Password of {name}", hide_input=True, confirmation_prompt="The same again", err=True)
    else:
        raise click.UsageError("no terminal to ask for a password; write it to stdin, with --password-stdin")
    if why := why_weak(text, name):
        raise click.UsageError(f"the password {why}")
    return Hash.of(text, Cost())
