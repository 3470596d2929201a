"""The helpdesk side: `doctor` and `setup`; and the `demo`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.shell import (
    account_option,
    cli,
    exit_with,
    json_option,
    opened,
    print_json,
    rules_option,
    worst,
)
from bridge.errors import HelpdeskError, SettingsError

if TYPE_CHECKING:
    from bridge.connector import Finding, SetupStep


@cli.command()
@rules_option
@account_option
@json_option
def doctor(rules_path: Path, account: str | None, as_json: bool) -> None:
    """Look at credentials, permissions, surveys and automations; each finding says what to do.

    \b
    Example:
        recovery-bridge doctor
    """
    from bridge import show
    from bridge.connector import Level
    from bridge.doctor import examine, examine_here

    with opened(rules_path, account=account) as app:
        names = [name for name in app.accounts if account in (None, name)]
        findings: list[tuple[str | None, Finding]] = [(None, finding) for finding in examine_here(app)]
        findings += [(name, finding) for name in names for finding in examine(app, name)]
    if as_json:
        print_json([{"account": name, "level": str(f.level), "what": f.what, "todo": f.todo} for name, f in findings])
    else:
        for name, finding in findings:
            click.echo(f"{name or 'here'}: {show.finding_line(finding)}")
    exit_with(1 if any(finding.level is Level.FAIL for _, finding in findings) else 0)


@cli.command()
@rules_option
@account_option
@json_option
@click.option("--dry-run", is_flag=True, help="Say what would be created or removed.")
@click.option("--remove", is_flag=True, help="Take away what setup created.")
@click.option("--show-secret", is_flag=True, help="Print the secrets that are to be pasted into a helpdesk by hand.")
def setup(
    rules_path: Path, account: str | None, *, as_json: bool, dry_run: bool, remove: bool, show_secret: bool
) -> None:
    """Create in the helpdesk what the rules need. Doing it again changes nothing.

    \b
    Example:
        recovery-bridge setup --dry-run
        recovery-bridge setup --account shop --show-secret
    """
    from bridge import show

    steps: list[tuple[str, SetupStep]] = []
    failures: list[HelpdeskError] = []
    with opened(rules_path, account=account) as app:
        for name in [name for name in app.accounts if account in (None, name)]:
            try:
                steps.extend((name, step) for step in app.engine.desks[name].setup(dry_run=dry_run, remove=remove))
            except HelpdeskError as exc:  # the other accounts are set up all the same
                failures.append(exc)
    if as_json:
        shown = [{"account": name, "what": step.what, "state": step.state} for name, step in steps]
        hidden = [{"secret": step.secret.reveal()} if show_secret and step.secret else {} for _, step in steps]
        print_json([step | secret for step, secret in zip(shown, hidden, strict=True)])
    else:
        for name, step in steps:
            click.echo(show.setup_line(name, step))
            if show_secret and step.secret:
                click.echo(f"{name}: {'':<16} {step.secret.reveal()}")
    for failure in failures:
        click.echo(str(failure), err=True)
    exit_with(worst(failure.exit_code for failure in failures))


@cli.command()
@click.option("--seed", type=int, default=7, show_default=True, help="Another seed, another story.")
@json_option
def demo(seed: int, as_json: bool) -> None:
    """Tell a month of service recovery on two stand-in helpdesks, over real HTTP on this machine.

    \b
    Example:
        recovery-bridge demo
    """
    from importlib import import_module

    try:
        tell = import_module("connectors.sandbox.demo").tell
    except ModuleNotFoundError as exc:
        raise SettingsError(f"{exc.name} is missing; install recovery-bridge[sandbox]") from exc
    teller: Callable[..., None] = tell
    teller(seed=seed, as_json=as_json, write=click.echo)
