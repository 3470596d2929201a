"""Looking: `explain`, `cases`, `case` and `status`; `case close` ends one."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from bridge.model import Case
    from bridge.store import Store


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
        found = store.cases(open_only=not (also_ended or as_json), account=account)
    found = show.by_urgency(found)
    if as_json:
        print_json([show.case_json(case) for case in found])
    elif found:
        now = datetime.now(UTC)
        click.echo(show.table(show.CASE_HEADINGS, [show.case_line(case, now) for case in found]))
    else:
        click.echo("no cases" if also_ended else "no open cases; --all shows those that have ended")


OUTCOMES = ("recovered", "improved", "not_recovered", "no_response", "unfixable", "stopped", "dismissed")
PARTIES = ("service", "product", "policy", "third_party")


@cli.command()
@click.argument("words", nargs=-1, required=True, metavar="[close] CASE")
@rules_option
@json_option
@click.option(
    "--outcome", type=click.Choice(OUTCOMES), default="stopped", show_default=True, help="close: how it ended."
)
@click.option("--cause", help="close: what went wrong.")
@click.option("--remedy", help="close: what was done about it.")
@click.option("--party", type=click.Choice(PARTIES), help="close: whose failure it was.")
def case(words: tuple[str, ...], rules_path: Path, as_json: bool, outcome: str, **learned: str | None) -> None:
    """Show one case in full, or end it by hand with what was learned.

    \b
    Example:
        recovery-bridge case 1f6ab2c9
        recovery-bridge case close 1f6ab2c9 --outcome unfixable --cause "no such feature" --party product
    """
    from bridge import show

    closing = len(words) == 2 and words[0] == "close"
    if not closing and len(words) != 1:
        raise click.UsageError("write: case CASE, or: case close CASE")
    with looking_at(rules_path) as (rules, store):
        found = _case_named(store, words[-1])
        if closing:
            found = _close(store, found, outcome, learned)
        audits, effects = store.audits(case_id=found.case_id), store.effects_of(found.case_id)
    if as_json:
        print_json(show.case_story_json(found, audits, effects))
    else:
        click.echo(show.case_story(found, audits, effects, rules.settings.timezone))


def _case_named(store: Store, case_id: str) -> Case:
    found = store.case(case_id)
    if found is None:
        raise click.UsageError(f"no case {case_id!r}; recovery-bridge cases --all lists them")
    return found


def _close(store: Store, found: Case, outcome: str, learned: dict[str, str | None]) -> Case:
    from bridge.model import Outcome
    from bridge.recovery import Learned, close

    if not found.is_open:
        raise click.UsageError(f"case {found.case_id} has ended already: {found.outcome}")
    decision = close(found, Outcome(outcome), Learned(**learned), datetime.now(UTC))
    store.save(decision, expected_version=found.version)
    return _case_named(store, found.case_id)


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
