"""What `doctor` looks at: this machine's own side first, then what the connector finds in the helpdesk."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.app import App
from bridge.connector import Finding, Level
from bridge.errors import CredentialsRefused, HelpdeskError
from bridge.notify import Channels


def examine(app: App, account: str) -> Iterator[Finding]:
    """Yield the findings about one account; trouble with the helpdesk is a finding, not an end."""
    yield from _own_side(app)
    try:
        yield from app.engine.desks[account].doctor()
        yield from _names(app, account)
    except CredentialsRefused as exc:
        yield Finding(Level.FAIL, str(exc), "check the secrets of this account and the role of their user")
    except HelpdeskError as exc:
        yield Finding(Level.FAIL, str(exc), "check the url of this account and the way there")


def _own_side(app: App) -> Iterator[Finding]:
    damage = app.store.quick_check()
    if damage:
        yield Finding(Level.FAIL, f"the database is damaged: {damage[0]}", "restore a backup")
    for name, person in app.rules.people.items():
        if person.notify and (missing := _unreachable(person.notify, app.delivery.channels)):
            yield Finding(Level.WARNING, f"{name} cannot be told anything", missing)


def _unreachable(target: str, channels: Channels) -> str | None:
    """Return what to set so that a target can be reached, or None if it can."""
    if target.startswith("#"):
        return None if channels.slack_webhook else "set BRIDGE_SLACK_WEBHOOK to the address of a chat webhook"
    if target.startswith("https://"):
        return None
    return None if channels.smtp_url else "set BRIDGE_SMTP_URL, such as smtp://user:password@mail.example.com:587"


def _names(app: App, account: str) -> Iterator[Finding]:
    """Compare the groups and agents that rules.yaml names with those of the helpdesk."""
    directory = app.engine.desks[account].directory(fresh=True)
    able = sum(agent.unusable is None for agent in directory.agents.values())
    yield Finding(
        Level.OK, f"{able} of {len(directory.agents)} agents can be given tickets, {len(directory.groups)} groups"
    )
    for problem in app.rules.unknown_names({account: directory}):
        yield Finding(
            Level.WARNING, str(problem).splitlines()[0], "correct the name, or ignore this if it is of another account"
        )
