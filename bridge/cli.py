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
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bridge import __version__
from bridge.errors import BridgeError, HelpdeskError, NeedsHuman, RulesError, SettingsError, Throttled

if TYPE_CHECKING:
    from bridge.app import App
    from bridge.connector import Finding, SetupStep
    from bridge.model import Case
    from bridge.rules import Problem, Rules
    from bridge.store import Store, StoredEffect

EXIT_ORDER = (70, 74, 78, 77, 65, 3, 69)  # where several apply, the first of these is the exit code
INTERRUPTED = 130
TERMINATED = 143

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


class _Commands(click.Group):
    """The commands, whose reader may leave early: `recovery-bridge cases | head`."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; nobody listening any more is no error."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise click.exceptions.Exit(0) from None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "BRIDGE"})
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
    signal.signal(signal.SIGTERM, _leave)
    try:
        # Without its standalone mode click returns the code that a command handed to Exit, and None for done.
        sys.exit(cli.main(prog_name="recovery-bridge", standalone_mode=False))
    except click.ClickException as exc:
        exc.show()
        sys.exit(exc.exit_code)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(INTERRUPTED)
    except BridgeError as exc:
        click.echo(str(exc), err=True)
        sys.exit(exc.exit_code)
    except Exception as exc:
        from bridge.log import crash_report

        click.echo(crash_report(exc), err=True)
        sys.exit(70)
    finally:
        gc.freeze()  # what is left goes with the process: nobody needs to look through it once more


def _leave(_number: int, _frame: Any) -> None:
    """End at SIGTERM as at Ctrl-C: files are closed and copies removed."""
    sys.exit(TERMINATED)


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
        # A write that is cut off is looked up by the next run, so whoever asks twice may leave at once.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, _leave)
        with suppress(OSError):
            os.write(2, b"finishing the item in hand; once more leaves at once\n")

    def sleep(self, seconds: float) -> None:
        self.event.wait(seconds)


@contextmanager
def _open(rules_path: Path, stop: _Stop | None = None, account: str | None = None) -> Iterator[App]:
    from bridge.app import open_app

    rules = _load(rules_path)
    _check_account(rules, account)
    stop = stop or _Stop()
    with open_app(rules, os.environ, sleep=stop.sleep, stopping=stop.event.is_set) as app:
        _collect_garbage()
        yield app


def _collect_garbage() -> None:
    """Let Python collect garbage again, but never look through what was imported."""
    gc.freeze()
    gc.enable()


@contextmanager
def _look(rules_path: Path, account: str | None = None) -> Iterator[tuple[Rules, Store]]:
    """Open the store alone: looking at it needs no credentials and no helpdesk."""
    from bridge import settings
    from bridge.store import Store

    rules = _load(rules_path)
    _check_account(rules, account)
    store = Store.open(settings.database_url(os.environ, settings.state_dir(os.environ)))
    try:
        yield rules, store
    finally:
        store.close()


def _check_account(rules: Rules, account: str | None) -> None:
    if account is not None and account not in rules.accounts:
        raise SettingsError(f"{rules.path}: no account {account!r}; there are: {', '.join(rules.accounts)}")


def _worst(codes: Iterable[int]) -> int:
    found = set(codes)
    return next((code for code in EXIT_ORDER if code in found), 0)


def _needs_human(store: Store) -> list[int]:
    return [NeedsHuman.exit_code] if store.parked() or store.orphans() else []


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
    from bridge import show
    from bridge.rules import check as check_text
    from bridge.rules import read

    rules, problems = check_text(read(rules_path), str(rules_path))
    strange = _strange_connectors(rules) if rules else []
    problems += strange
    errors = sum(not problem.is_warning for problem in problems)
    if as_json:
        _print_json([problem.as_dict() for problem in problems])
    else:
        for problem in problems:
            click.echo(f"{problem}\n")
        if rules and not errors:
            counts = f"{len(rules.rules)} rules, {len(rules.playbooks)} playbooks"
            click.echo(f"{rules_path}: {counts}, mode {rules.settings.mode}: ready")
        else:
            click.echo(f"{rules_path}: {show.count(errors, 'problem')}; nothing would run", err=True)
    if rules is None:
        _exit_with(RulesError.exit_code)
    _exit_with(SettingsError.exit_code if strange else 0)


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
        _print_pass(app, _one_pass(app, since), as_json)
        while not once and not stop.event.wait(every):
            report = _one_pass(app, None)
            if as_json or _is_news(report):
                _print_pass(app, report, as_json)
        code = _exit_code(app)
    if not once and stop.event.is_set():
        code = 0  # a service that was told to stop has done what it was asked
    _exit_with(INTERRUPTED if stop.interrupted else code)


def _one_pass(app: App, since: datetime | None) -> dict[str, Any]:
    """Run once over all accounts and return what it did, as the contract promises it."""
    from bridge.engine import Tally

    started = time.monotonic()
    app.engine.tally = tally = Tally()
    before = {account: session.requests_made for account, session in app.sessions.items()}
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
        _print_json(report)
        return
    new_cases = app.store.cases(limit=report["cases_opened"])
    for line in show.run_lines(report, new_cases, app.store.orphans(), app.engine.tally.failed_records):
        click.echo(line)
    for account, failure in app.failures.items():
        if not isinstance(failure, Throttled):
            click.echo(f"{account} goes on in the next run; what to do: recovery-bridge doctor --account {account}")


def _exit_code(app: App) -> int:
    """Return the exit code of a pass: the worst of its accounts; being told to wait is not a failure."""
    failures = [exc.exit_code for exc in app.failures.values() if not isinstance(exc, Throttled)]
    return _worst([*failures, *_needs_human(app.store)])


@cli.command()
@rules_option
@json_option
@click.option("--since", callback=_since, help="Plan also for ratings given since this day, as `run --since` would.")
def plan(rules_path: Path, as_json: bool, since: datetime | None) -> None:
    """Show what a run would change now, ticket by ticket. Writes nothing anywhere.

    \b
    Example:
        recovery-bridge plan
        recovery-bridge plan --since 2026-11-01
    """
    from bridge import show
    from bridge.planning import make_plan

    rules = _load(rules_path)
    _collect_garbage()
    planned, failures = make_plan(rules, os.environ, since)
    if as_json:
        _print_json([item.as_json() for item in planned])
    else:
        for item in planned:
            click.echo(item.as_text() + "\n")
        click.echo(f"{show.count(len(planned), 'change')}; nothing was written")
    for failure in failures.values():
        click.echo(str(failure), err=True)
    _exit_with(_worst(failure.exit_code for failure in failures.values() if not isinstance(failure, Throttled)))


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

    with _look(rules_path, account) as (rules, store):
        explanations = explain_ticket(store, rules, ticket, account)
    if as_json:
        _print_json([explanation.as_json() for explanation in explanations])
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

    with _look(rules_path, account) as (_, store):
        found = store.cases(open_only=not (also_ended or as_json), account=account)
    found = show.by_urgency(found)
    if as_json:
        _print_json([show.case_json(case) for case in found])
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
    with _look(rules_path) as (rules, store):
        found = _case_named(store, words[-1])
        if closing:
            found = _close(store, found, outcome, learned)
        audits, effects = store.audits(case_id=found.case_id), store.effects_of(found.case_id)
    if as_json:
        _print_json(show.case_story_json(found, audits, effects))
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
    with _look(rules_path) as (rules, store):
        reports = [account_status(store, rules, account, now) for account in rules.accounts]
        code = _worst(_needs_human(store))
    if as_json:
        _print_json([report.as_json() for report in reports])
    else:
        click.echo(status_text(reports, now))
    _exit_with(code)


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
    from bridge import show

    with _look(rules_path) as (_, store):
        parked, failures = store.parked(), store.failures()
        _check_effects(effect_ids, parked)
        if not only_list:
            count = store.retry_parked(effect_ids or None)
            again = 0 if effect_ids else store.retry_failures()
    if as_json:
        _print_json(show.stuck_json(parked, failures))
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
    with _look(rules_path, account) as (_, store):
        store.put_account_state(account, held="")
        waiting = store.release_ratings(account)
    if as_json:
        _print_json({"account": account, "ratings_that_waited": waiting})
    else:
        click.echo(f"{account}: goes on; ratings that waited: {waiting}")


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
    from bridge.doctor import examine, examine_here

    with _open(rules_path, account=account) as app:
        names = [name for name in app.accounts if account in (None, name)]
        findings: list[tuple[str | None, Finding]] = [(None, finding) for finding in examine_here(app)]
        findings += [(name, finding) for name in names for finding in examine(app, name)]
    if as_json:
        _print_json([{"account": name, "level": str(f.level), "what": f.what, "todo": f.todo} for name, f in findings])
    else:
        for name, finding in findings:
            click.echo(f"{name or 'here'}: {show.finding_line(finding)}")
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

    steps: list[tuple[str, SetupStep]] = []
    failures: list[HelpdeskError] = []
    with _open(rules_path, account=account) as app:
        for name in [name for name in app.accounts if account in (None, name)]:
            try:
                steps.extend((name, step) for step in app.engine.desks[name].setup(dry_run=dry_run, remove=remove))
            except HelpdeskError as exc:  # the other accounts are set up all the same
                failures.append(exc)
    if as_json:
        _print_json([{"account": name, "what": step.what, "state": step.state} for name, step in steps])
    else:
        for name, step in steps:
            click.echo(show.setup_line(name, step))
    for failure in failures:
        click.echo(str(failure), err=True)
    _exit_with(_worst(failure.exit_code for failure in failures))


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

    try:
        tell = import_module("connectors.sandbox.demo").tell
    except ModuleNotFoundError as exc:
        raise SettingsError(f"{exc.name} is missing; install recovery-bridge[sandbox]") from exc
    teller: Callable[..., None] = tell
    teller(seed=seed, as_json=as_json, write=click.echo)
