"""The commands. Results go to stdout, logs to stderr; exit codes are those of bridge/errors.py.

Imports stand in the commands that need them: an idle run and `check` must start fast.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bridge import __version__
from bridge.errors import BridgeError, NeedsHuman, RulesError, Throttled

if TYPE_CHECKING:
    from bridge.app import App
    from bridge.rules import Rules

EXIT_ORDER = (70, 74, 78, 77, 65, 3, 69)  # where several apply, the first of these is the exit code
INTERRUPTED = 130

rules_option = click.option(
    "--rules",
    "rules_path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("rules.yaml"),
    show_default=True,
    help="The file that admins edit.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
account_option = click.option("--account", help="Only this account of rules.yaml.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "BRIDGE"})
@click.version_option(__version__, prog_name="recovery-bridge")
@click.option("--log-json", is_flag=True, help="Log JSON lines to stderr.")
def cli(log_json: bool) -> None:
    """Win back customers who rated a ticket badly, beside Zendesk and Freshdesk.

    \b
    Example:
        recovery-bridge check
        recovery-bridge run --once
    """
    from bridge import log

    log.set_up(as_json=log_json)


def main() -> None:
    """Run a command; errors become one line on stderr and an exit code."""
    gc.disable()  # importing makes only objects that stay: collecting them costs a fifth of an idle run
    try:
        sys.exit(cli.main(standalone_mode=False))  # the code that a command handed to click's Exit, or None
    except click.ClickException as exc:
        exc.show()
        sys.exit(exc.exit_code)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(INTERRUPTED)
    except BridgeError as exc:
        click.echo(str(exc), err=True)
        sys.exit(exc.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as exc:
        from bridge.log import crash_report

        click.echo(crash_report(exc), err=True)
        sys.exit(70)


# ------------------------------------------------------------------ opening
def _load(rules_path: Path) -> Rules:
    from bridge.rules import load

    return load(rules_path)


class _Stop:
    """Set by Ctrl-C and SIGTERM: the item in hand is finished, nothing new is begun."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.interrupted = False

    def listen(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._heard)

    def _heard(self, number: int, _frame: Any) -> None:
        self.interrupted = self.interrupted or number == signal.SIGINT
        self.event.set()

    def sleep(self, seconds: float) -> None:
        self.event.wait(seconds)


