"""Working: `run` and `plan`."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
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
    looking_at,
    needs_human,
    opened_with,
    print_json,
    read_since,
    rules_option,
    worst,
)
from bridge.errors import Throttled

if TYPE_CHECKING:
    from bridge.app import App
    from bridge.cli.signs import Signs
    from bridge.planning import Plan
    from bridge.rules import Rules

PROGRESS_EVERY = 0.5  # seconds


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
@click.option(
    "--textfile",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write what /metrics of `serve` says into this file after each pass, for Prometheus's node_exporter.",
)
def run(
    *, rules_path: Path, as_json: bool, once: bool, every: int, since: datetime | None, textfile: Path | None
) -> None:
    """Poll, decide and deliver. In shadow mode (the default) it decides and records, and changes nothing.

    \b
    Example:
        recovery-bridge run --once                  # from cron
        recovery-bridge run --every 60              # under systemd
        recovery-bridge run --once --since 2026-11-01
        recovery-bridge run --once --textfile /var/lib/node_exporter/recovery_bridge.prom
    """
    from bridge.cli.signs import Signs
    from bridge.reloading import LivingApp
    from bridge.settings import run_lock, state_dir

    with closing(Signs(os.environ, textfile)) as signs:
        stop = Stop(on_progress=signs.heart.beat)
        stop.listen()
        with run_lock(state_dir(os.environ)), LivingApp(rules_path, lambda rules: opened_with(rules, stop)) as living:
            signs.heart.ready()
            if not as_json and since is None:
                _announce_going_live(living.app)
            _print_pass(living.app, _one_pass(living.app, since, signs), as_json)
            while not once and not _waited(stop, every):
                living.refresh()
                report = _one_pass(living.app, None, signs)
                if as_json or _is_news(report):
                    _print_pass(living.app, report, as_json)
            code = _exit_code(living.app)
    if not once and stop.event.is_set():
        code = 0  # a service that was told to stop has done what it was asked
    exit_with(INTERRUPTED if stop.interrupted else code)


def _waited(stop: Stop, every: int) -> bool:
    """Wait for the next pass; True if somebody wants us to stop instead."""
    stop.sleep(every)
    return stop.event.is_set()


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


def _one_pass(app: App, since: datetime | None, signs: Signs) -> dict[str, Any]:
    """Run once over all accounts and return what it did, as the contract promises it."""
    from bridge.engine import Tally

    started = time.monotonic()
    app.engine.tally = tally = Tally()
    before = {account: session.requests_made for account, session in app.sessions.items()}
    with _progress(app), signs.of_pass(app):
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
@click.option("--shadow", is_flag=True, help="What shadow mode would have done since it began; asks no helpdesk.")
def plan(rules_path: Path, as_json: bool, since: datetime | None, shadow: bool) -> None:
    """Show what a run would change now, ticket by ticket, and what is different from the last plan.

    Writes nothing to a helpdesk.

    \b
    Example:
        recovery-bridge plan
        recovery-bridge plan --since 2026-11-01
        recovery-bridge plan --shadow
    """
    if shadow:
        _show_shadow(rules_path, as_json)
        return
    from bridge import settings
    from bridge.planning import make_plan

    rules = load_rules(rules_path)
    collect_garbage()
    found = make_plan(rules, os.environ, since, **_clock())
    if as_json:
        print_json([{**item.as_json(), "new": found.is_new(item)} for item in found.changes])
    else:
        _show_plan(found, rules)
    if not since:
        found.keep(settings.state_dir(os.environ))
    for failure in found.failures.values():
        click.echo(str(failure), err=True)
    exit_with(worst(failure.exit_code for failure in found.failures.values() if not isinstance(failure, Throttled)))


def _show_plan(found: Plan, rules: Rules) -> None:
    from bridge import show

    for item in found.changes:
        click.echo(f"{item.as_text()}{'  (new)' if found.is_new(item) else ''}\n")
    different = ""
    if found.last_at:
        for line in found.gone:
            click.echo(f"no longer: {line}")
        new = sum(map(found.is_new, found.changes))
        since = show.local(found.last_at, rules.settings.timezone)
        different = f" ({new} new and {len(found.gone)} gone since the plan of {since})"
    click.echo(f"{show.count(len(found.changes), 'change')}{different}; nothing was written")


def _show_shadow(rules_path: Path, as_json: bool) -> None:
    from bridge.shadow import shadow_report

    with looking_at(rules_path) as (rules, store):
        reports = [shadow_report(store, rules, account) for account in rules.accounts]
    if as_json:
        print_json([report.as_json() for report in reports])
        return
    for report in reports:
        click.echo(report.as_text())
    click.echo("going live is one line of rules.yaml: mode: live")


def _announce_going_live(app: App) -> None:
    """Say, before the first live run of an account, what it will do and which limits hold."""
    if app.rules.settings.mode != "live":
        return
    modes = {name: app.store.account_state(name).get("mode") for name in app.accounts}
    going = [name for name, mode in modes.items() if mode != "live"]
    if not going:
        return
    from bridge.planning import make_plan
    from bridge.shadow import limits_in_words

    click.echo(f"{', '.join(going)}: going live. The limits: {limits_in_words(app.rules)}")
    if "shadow" in modes.values():  # before its very first run an account acts on nothing
        _show_plan(make_plan(app.rules, os.environ, **_clock()), app.rules)


def _clock() -> dict[str, Any]:
    """Return the clock of this process, where it is not the machine's."""
    times = click.get_current_context().obj or {}
    return {"now": times["now"]} if "now" in times else {}
