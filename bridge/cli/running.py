"""Working: `check`, `run` and `plan`."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.shell import (
    INTERRUPTED,
    Stop,
    cli,
    collect_garbage,
    exit_with,
    held,
    json_option,
    load_rules,
    needs_human,
    opened,
    print_json,
    read_since,
    rules_option,
    worst,
)
from bridge.errors import RulesError, SettingsError, Throttled

if TYPE_CHECKING:
    from bridge.app import App
    from bridge.rules import Problem, Rules

PROGRESS_EVERY = 0.5  # seconds


@cli.command()
@rules_option
@json_option
def check(rules_path: Path, as_json: bool) -> None:
    """Show every problem of rules.yaml at once, without network.

    \b
    Example:
        recovery-bridge check --rules rules.yaml
    """
    from bridge import show
    from bridge.rules import check as check_text
    from bridge.rules import read

    rules, problems = check_text(read(rules_path), str(rules_path))
    strange = _strange_connectors(rules) if rules else []
    problems += strange
    errors = sum(not problem.is_warning for problem in problems)
    if as_json:
        print_json([problem.as_dict() for problem in problems])
    else:
        for problem in problems:
            click.echo(f"{problem}\n")
        if rules and not errors:
            counts = f"{len(rules.rules)} rules, {len(rules.playbooks)} playbooks"
            click.echo(f"{rules_path}: {counts}, mode {rules.settings.mode}: ready")
        else:
            click.echo(f"{rules_path}: {show.count(errors, 'problem')}; nothing would run", err=True)
    if rules is None:
        exit_with(RulesError.exit_code)
    exit_with(SettingsError.exit_code if strange else 0)


def _strange_connectors(rules: Rules) -> list[Problem]:
    """Return a problem for each account of a helpdesk that this installation does not know."""
    from bridge.rules.problems import Reporter, unknown
    from bridge.settings import connector_names

    report = Reporter(rules.path, rules.text)
    names = connector_names()
    for name, account in rules.accounts.items():
        if account.connector not in names:
            spot = rules.document.spot(("accounts", name, "connector"))
            report.error(spot, *unknown("connector", account.connector, names))
    return report.problems


# ------------------------------------------------------------------ run and plan
@cli.command()
@rules_option
@json_option
@click.option("--once", is_flag=True, help="One pass, for cron; without it, a loop for systemd.")
@click.option(
    "--every", type=click.IntRange(5, 3600), default=60, show_default=True, help="Seconds between two passes."
)
@click.option(
    "--since", callback=read_since, help="Act also on ratings given since this day (they were memory until now)."
)
def run(rules_path: Path, as_json: bool, once: bool, every: int, since: datetime | None) -> None:
    """Poll, decide and deliver. In shadow mode (the default) it decides and records, and changes nothing.

    \b
    Example:
        recovery-bridge run --once                  # from cron
        recovery-bridge run --every 60              # under systemd
        recovery-bridge run --once --since 2026-11-01
    """
    from bridge.settings import run_lock

    stop = Stop()
    stop.listen()
    with opened(rules_path, stop) as app, run_lock(app.folder):
        _print_pass(app, _one_pass(app, since), as_json)
        while not once and not stop.event.wait(every):
            report = _one_pass(app, None)
            if as_json or _is_news(report):
                _print_pass(app, report, as_json)
        code = _exit_code(app)
    if not once and stop.event.is_set():
        code = 0  # a service that was told to stop has done what it was asked
    exit_with(INTERRUPTED if stop.interrupted else code)


@contextmanager
def _progress(app: App) -> Iterator[None]:
    """Say on a terminal how far a long pass is; nothing where nobody watches."""
    if not sys.stderr.isatty():
        yield
        return
    finished = threading.Event()

    def tell() -> None:
        while not finished.wait(PROGRESS_EVERY):
            tally = app.engine.tally
            line = f"{tally.ratings_seen} ratings read, {tally.cases_opened} cases opened"
            click.echo(f"\r{line}\x1b[K\r", nl=False, err=True)

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        finished.set()
        teller.join()
        click.echo("\x1b[K", nl=False, err=True)


def _one_pass(app: App, since: datetime | None) -> dict[str, Any]:
    """Run once over all accounts and return what it did, as the contract promises it."""
    from bridge.engine import Tally

    started = time.monotonic()
    app.engine.tally = tally = Tally()
    before = {account: session.requests_made for account, session in app.sessions.items()}
    with _progress(app):
        app.run(since)
    effects = {state: tally.effects[state] for state in ("planned", "applied", "adopted", "refused")}
    return {
        "ratings_seen": tally.ratings_seen,
        "cases_opened": tally.cases_opened,
        "effects": {**effects, "parked": len(app.store.parked())},
        "requests": {account: session.requests_made - before[account] for account, session in app.sessions.items()},
        "mode": str(app.rules.settings.mode),
        "duration_s": round(time.monotonic() - started, 3),
    }


def _is_news(report: dict[str, Any]) -> bool:
    done = {state: count for state, count in report["effects"].items() if state != "parked"}
    return bool(report["cases_opened"] or any(done.values()))


def _print_pass(app: App, report: dict[str, Any], as_json: bool) -> None:
    from bridge import show

    if as_json:
        print_json(report)
        return
    new_cases = app.store.cases(limit=report["cases_opened"])
    for line in show.run_lines(report, new_cases, app.store.orphans(), app.engine.tally.failed_records):
        click.echo(line)
    for account, why in held(app.store, app.accounts).items():
        click.echo(f"{account} begins no recovery: {why}")
    for account, failure in app.failures.items():
        if not isinstance(failure, Throttled):
            click.echo(f"{account} goes on in the next run; what to do: recovery-bridge doctor --account {account}")


def _exit_code(app: App) -> int:
    """Return the exit code of a pass: the worst of its accounts; being told to wait is not a failure."""
    failures = [exc.exit_code for exc in app.failures.values() if not isinstance(exc, Throttled)]
    return worst([*failures, *needs_human(app.store, app.accounts)])


@cli.command()
@rules_option
@json_option
@click.option(
    "--since", callback=read_since, help="Plan also for ratings given since this day, as `run --since` would."
)
def plan(rules_path: Path, as_json: bool, since: datetime | None) -> None:
    """Show what a run would change now, ticket by ticket. Writes nothing anywhere.

    \b
    Example:
        recovery-bridge plan
        recovery-bridge plan --since 2026-11-01
    """
    from bridge import show
    from bridge.planning import make_plan

    rules = load_rules(rules_path)
    collect_garbage()
    planned, failures = make_plan(rules, os.environ, since)
    if as_json:
        print_json([item.as_json() for item in planned])
    else:
        for item in planned:
            click.echo(item.as_text() + "\n")
        click.echo(f"{show.count(len(planned), 'change')}; nothing was written")
    for failure in failures.values():
        click.echo(str(failure), err=True)
    exit_with(worst(failure.exit_code for failure in failures.values() if not isinstance(failure, Throttled)))
