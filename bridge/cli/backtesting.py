"""Looking back: `backtest`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.shell import (
    account_option,
    cli,
    json_option,
    load_rules,
    looking_at,
    opened,
    print_json,
    read_since,
    rules_option,
)

if TYPE_CHECKING:
    from bridge.backtest import Span
    from bridge.rules import Rules

LATELY = timedelta(days=90)


@cli.command()
@rules_option
@account_option
@json_option
@click.option("--from", "since", callback=read_since, help="The first day; 90 days ago, if it is left out.")
@click.option("--to", "until", callback=read_since, help="The day after the last; now, if it is left out.")
@click.option(
    "--against",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Other rules: say about which ratings they differ.",
)
@click.option("--offline", is_flag=True, help="Take what is stored; ask no helpdesk.")
def backtest(
    rules_path: Path,
    account: str | None,
    as_json: bool,
    *,
    since: datetime | None,
    until: datetime | None,
    against: Path | None,
    offline: bool,
) -> None:
    """Try the rules on past ratings: who would have been flagged, by which rule, and how much work that is.

    Ratings and tickets that are not known yet are read once, and kept. Changes nothing in a helpdesk.

    \b
    Example:
        recovery-bridge backtest --from 2026-08-01 --to 2026-11-01
        recovery-bridge backtest --against rules.old.yaml
    """
    from bridge.backtest import Span
    from bridge.backtesting import backtest as try_on

    until = until or datetime.now(UTC)
    span = Span(since or until - LATELY, until)
    if span.since >= until:
        raise click.UsageError("--from is not before --to")
    others = load_rules(against) if against else None
    if not offline:
        _read(rules_path, account, span, [others] if others else [])
    with looking_at(rules_path, account) as (rules, store):
        names = [account] if account else list(rules.accounts)
        reports = [try_on(store, rules, name, span, others) for name in names]
    if as_json:
        print_json([report.as_json() for report in reports])
    else:
        click.echo("\n".join(report.as_text() for report in reports))


def _read(rules_path: Path, account: str | None, span: Span, others: list[Rules]) -> None:
    from bridge.backtesting import read_past

    with opened(rules_path, account) as app:
        for name in [account] if account else app.accounts:
            read_past(app, name, span, [app.rules, *others], _tell)


def _tell(done: int, of: int) -> None:
    """Say on a terminal how far the reading is."""
    if sys.stderr.isatty():
        click.echo(f"\r{done} of {of} tickets read\x1b[K\r", nl=False, err=True)
