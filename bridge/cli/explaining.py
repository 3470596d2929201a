"""Why: `explain`, for what happened to a ticket and for a rating that nobody gave."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from bridge.cli.shell import (
    account_option,
    check_account,
    cli,
    json_option,
    load_rules,
    looking_at,
    print_json,
    rules_option,
)

_SUPPOSED = {  # option -> the fact that it says
    "comment": "the customer's words",
    "reason": "the reason that they picked",
    "group": "the ticket's group",
    "channel": "email, chat, ...",
    "brand": "the ticket's brand",
    "priority": "the ticket's priority",
    "language": "the customer's, like de",
    "reopens": "how often the ticket was reopened",
}
_TAGS = {"tags": "--tag", "customer_tags": "--customer-tag", "organization_tags": "--organization-tag"}


def _supposing(command: Any) -> Any:
    """Add the options that say what to suppose about a rating."""
    for name, what in reversed(_SUPPOSED.items()):
        kind = int if name == "reopens" else str
        command = click.option(f"--{name}", type=kind, help=f"With --rating: {what}.")(command)
    for name, option in _TAGS.items():
        command = click.option(option, name, multiple=True, help="With --rating: once for each.")(command)
    return command


@cli.command()
@click.argument("ticket", required=False)
@rules_option
@account_option
@json_option
@click.option("--rating", help="Suppose such a rating instead: bad, or points like 1 or 2 of 5.")
@click.option("--age", default="5m", show_default=True, help="With --rating: how long ago it was given.")
@click.option("--bad-ratings", default=1, show_default=True, help="With --rating: this customer's in 90 days, with it.")
@click.option("--latest", metavar="OUTCOME", help="The last ratings that came to this: flagged, no_rule, ignored ...")
@_supposing
def explain(
    ticket: str | None, rules_path: Path, account: str | None, as_json: bool, *, latest: str | None, **supposed: Any
) -> None:
    """Show every decision about a ticket: which rules matched, which did not and why, with the values seen.

    With --rating it says the same about a rating that nobody gave; what is not said of its ticket is not known.

    \b
    Example:
        recovery-bridge explain 432
        recovery-bridge explain --latest no_rule
        recovery-bridge explain --rating 1 --customer-tag vip --comment "Nobody called"
    """
    if sum(one is not None for one in (ticket, supposed["rating"], latest)) != 1:
        raise click.UsageError(
            "name a ticket, suppose a rating with --rating, or name an outcome with --latest: one of them"
        )
    if latest is not None:
        _list_latest(rules_path, account, as_json, latest)
    elif ticket is None:
        _explain_supposed(rules_path, account, as_json, supposed)
    else:
        _explain_ticket(rules_path, account, as_json, ticket)


def _list_latest(rules_path: Path, account: str | None, as_json: bool, outcome: str) -> None:
    from bridge.explaining import latest, latest_json

    with looking_at(rules_path, account) as (rules, store):
        names = [account] if account else list(rules.accounts)
        if as_json:
            print_json([row for name in names for row in latest_json(store, name, outcome)])
            return
        for name in names:
            click.echo("\n".join(latest(store, name, outcome, rules.settings.timezone)))


def _explain_ticket(rules_path: Path, account: str | None, as_json: bool, ticket: str) -> None:
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


def _explain_supposed(rules_path: Path, account: str | None, as_json: bool, supposed: dict[str, Any]) -> None:
    from bridge.explaining import suppose
    from bridge.hours import parse_duration
    from bridge.rehearsal.script import said

    rules = load_rules(rules_path)
    check_account(rules, account)
    try:
        answered, age = said(supposed.pop("rating")), parse_duration(supposed.pop("age"))
    except ValueError as exc:
        raise click.UsageError(str(exc)) from exc
    known = {name: value for name, value in supposed.items() if value not in (None, ())}
    found = suppose(rules, answered, datetime.now(UTC), age=age, account=account, **known)
    if as_json:
        print_json(found.as_json())
    else:
        click.echo(found.as_text())
