"""What `doctor` looks at: this machine's own side first, then what the connector finds in the helpdesk."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.app import App
from bridge.connector import Finding, Level
from bridge.errors import BadRecord, CredentialsRefused, HelpdeskError
from bridge.notify import Channels


def examine(app: App, account: str) -> Iterator[Finding]:
    """Yield the findings about one account; trouble with the helpdesk is a finding, not an end."""
    try:
        failed = False
        for finding in app.engine.desks[account].doctor():
            failed = failed or finding.level is Level.FAIL
            yield finding
        if not failed:
            yield from _names(app, account)
    except CredentialsRefused as exc:
        yield Finding(Level.FAIL, str(exc), "check the secrets of this account and the role of their user")
    except (HelpdeskError, BadRecord) as exc:
        yield Finding(Level.FAIL, str(exc), "check the url of this account and the way there")


def examine_here(app: App) -> Iterator[Finding]:
    """Yield the findings about this machine: the database, and the ways to members of staff."""
    damage = app.store.quick_check()
    if damage:
        yield Finding(Level.FAIL, f"the database is damaged: {damage[0]}", "restore a backup")
    else:
        yield Finding(Level.OK, f"the database is sound ({app.store.size() // 1024} KiB)")
    for name, person in app.rules.people.items():
        if person.notify and (missing := _unreachable(person.notify, app.delivery.channels)):
            yield Finding(Level.WARNING, f"{name} cannot be told anything", missing)


def _unreachable(target: str, channels: Channels) -> str | None:
    """Return what to set so that a target can be reached, or None if it can."""
    if target.startswith("#"):
        return None if channels.slack_webhook else "set BRIDGE_SLACK_WEBHOOK to the address of a chat webhook"
    if "://" in target:
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