@contextmanager
def _open(rules_path: Path, stop: _Stop | None = None, account: str | None = None) -> Iterator[App]:
    from bridge.app import open_app

    rules = _load(rules_path)
    if account is not None and account not in rules.accounts:
        raise click.UsageError(f"no account {account!r} in {rules_path}; there are: {', '.join(rules.accounts)}")
    stop = stop or _Stop()
    gc.enable()
    with open_app(rules, os.environ, sleep=stop.sleep, stopping=stop.event.is_set) as app:
        yield app


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def _since(_context: click.Context, _option: click.Parameter, text: str | None) -> datetime | None:
    """Read a day or a moment; without a zone it is UTC."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as exc:
        raise click.BadParameter("write a day, such as 2026-11-01, or 2026-11-01T09:00+01:00") from exc
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _exit_with(code: int) -> None:
    if code:
        raise click.exceptions.Exit(code)


# ------------------------------------------------------------------ check
@cli.command()
@rules_option
@json_option
def check(rules_path: Path, as_json: bool) -> None:
    """Show every problem of rules.yaml at once, without network.

    \b
    Example:
        recovery-bridge check --rules rules.yaml
    """
    from bridge.rules import check as check_text
    from bridge.rules import read

    rules, problems = check_text(read(rules_path), str(rules_path))
    if as_json:
        _print_json([problem.as_dict() for problem in problems])
    else:
        for problem in problems:
            click.echo(f"{problem}\n")
        if rules is None:
            click.echo(f"{rules_path}: {sum(not p.is_warning for p in problems)} problems; nothing would run", err=True)
        else:
            counts = f"{len(rules.rules)} rules, {len(rules.playbooks)} playbooks"
            click.echo(f"{rules_path}: {counts}, mode {rules.settings.mode}: ready")
    _exit_with(0 if rules is not None else RulesError.exit_code)


# ------------------------------------------------------------------ run and plan
@cli.command()
@rules_option
@json_option
@click.option("--once", is_flag=True, help="One pass, for cron; without it, a loop for systemd.")
@click.option(
    "--every", type=click.IntRange(5, 3600), default=60, show_default=True, help="Seconds between two passes."
)
@click.option("--since", callback=_since, help="Act also on ratings given since this day (they were memory until now).")
def run(rules_path: Path, as_json: bool, once: bool, every: int, since: datetime | None) -> None:
    """Poll, decide and deliver. In shadow mode (the default) it decides and records, and changes nothing.

    \b
    Example:
        recovery-bridge run --once                  # from cron
        recovery-bridge run --every 60              # under systemd
        recovery-bridge run --once --since 2026-11-01
    """
    from bridge.settings import run_lock

    stop = _Stop()
    stop.listen()
    with _open(rules_path, stop) as app, run_lock(app.folder):
        code = _one_pass(app, since, as_json)
        while not once and not stop.event.is_set():
            stop.sleep(every)
            if not stop.event.is_set():
                code = _one_pass(app, None, as_json)
    _exit_with(INTERRUPTED if stop.interrupted else code)


def _one_pass(app: App, since: datetime | None, as_json: bool) -> int:
    """Run once over all accounts, print what it did, and return the exit code."""
    from bridge.engine import Tally

    started = time.monotonic()
    app.engine.tally = Tally()
    before = {account: session.requests_made for account, session in app.sessions.items()}
    app.run(since)
    report = _report(app, before, time.monotonic() - started)
    if as_json:
        _print_json(report)
    else:
        _print_report(app, report)
    return _exit_code(app)


def _report(app: App, before: dict[str, int], seconds: float) -> dict[str, Any]:
    tally = app.engine.tally
    parked = len(app.store.parked())
    effects = {state: tally.effects[state] for state in ("planned", "applied", "adopted", "refused")}
    return {
        "ratings_seen": tally.ratings_seen,
        "cases_opened": tally.cases_opened,
        "effects": {**effects, "parked": parked},
        "requests": {account: s.requests_made - before[account] for account, s in app.sessions.items()},
        "mode": str(app.rules.settings.mode),
        "duration_s": round(seconds, 3),
    }


def _print_report(app: App, report: dict[str, Any]) -> None:
    effects, requests = report["effects"], report["requests"]
    calls = ", ".join(f"{account} {count}" for account, count in requests.items())
    click.echo(
        f"{report['mode']}: {report['ratings_seen']} ratings seen, {report['cases_opened']} cases opened, "
        f"{effects['applied']} effects applied, {effects['adopted']} adopted, {effects['parked']} parked; "
        f"API calls: {calls}; {report['duration_s']} s"
    )
    for case in app.store.orphans():
        click.echo(f"case {case.case_id} (ticket {case.ticket_id} of {case.account}) has no owner: {case.reason}")
    if effects["parked"]:
        click.echo("parked effects need a human: recovery-bridge retry --list")


def _exit_code(app: App) -> int:
    """Return the exit code of a pass: the worst of its accounts; being told to wait is not a failure."""
    codes = {exc.exit_code for exc in app.failures.values() if not isinstance(exc, Throttled)}
    if app.store.parked() or app.store.orphans():
        codes.add(NeedsHuman.exit_code)
    return next((code for code in EXIT_ORDER if code in codes), 0)


@cli.command()
@rules_option
@json_option
def plan(rules_path: Path, as_json: bool) -> None:
    """Show what a run would change now, ticket by ticket. Writes nothing anywhere.

    \b
    Example:
        recovery-bridge plan
    """
    from bridge.planning import make_plan

    planned, failures = make_plan(_load(rules_path), os.environ)
    if as_json:
        _print_json([item.as_json() for item in planned])
    else:
        for item in planned:
            click.echo(item.as_text() + "\n")
        click.echo(f"{len(planned)} changes; nothing was written")
    for failure in failures.values():
        click.echo(str(failure), err=True)
    codes = {failure.exit_code for failure in failures.values()}
    _exit_with(next((code for code in EXIT_ORDER if code in codes), 0))


# ------------------------------------------------------------------ looking
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

    with _open(rules_path, account=account) as app:
        explanations = explain_ticket(app.store, app.rules, ticket, account)
    if as_json:
        _print_json([explanation.as_json() for explanation in explanations])
        return
    for explanation in explanations:
        click.echo(explanation.as_text() + "\n")
    if not explanations:
        click.echo(
            f"no rating of ticket {ticket} has been seen; `recovery-bridge status` says when each account was read"
        )


@cli.command()
@rules_option
@account_option
@json_option
@click.option("--all", "also_ended", is_flag=True, help="Also cases that have ended.")
def cases(rules_path: Path, account: str | None, as_json: bool, also_ended: bool) -> None:
    """List open cases, the most urgent first.

    \b
    Example:
        recovery-bridge cases --all --json
    """
    from bridge import show

    with _open(rules_path, account=account) as app:
        found = app.store.cases(open_only=not (also_ended or as_json), account=account)
    if as_json:
        _print_json([show.case_json(case) for case in found])
    else:
        now = datetime.now(UTC)
        click.echo(show.table(show.CASE_HEADINGS, [show.case_line(case, now) for case in found]))


@cli.command()
@click.argument("case_id")
@rules_option
@json_option
def case(case_id: str, rules_path: Path, as_json: bool) -> None:
    """Show one case in full: who was asked and why, what was decided, what was done.

    \b
    Example:
        recovery-bridge case 1f6ab2c9
    """
    from bridge import show

    with _open(rules_path) as app:
        found = app.store.case(case_id)
        if found is None:
            raise click.UsageError(f"no case {case_id!r}; `recovery-bridge cases --all` lists them")
        audits, effects = app.store.audits(case_id=case_id), app.store.effects_of(case_id)
    if as_json:
        told = [{"at": show.moment(a.at), "what": a.what, "reason": a.reason} for a in audits]
        done = [
            {"step": e.effect.step, "state": str(e.state), "does": show.what(e.effect), "error": e.error}
            for e in effects
        ]
        _print_json(
            {**show.case_json(found), "ladder": [vars(s) for s in found.ladder], "audits": told, "effects": done}
        )
    else:
        click.echo(show.case_story(found, audits, [(e.effect, str(e.state), e.error) for e in effects]))


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

    with _open(rules_path) as app:
        reports = [account_status(app.store, app.rules, account, datetime.now(UTC)) for account in app.accounts]
        parked = bool(app.store.parked())
    if as_json:
        _print_json([vars(report) for report in reports])
    else:
        click.echo(status_text(reports))
    _exit_with(NeedsHuman.exit_code if parked else 0)


# ------------------------------------------------------------------ mending
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
    with _open(rules_path) as app:
        parked = app.store.parked()
        failures = app.store.failures()
        if not only_list:
            count = app.store.retry_parked(effect_ids or None)
            again = 0 if effect_ids else app.store.retry_failures()
    if as_json:
        _print_json(
            {
                "parked": [
                    {"effect_id": p.effect.effect_id, "ticket_id": p.effect.ticket_id, "error": p.error} for p in parked
                ],
                "failed_records": [vars(failure) for failure in failures],
            }
        )
        return
    for item in parked:
        click.echo(
            f"parked {item.effect.effect_id}: ticket {item.effect.ticket_id} of {item.effect.account}: {item.error}"
        )
    for failure in failures:
        click.echo(f"failed record {failure.key} of {failure.account}: {failure.error}")
    if only_list:
        click.echo(f"{len(parked)} parked effects, {len(failures)} records that cannot be read")
    else:
        click.echo(f"{count} effects and {again} records will be tried again by the next run")


# ------------------------------------------------------------------ helpdesk side
@cli.command()
@rules_option
@account_option
@json_option
def doctor(rules_path: Path, account: str | None, as_json: bool) -> None:
    """Look at credentials, permissions, surveys and automations; each finding says what to do.

    \b
    Example:
        recovery-bridge doctor
    """
    from bridge import show
    from bridge.connector import Level
    from bridge.doctor import examine

    with _open(rules_path, account=account) as app:
        findings = [(name, f) for name in app.accounts if account in (None, name) for f in examine(app, name)]
    if as_json:
        _print_json([{"account": name, "level": str(f.level), "what": f.what, "todo": f.todo} for name, f in findings])
    else:
        for name, finding in findings:
            click.echo(f"{name}: {show.finding_line(finding)}")
    _exit_with(1 if any(finding.level is Level.FAIL for _, finding in findings) else 0)


@cli.command()
@rules_option
@account_option
@json_option
@click.option("--dry-run", is_flag=True, help="Say what would be created or removed.")
@click.option("--remove", is_flag=True, help="Take away what setup created.")
def setup(rules_path: Path, account: str | None, as_json: bool, dry_run: bool, remove: bool) -> None:
    """Create in the helpdesk what the rules need. Doing it again changes nothing.

    \b
    Example:
        recovery-bridge setup --dry-run
    """
    from bridge import show

    with _open(rules_path, account=account) as app:
        names = [name for name in app.accounts if account in (None, name)]
        steps = [(name, s) for name in names for s in app.engine.desks[name].setup(dry_run=dry_run, remove=remove)]
    if as_json:
        _print_json([{"account": name, "what": step.what, "state": step.state} for name, step in steps])
    else:
        for name, step in steps:
            click.echo(show.setup_line(name, step))


@cli.command()
@click.option("--seed", type=int, default=7, show_default=True, help="Another seed, another week.")
@json_option
def demo(seed: int, as_json: bool) -> None:
    """Tell a week of service recovery on two stand-in helpdesks, over real HTTP on this machine.

    \b
    Example:
        recovery-bridge demo
    """
    from importlib import import_module

    from bridge.errors import SettingsError

    try:
        tell = import_module("connectors.sandbox.demo").tell
    except ModuleNotFoundError as exc:
        raise SettingsError(f"{exc.name} is missing; install recovery-bridge[sandbox]") from exc
    teller: Callable[..., None] = tell
    teller(seed=seed, as_json=as_json, write=click.echo)
