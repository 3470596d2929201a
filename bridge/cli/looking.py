"""Looking: `cases`, `status` and `verify`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click

from bridge.cli.shell import (
    account_option,
    cli,
    exit_with,
    json_option,
    looking_at,
    needs_human,
    opened,
    print_json,
    read_since,
    rules_option,
    worst,
)
from bridge.errors import BadRecord, HelpdeskError


@cli.command()
@rules_option
@account_option
@json_option
@click.option("--all", "also_ended", is_flag=True, help="Also cases that have ended; --json always lists them.")
def cases(rules_path: Path, account: str | None, as_json: bool, also_ended: bool) -> None:
    """List open cases, the most urgent first.

    \b
    Example:
        recovery-bridge cases --all --json
    """
    from bridge import show

    with looking_at(rules_path, account) as (_, store):
        found = show.by_urgency(store.cases(open_only=not (also_ended or as_json), account=account))
        names = {name: show.names_of(store, name) for name in {case.account for case in found}}
    if as_json:
        print_json([show.case_json(case) for case in found])
    elif found:
        now = datetime.now(UTC)
        click.echo(show.table(show.CASE_HEADINGS, [show.case_line(case, now, names[case.account]) for case in found]))
    else:
        click.echo("no cases" if also_ended else "no open cases; --all shows those that have ended")


@cli.command()
@rules_option
@json_option
def status(rules_path: Path, as_json: bool) -> None:
    """Is it alive, what is overdue, what is parked, and which rules matched nothing lately.

    \b
    Example:
        recovery-bridge status --json
    """
    from bridge.status import account_status, status_text

    now = datetime.now(UTC)
    with looking_at(rules_path) as (rules, store):
        reports = [account_status(store, rules, account, now) for account in rules.accounts]
        code = worst(needs_human(store, rules.accounts))
    if as_json:
        print_json([report.as_json() for report in reports])
    else:
        click.echo(status_text(reports, now))
    exit_with(code)


@cli.command()
@rules_option
@account_option
@json_option
@click.option("--since", callback=read_since, help="Effects since this day; those of the last 30 days without it.")
def verify(rules_path: Path, account: str | None, as_json: bool, since: datetime | None) -> None:
    """Compare what was done with what stands in the helpdesk, and print every difference. Writes nothing.

    \b
    Example:
        recovery-bridge verify
        recovery-bridge verify --since 2026-11-01 --account acme
    """
    from bridge.verifying import LATELY, Comparer, summary

    compared, failures = [], []
    with opened(rules_path, account=account) as app:
        for name in [name for name in app.accounts if account in (None, name)]:
            comparer = Comparer(app.store, app.engine.desks[name], app.now, app.sleep)
            try:
                with _counting(name) as tell:
                    compared.append(comparer.compare(since or app.now() - LATELY, tell))
            except (HelpdeskError, BadRecord) as exc:  # the other accounts are compared all the same
                failures.append(exc)
        zone = app.rules.settings.timezone
    if as_json:
        print_json([one.as_json() for one in compared])
    else:
        for difference in [found for one in compared for found in one.differences]:
            click.echo(difference.as_text(zone))
        click.echo(summary(compared))
    for failure in failures:
        click.echo(str(failure), err=True)
    some = any(found.needs_human for one in compared for found in one.differences)
    exit_with(worst(failure.exit_code for failure in failures) or int(some))


@contextmanager
def _counting(account: str) -> Iterator[Callable[[int, int], None]]:
    """Say on a terminal how far a long comparison is; nothing where nobody watches."""
    if not sys.stderr.isatty():
        yield lambda *_: None
        return
    yield lambda done, of: click.echo(f"\r{account}: {done} of {of} tickets\x1b[K\r", nl=False, err=True)
    click.echo("\x1b[K", nl=False, err=True)
