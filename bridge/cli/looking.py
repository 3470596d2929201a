"""Looking: `explain`, `cases` and `status`."""

from __future__ import annotations

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
    print_json,
    rules_option,
    worst,
)


@cli.command()
@click.argument("ticket")
@rules_option
@account_option
@json_option
def explain(ticket: str, rules_path: Path, account: str | None, as_json: bool) -> None:
    """Show every decision about a ticket: which rules matched, which did not and why, with the values seen.

    \b
    Example:
        recovery-bridge explain 432
    """
    from bridge.explaining import explain_ticket

    with looking_at(rules_path, account) as (rules, store):
        explanations = explain_ticket(store, rules, ticket, account)
    if as_json:
        print_json([explanation.as_json() for explanation in explanations])
        return
    for explanation in explanations:
        click.echo(explanation.as_text(rules.settings.timezone) + "\n")
    if not explanations:
        click.echo(
            f"no rating of ticket {ticket} has been seen; recovery-bridge status says when each account was read"
        )


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
