"""Reporting: `report`."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from pathlib import Path

import click

from bridge.cli.shell import account_option, cli, json_option, looking_at, print_json, rules_option

MOST_WEEKS = 520
WEEKS = 13


@cli.command()
@rules_option
@account_option
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print a row for each week, for a sheet.")
@click.option("--weeks", type=click.IntRange(1, MOST_WEEKS), help=f"This week and those before.  [default: {WEEKS}]")
@click.option("--from", "first", help="The first day, in the time zone of rules.yaml.")
@click.option("--to", "until", help="The day after the last; now, if it is left out.")
def report(
    rules_path: Path,
    account: str | None,
    as_json: bool,
    *,
    as_csv: bool,
    weeks: int | None,
    first: str | None,
    until: str | None,
) -> None:
    """Print how far recoveries came, of how many, and how sure that is.

    \b
    Example:
        recovery-bridge report
        recovery-bridge report --weeks 4 --account acme
        recovery-bridge report --from 2026-07-01 --to 2026-10-01 --csv > quarter.csv
    """
    from bridge import report as said
    from bridge import show
    from bridge.funnel import weeks_back

    if as_json and as_csv:
        raise click.UsageError("--json or --csv, not both")
    if weeks and first:
        raise click.UsageError("--weeks or --from, not both")
    with looking_at(rules_path, account) as (rules, store):
        zone = rules.settings.timezone
        ends = _moment("--to", until, zone) if until else datetime.now(UTC)
        begins = _moment("--from", first, zone) if first else weeks_back(weeks or WEEKS, ends, zone)
        if begins >= ends:
            raise click.UsageError("--from is not before --to")
        accounts = [account] if account else list(rules.accounts)
        figures = store.figures(accounts, begins, ends, zone)
        names = show.groups_of(store, accounts)
    if as_json:
        print_json(said.report_json(figures, names.group))
    elif as_csv:
        click.echo(said.report_csv(figures), nl=False)
    else:
        click.echo(said.report_text(figures, zone, names.group))


def _moment(option: str, text: str, zone: tzinfo) -> datetime:
    """Read a day or a moment; without a zone it is one of the team's."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as exc:
        raise click.UsageError(f"{option}: write a day, such as 2026-11-01, or 2026-11-01T09:00") from exc
    return at if at.tzinfo else at.replace(tzinfo=zone)
