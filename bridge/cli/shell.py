"""The entrance: the group of commands, opening what they work on, and how they end.

Results go to stdout, logs to stderr; exit codes are those of bridge/errors.py.
"""

from __future__ import annotations

import gc
import json
import os
import pwd
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bridge import __version__
from bridge.errors import BridgeError, NeedsHuman, RulesError, SettingsError

if TYPE_CHECKING:
    from bridge.app import App
    from bridge.rules import Rules
    from bridge.store import Store

EXIT_ORDER = (70, 74, 78, 77, 65, 3, 69)  # where several apply, the first of these is the exit code
BUG = 70
INTERRUPTED = 130
SLICE = 1.0  # seconds that we wait between two signs of progress
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


def main(**times: Callable[..., Any]) -> None:
    """Run a command; errors become one line on stderr and an exit code. *times*: now and sleep of another clock."""
    gc.disable()  # importing makes only objects that stay: collecting them costs a fifth of an idle run
    signal.signal(signal.SIGTERM, _leave)
    try:
        # Without its standalone mode click returns the code that a command handed to Exit, and None for done.
        sys.exit(cli.main(prog_name="recovery-bridge", standalone_mode=False, obj=times))
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
        sys.exit(BUG)
    finally:
        gc.freeze()  # what is left goes with the process: nobody needs to look through it once more


def _leave(_number: int, _frame: Any) -> None:
    """End at SIGTERM as at Ctrl-C: files are closed and copies removed."""
    sys.exit(TERMINATED)


# ------------------------------------------------------------------ opening
def load_rules(rules_path: Path) -> Rules:
    """Read rules.yaml; raises RulesError."""
    from bridge.rules import load

    return load(rules_path)


class Stop:
    """Set by Ctrl-C and SIGTERM: the item in hand is finished, nothing new is begun."""

    def __init__(
        self, on_heard: Callable[[], None] = lambda: None, on_progress: Callable[[], None] = lambda: None
    ) -> None:
        self.event = threading.Event()
        self.interrupted = False
        self._on_heard = on_heard  # called within a signal handler: it may take no lock
        self._on_progress = on_progress

    def listen(self) -> None:
        """Begin to listen."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._heard)

    def _heard(self, number: int, _frame: Any) -> None:
        self.interrupted = self.interrupted or number == signal.SIGINT
        self.event.set()
        self._on_heard()
        # A write that is cut off is looked up by the next run, so whoever asks twice may leave at once.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, _leave)
        with suppress(OSError):
            os.write(2, b"finishing the item in hand; once more leaves at once\n")

    def asked(self) -> bool:
        """True if somebody wants us to stop. Asked before each item of work: this is the progress that is shown."""
        self._on_progress()
        return self.event.is_set()

    def sleep(self, seconds: float) -> None:
        """Wait, unless somebody wants us to stop; waiting on purpose is progress, too."""
        ends_at = time.monotonic() + seconds
        while not self.asked() and (left := ends_at - time.monotonic()) > 0:
            self.event.wait(min(left, SLICE))


@contextmanager
def opened(rules_path: Path, account: str | None = None) -> Iterator[App]:
    """Open everything: rules, store and accounts."""
    rules = load_rules(rules_path)
    check_account(rules, account)
    with opened_with(rules, Stop()) as app:
        yield app


@contextmanager
def opened_with(rules: Rules, stop: Stop) -> Iterator[App]:
    """Open store and accounts for rules that were read already."""
    from bridge.app import open_app

    times = {"sleep": stop.sleep, **(click.get_current_context().obj or {})}
    with open_app(rules, os.environ, stopping=stop.asked, **times) as app:
        collect_garbage()
        yield app


def collect_garbage() -> None:
    """Let Python collect garbage again, but never look through what was imported."""
    gc.freeze()
    gc.enable()


@contextmanager
def looking_at(rules_path: Path, account: str | None = None) -> Iterator[tuple[Rules, Store]]:
    """Open the store alone: looking at it needs no credentials and no helpdesk.

    While rules.yaml cannot be used, its trouble is printed, and the rules that decided last are looked with.
    """
    from bridge import settings
    from bridge.rules import Rules
    from bridge.store import Store

    rules = _usable(rules_path)
    if isinstance(rules, Rules):
        check_account(rules, account)
    store = Store.open(settings.database_url(os.environ, settings.state_dir(os.environ)))
    try:
        yield rules if isinstance(rules, Rules) else _rules_of_before(store, rules), store
    finally:
        store.close()


def _usable(rules_path: Path) -> Rules | RulesError:
    """Return the rules, or why they cannot be used; raises RulesError for a file that is not there."""
    try:
        return load_rules(rules_path)
    except RulesError as exc:
        if not rules_path.exists():
            raise
        return exc


def _rules_of_before(store: Store, trouble: RulesError) -> Rules:
    """Return the rules that decided last, and say why those of now cannot be used; raises that if there are none."""
    from bridge.rules import recall

    rules = recall(store.last_rules() or "")
    if rules is None:
        raise trouble
    click.echo(f"{trouble}\n\nwhat follows is by the rules that decided last", err=True)
    return rules


def check_account(rules: Rules, account: str | None) -> None:
    """Raise SettingsError for an account that rules.yaml does not have."""
    if account is not None and account not in rules.accounts:
        raise SettingsError(f"{rules.path}: no account {account!r}; there are: {', '.join(rules.accounts)}")


def whoever() -> str:
    """Return the name of the system's user who gave this command, `hand` where the system knows none."""
    from bridge.by_hand import HAND, typed

    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may have no names
        user = HAND
    return typed(os.environ.get("SUDO_USER") or user)


def worst(codes: Iterable[int]) -> int:
    """Return the exit code that counts where several apply."""
    found = set(codes)
    return next((code for code in EXIT_ORDER if code in found), 0)


def needs_human(store: Store, accounts: Collection[str]) -> list[int]:
    """Return the exit code for work that waits for a person, if there is any."""
    refused = [name for name in accounts if store.account_state(name).get("rules_refused")]
    stuck = store.parked() or store.orphans() or held(store, accounts) or refused
    return [NeedsHuman.exit_code] if stuck else []


def held(store: Store, accounts: Iterable[str]) -> dict[str, str]:
    """Return the accounts that a limit stopped, with why."""
    found = {account: store.account_state(account).get("held") for account in accounts}
    return {account: str(why) for account, why in found.items() if why}


def print_json(value: Any) -> None:
    """Print a result for programs."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def read_since(_context: click.Context, _option: click.Parameter, text: str | None) -> datetime | None:
    """Read a day or a moment; without a zone it is UTC."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as exc:
        raise click.BadParameter("write a day, such as 2026-11-01, or 2026-11-01T09:00+01:00") from exc
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def exit_with(code: int) -> None:
    """End the command, unless all is well."""
    if code:
        raise click.exceptions.Exit(code)
