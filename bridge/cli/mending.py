"""Mending: `retry` and `resume`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.shell import (
    cli,
    json_option,
    looking_at,
    print_json,
    rules_option,
    whoever,
)

if TYPE_CHECKING:
    from bridge.store import StoredEffect


@cli.command()
@rules_option
@json_option
@click.option("--list", "only_list", is_flag=True, help="Show what failed and why; change nothing.")
@click.argument("effect_ids", nargs=-1)
def retry(rules_path: Path, as_json: bool, only_list: bool, effect_ids: tuple[str, ...]) -> None:
    """Plan parked effects again (all, or those named), and read again the records that could not be read.

    \b
    Example:
        recovery-bridge retry --list
        recovery-bridge retry 9c41d0aa
    """
    from bridge import by_hand, show

    now, who = datetime.now(UTC), whoever()
    with looking_at(rules_path) as (_, store):
        parked, failures = store.parked(), store.failures()
        _check_effects(effect_ids, parked)
        if not only_list:
            count = store.retry_parked(effect_ids or None, lambda effect: by_hand.retried(effect, now, who))
            again = 0 if effect_ids else store.retry_failures()
    if as_json:
        print_json(show.stuck_json(parked, failures))
        return
    if only_list or not effect_ids:
        for line in show.stuck_lines(parked, failures):
            click.echo(line)
    if only_list:
        click.echo(f"{show.count(len(parked), 'parked effect')}, {show.count(len(failures), 'failed record')}")
    else:
        what = f"{show.count(count, 'effect')} and {show.count(again, 'record')}"
        click.echo(f"{what} will be tried again by the next run; a record that cannot be read, whenever it comes again")


def _check_effects(effect_ids: Sequence[str], parked: Sequence[StoredEffect]) -> None:
    unknown = set(effect_ids) - {one.effect.effect_id for one in parked}
    if unknown:
        raise click.UsageError(
            f"not parked: {', '.join(sorted(unknown))}; recovery-bridge retry --list names those that are"
        )


@cli.command()
@click.argument("account")
@rules_option
@json_option
def resume(account: str, rules_path: Path, as_json: bool) -> None:
    """Let an account that a limit stopped begin recoveries again.

    \b
    Example:
        recovery-bridge resume acme
    """
    from bridge.by_hand import resumed

    with looking_at(rules_path, account) as (_, store):
        was_held = bool(store.account_state(account).get("held"))
        waiting = store.resume(resumed(account, datetime.now(UTC), whoever())) if was_held else 0
    if as_json:
        print_json({"account": account, "ratings_that_waited": waiting})
    elif not was_held:
        click.echo(f"{account}: was not held; nothing changed")
    else:
        click.echo(f"{account}: goes on; ratings that waited: {waiting}")
