"""The file that admins edit: `check`, `schema` and `fields`. They ask no helpdesk, and change nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.shell import cli, exit_with, json_option, print_json, rules_option
from bridge.errors import RulesError, SettingsError

if TYPE_CHECKING:
    from bridge.remembered import Remembered
    from bridge.rules import Problem, Rules
    from bridge.rules.reference import Entry


@cli.command()
@rules_option
@json_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "github"]),
    default="text",
    help="How problems are printed; github: beside their lines in a pull request.",
)
def check(rules_path: Path, as_json: bool, form: str) -> None:
    """Show every problem of rules.yaml at once, without network.

    Names of groups and agents are compared with what the last run or `doctor` saw of the helpdesks.

    \b
    Example:
        recovery-bridge check --rules rules.yaml
        recovery-bridge check --format github       # in a workflow
    """
    rules, problems, strange = _checked(rules_path)
    doubted, compared = _doubted(rules) if rules and not strange else ([], "")
    problems = sorted([*problems, *strange, *doubted], key=lambda problem: (problem.line, problem.column))
    form = "json" if as_json else form
    if form == "json":
        print_json([problem.as_dict() for problem in problems])
    for problem in problems if form != "json" else ():
        click.echo(problem.annotation if form == "github" else f"{problem}\n")
    if form == "text":
        _summary(rules_path, None if strange else rules, problems, compared)
    if rules is None:
        exit_with(RulesError.exit_code)
    exit_with(SettingsError.exit_code if strange else 0)


def _checked(rules_path: Path) -> tuple[Rules | None, list[Problem], list[Problem]]:
    """Return the rules of a file, its problems, and those with its connectors; that it cannot be read is one, too."""
    from bridge.rules import Problem, read
    from bridge.rules import check as check_text

    path = str(rules_path)
    try:
        text = read(rules_path)
    except RulesError as exc:
        problems = [one for one in exc.problems if isinstance(one, Problem)]
        return None, problems or [Problem(path, 1, 1, str(exc).removeprefix(f"{path}: "))], []
    return *check_text(text, path), _strange_connectors(rules_path, text)


def _summary(rules_path: Path, rules: Rules | None, problems: list[Problem], compared: str) -> None:
    from bridge import show

    warnings = sum(problem.is_warning for problem in problems)
    if rules is None:
        click.echo(f"{rules_path}: {show.count(len(problems) - warnings, 'problem')}; nothing would run", err=True)
        return
    counts = f"{show.count(len(rules.rules), 'rule')}, {show.count(len(rules.playbooks), 'playbook')}"
    warned = f"{show.count(warnings, 'warning')}, " if warnings else ""
    click.echo(f"{rules_path}: {counts}, mode {rules.settings.mode}: {warned}ready; {compared}")


def _strange_connectors(rules_path: Path, text: str) -> list[Problem]:
    """Return a problem for each account of a helpdesk that this installation does not know."""
    from bridge.rules.document import Map, compose
    from bridge.rules.problems import Reporter, unknown
    from bridge.settings import connector_names

    report, names = Reporter(str(rules_path), text), connector_names()
    document = compose(text, Reporter("", text))
    accounts = document.at(("accounts",)) if document else None
    for account in accounts.values() if isinstance(accounts, Map) else ():
        connector = account.get("connector") if isinstance(account, Map) else None
        if isinstance(connector, str) and connector not in names:
            report.error(account.value_spots["connector"], *unknown("connector", connector, names))
    return report.problems


def _doubted(rules: Rules) -> tuple[list[Problem], str]:
    """Return warnings about names that no helpdesk had when it was last read, and what to say about when that was."""
    from bridge.hours import show_duration
    from bridge.remembered import remembered
    from bridge.rules.lint_playbooks import report_late_reminders
    from bridge.rules.names import report_doubted, report_unseen
    from bridge.rules.problems import Reporter

    found = {name: kept for name in rules.accounts if (kept := remembered(os.environ, name)) is not None}
    if not found:
        return [], "no run has read the names of groups and agents yet, so they are not compared"
    report = Reporter(rules.path, rules.text)
    data, now = rules.document.data, datetime.now(UTC)
    directories = {name: kept.directory for name, kept in found.items() if kept.directory}
    if directories.keys() == rules.accounts.keys():  # else a name may be of an account that was not read yet
        report_doubted(data, directories, now, report)
    report_unseen(data, _together(found.values()), report)
    for name, kept in found.items():
        if kept.closes_after:
            report_late_reminders(rules, name, kept.closes_after, report)
    read_at = [directory.read_at for directory in directories.values()]
    if len(read_at) < len(rules.accounts):
        return report.problems, "not every account's groups and agents were read yet, so they are not compared"
    return report.problems, f"groups and agents as of {show_duration(now - min(read_at))} ago"


def _together(found: Iterable[Remembered]) -> dict[str, set[str]]:
    seen: dict[str, set[str]] = {}
    for kept in found:
        for subject, values in kept.seen.items():
            seen.setdefault(subject, set()).update(values)
    return seen


# ------------------------------------------------------------------ schema and fields
@cli.command()
def schema() -> None:
    """Print the JSON Schema of rules.yaml: with it an editor completes, explains and checks while you type.

    \b
    Example:
        recovery-bridge schema > rules.schema.json
        # and as the first line of rules.yaml:
        # yaml-language-server: $schema=rules.schema.json
    """
    from bridge.rules.json_schema import json_schema

    print_json(json_schema())


@cli.command()
@click.argument("name", required=False)
@json_option
@click.option("--markdown", "as_markdown", is_flag=True, help="Print the tables of the README.")
def fields(name: str | None, as_json: bool, as_markdown: bool) -> None:
    """Show what can be written into rules.yaml: every key, condition and word, with an example.

    \b
    Example:
        recovery-bridge fields
        recovery-bridge fields rating
        recovery-bridge fields playbooks.survey
    """
    from bridge.rules import reference

    if as_markdown:
        from bridge.metrics import metrics_table

        for title, table in {**reference.markdown(), "metrics": metrics_table()}.items():
            click.echo(f"<!-- {title} -->\n\n{table}\n")
        return
    found = reference.named(name) if name else reference.entries()
    if not found:
        from bridge.rules.problems import unknown

        message, _ = unknown("name", name or "", {one.name for one in reference.entries()})
        raise click.UsageError(message)
    if as_json:
        print_json([one.as_dict() for one in found])
    elif name:
        click.echo("\n\n".join(map(_in_full, found)))
    else:
        click.echo(_in_lines(found))


def _in_full(entry: Entry) -> str:
    default = f" Without it: {entry.default}." if entry.default else ""
    return f"{entry.place} ({entry.kind})\n  {entry.means}.{default}\n\n    {entry.example}"


def _in_lines(found: list[Entry]) -> str:
    lines: list[str] = []
    for entry in found:
        title = f"{entry.path or 'rules.yaml'} ({entry.kind}s)"
        if title not in lines:
            lines += ["", title]
        default = f" ({entry.default})" if entry.default else ""
        lines.append(f"  {entry.name:<26} {entry.means}{default}")
    return "\n".join(lines[1:])
