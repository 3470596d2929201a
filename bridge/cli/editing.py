"""Editing rules.yaml: `disable` and `enable`."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import click

from bridge.cli.shell import cli, load_rules, rules_option


@cli.command()
@click.argument("rule")
@rules_option
@click.option("--because", required=True, help="Why: whoever reads the file next wants to know.")
def disable(rule: str, rules_path: Path, because: str) -> None:
    """Switch off a rule or an entry of ignore; the rest of the file, comments included, stays as it is.

    Cases that it has opened go on.

    \b
    Example:
        recovery-bridge disable "Good stars, bad words" --because "too many false alarms"
    """
    from bridge.editing import disabled, replace_file

    rules = load_rules(rules_path)
    replace_file(rules_path, disabled(rules, rule, f"{date.today()}: {because}"))  # noqa: DTZ011 - the admin's day
    click.echo(f'{rules_path}: "{rule}" is disabled; recovery-bridge enable "{rule}" undoes it')


@cli.command()
@click.argument("rule")
@rules_option
def enable(rule: str, rules_path: Path) -> None:
    """Switch a rule or an entry of ignore on again.

    \b
    Example:
        recovery-bridge enable "Good stars, bad words"
    """
    from bridge.editing import enabled, replace_file

    rules = load_rules(rules_path)
    replace_file(rules_path, enabled(rules, rule))
    click.echo(f'{rules_path}: "{rule}" is in charge again')
