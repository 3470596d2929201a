"""Beginning: `init`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.shell import cli, rules_option
from bridge.errors import BridgeError, HelpdeskError, SettingsError

if TYPE_CHECKING:
    from bridge.model import Directory
    from bridge.rules import Rules
    from bridge.starter import Answers

MOST_SHOWN = 12  # groups of an account that are suggested


@cli.command()
@rules_option
@click.option("--zendesk", multiple=True, help="The address of a Zendesk account, such as acme.zendesk.com.")
@click.option("--freshdesk", multiple=True, help="The address of a Freshdesk account.")
@click.option("--yes", is_flag=True, help="Ask nothing: take what is usual for all the rest.")
@click.option("--force", is_flag=True, help="Replace files that are there.")
def init(rules_path: Path, zendesk: Sequence[str], freshdesk: Sequence[str], *, yes: bool, force: bool) -> None:
    """Write a rules.yaml and its tests from a few answers; with credentials, your own groups are suggested.

    \b
    Example:
        recovery-bridge init
        recovery-bridge init --zendesk acme.zendesk.com --yes
    """
    from bridge import starter
    from bridge.rehearsal import tests_beside
    from bridge.rules.json_schema import json_schema

    tests_path = tests_beside(rules_path)
    there = [str(path) for path in (rules_path, tests_path) if path.exists()]
    if there and not force:
        raise SettingsError(f"{' and '.join(there)}: there already; --force replaces, --rules names another file")
    typed = [("zendesk", text) for text in zendesk] + [("freshdesk", text) for text in freshdesk]
    if not typed and yes:
        raise click.UsageError("name the helpdesk with --zendesk or --freshdesk")
    answers = _accounts(typed or [_ask_for_helpdesk()])
    if not yes:
        answers = _ask(answers)
    if found := starter.problems(answers):
        raise SettingsError("\n".join(problem.message for problem in found))
    rules_path.write_text(starter.text_of_rules(answers), encoding="utf-8")
    tests_path.write_text(starter.text_of_tests(answers), encoding="utf-8")
    rules_path.with_name("rules.schema.json").write_text(json.dumps(json_schema(), indent=2) + "\n", encoding="utf-8")
    _tell(rules_path, tests_path, answers)


# ------------------------------------------------------------------ asking
def _ask_for_helpdesk() -> tuple[str, str]:
    kind = click.prompt("Which helpdesk", type=click.Choice(["zendesk", "freshdesk"]))
    return kind, click.prompt(f"Its address (acme, or acme.{kind}.com)")


def _accounts(typed: Sequence[tuple[str, str]]) -> Answers:
    from bridge.starter import Answers, address

    accounts: dict[str, tuple[str, str]] = {}
    for connector, text in typed:
        name, url = address(connector, text)
        accounts[name if name not in accounts else f"{name}_{connector}"] = (connector, url)
    answers = Answers(accounts)
    return replace(answers, notify=_usual_address(answers))


def _usual_address(answers: Answers) -> str:
    """Return an address for the leads that cannot be anybody's: `check` and people see that it is to be replaced."""
    return f"leads@{next(iter(answers.accounts)).lower().replace('_', '-')}.example"


def _ask(answers: Answers) -> Answers:
    """Ask one thing after the other, and again what does not work."""
    answers = _good(answers, "timezone", "Timezone", os.environ.get("TZ") or answers.timezone)
    answers = _good(answers, "working_hours", "Working hours", answers.working_hours)
    answers = _good(
        answers, "holidays", "Public holidays of which country or region, like DE or DE-BE (- for none)", "-"
    )
    groups = _groups(answers)
    if groups:
        click.echo(f"Groups in the helpdesk: {', '.join(groups[:MOST_SHOWN])}")
    usual = next((name for name in groups if "lead" in name.casefold()), groups[0] if groups else answers.leads)
    answers = _good(answers, "leads", "The group that takes over when an agent is away or too slow", usual)
    answers = _good(answers, "notify", "Where its leads are told: an address, #channel or webhook", answers.notify)
    tags = click.prompt("Tags of important customers (- for none)", default=", ".join(answers.important))
    return replace(answers, important=tuple(tag.strip() for tag in tags.split(",") if tag.strip("- ")))


def _good(answers: Answers, name: str, question: str, usual: str) -> Answers:
    """Ask until the answer makes rules that work."""
    from bridge.starter import problems

    while True:
        said = str(click.prompt(question, default=usual)).strip()
        changed: dict[str, Any] = {name: "" if said == "-" else said}
        given = replace(answers, **changed)
        found = problems(given)
        if not found:
            return given
        click.echo(f"  {found[0].message}")


def _groups(answers: Answers) -> list[str]:
    """Return the names of the groups of all accounts, where there are credentials to ask with."""
    from bridge.app import open_app
    from bridge.rules import check
    from bridge.starter import text_of_rules

    rules: Rules | None = check(text_of_rules(answers))[0]
    names: set[str] = set()
    try:
        if rules:
            with open_app(rules, os.environ) as app:
                names = _of_all([desk.directory for desk in app.engine.desks.values()])
    except SettingsError:
        click.echo("(no credentials in the environment yet, so your groups are not known here)")
    except HelpdeskError as exc:
        click.echo(f"({exc}; so your groups are not known here)")
    return sorted(names)


def _of_all(directories: Sequence[Callable[[], Directory]]) -> set[str]:
    return {name for directory in directories for name in directory().groups.values()}


# ------------------------------------------------------------------ telling
def _tell(rules_path: Path, tests_path: Path, answers: Answers) -> None:
    from bridge.rehearsal import play, read_script
    from bridge.rules import load, read

    rules = load(rules_path)
    played = play(read_script(read(tests_path), rules, str(tests_path)), rules)
    if not played.passed:
        raise BridgeError(f"{tests_path}: the tests that were just written do not pass; please report this")
    click.echo(f"{rules_path}: {len(rules.rules)} rules, mode {rules.settings.mode}: ready")
    click.echo(f"{tests_path}: {len(played.results)} passed")
    secrets = {"zendesk": ("CLIENT_ID", "CLIENT_SECRET"), "freshdesk": ("API_KEY",)}
    wanted = [f"BRIDGE_{name.upper()}_{key}" for name, (kind, _) in answers.accounts.items() for key in secrets[kind]]
    missing = [name for name in wanted if name not in os.environ and f"{name}_FILE" not in os.environ]
    first = f"set {', '.join(missing)}, then: " if missing else ""
    click.echo(f"next: {first}recovery-bridge doctor")
