"""Working on one case by hand: `case`, `case close`, `case promise`, `case goodwill`; and `opt-out`."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.shell import cli, json_option, looking_at, print_json, rules_option, whoever
from bridge.errors import AlreadyRunning

if TYPE_CHECKING:
    from bridge.decision import Spent
    from bridge.hours import Calendar
    from bridge.model import Case, Decision
    from bridge.rules import Goodwill, Rules
    from bridge.rules.values import Money
    from bridge.store import Store

ENDS = ("recovered", "improved", "not_recovered", "no_response", "unfixable", "stopped")  # those of by_hand.ENDS
PARTIES = ("service", "product", "policy", "third_party")
TRIES = 3


class _OneCase(click.Group):
    """The commands about one case; `case ID` is short for `case show ID`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the line; what begins with no command, and names one case alone, asks to see it."""
        alone = len(args) < 2 or args[0].startswith("-") or args[1].startswith("-")
        if args and alone and not self.commands.keys() & set(args) and not {"-h", "--help"} & set(args):
            args = ["show", *args]
        return super().parse_args(ctx, args)


@cli.group(cls=_OneCase)
def case() -> None:
    """Show one case in full, or put down by hand what happened to it.

    \b
    Example:
        recovery-bridge case 1f6ab2c9
        recovery-bridge case close 1f6ab2c9 --outcome unfixable --cause "Missing feature"
        recovery-bridge case promise 1f6ab2c9 --what "Refund by bank" --by 2026-12-01
        recovery-bridge case goodwill 1f6ab2c9 --spent "15 EUR"
    """


@case.command()
@click.argument("case_id", metavar="CASE")
@rules_option
@json_option
def show(case_id: str, rules_path: Path, as_json: bool) -> None:
    """Show one case in full: who has it, what was decided and done, what comes next.

    \b
    Example:
        recovery-bridge case show 1f6ab2c9
    """
    with looking_at(rules_path) as (rules, store):
        _tell(store, rules, _case_named(store, case_id), as_json)


def _tell(store: Store, rules: Rules, found: Case, as_json: bool) -> None:
    from bridge import show

    story = show.read_story(store, found)
    if as_json:
        print_json(show.case_story_json(story))
    else:
        click.echo(show.case_story(story, rules.settings.timezone))


def _case_named(store: Store, case_id: str) -> Case:
    found = store.case(case_id)
    if found is None:
        raise click.UsageError(f"no case {case_id!r}; recovery-bridge cases --all lists them")
    return found


def _decide(store: Store, case_id: str, decide: Callable[[Case], Decision]) -> Case:
    """Save a decision about a case as it is now, also if a run moves it at this moment; return the case after it."""
    from bridge.store import StaleCase

    for _ in range(TRIES):
        found = _case_named(store, case_id)
        try:
            store.save(decide(found), expected_version=found.version)
        except StaleCase:
            continue
        return _case_named(store, case_id)
    raise AlreadyRunning(f"case {case_id}: a run is working on it; try again")


# ------------------------------------------------------------------ the end
@case.command()
@click.argument("case_id", metavar="CASE")
@rules_option
@json_option
@click.option("--outcome", type=click.Choice(ENDS), help="How it ended.  [default: stopped]")
@click.option("--cause", help="What went wrong: one of the causes of rules.yaml, where it has any.")
@click.option("--remedy", help="What was done about it.")
@click.option("--party", type=click.Choice(PARTIES), help="Whose failure it was.  [default: that of the cause]")
def close(case_id: str, rules_path: Path, as_json: bool, outcome: str | None, **learned: str | None) -> None:
    """End a case, with what was learned; of one that has ended without a cause, put down the cause alone.

    \b
    Example:
        recovery-bridge case close 1f6ab2c9 --outcome unfixable --cause "Missing feature"
        recovery-bridge case close 1f6ab2c9 --cause "Late delivery" --remedy "Sent again"
    """
    from bridge import by_hand
    from bridge.model import Outcome

    now, who = datetime.now(UTC), whoever()
    with looking_at(rules_path) as (rules, store):
        with _usage():
            known = by_hand.learned(learned, rules)

        def decide(found: Case) -> Decision:
            with _usage():
                return by_hand.conclude(found, Outcome(outcome) if outcome else None, known, now, who)

        _tell(store, rules, _decide(store, case_id, decide), as_json)


@contextmanager
def _usage() -> Iterator[None]:
    """Turn what by_hand says about words that cannot be used into wrong usage of a command."""
    try:
        yield
    except ValueError as exc:
        raise click.UsageError(str(exc)) from exc


# ------------------------------------------------------------------ promises
@case.command()
@click.argument("case_id", metavar="CASE")
@rules_option
@json_option
@click.option("--what", help="What was promised to the customer.")
@click.option("--by", metavar="WHEN", help="Until when: a day (the end of its work), or a time.")
@click.option("--kept", is_flag=True, help="It was kept.")
def promise(case_id: str, rules_path: Path, as_json: bool, *, what: str | None, by: str | None, kept: bool) -> None:
    """Put down what a customer was promised and until when, or that it was kept. A broken promise is an alert.

    \b
    Example:
        recovery-bridge case promise 1f6ab2c9 --what "Refund by bank" --by 2026-12-01
        recovery-bridge case promise 1f6ab2c9 --what "A call" --by 2026-12-01T15:00
        recovery-bridge case promise 1f6ab2c9 --kept
    """
    from bridge import by_hand

    said = by_hand.typed(what or "")
    if kept == bool(said and by) or (kept and (what or by)):
        raise click.UsageError("write --what and --by, or --kept alone")
    now = datetime.now(UTC)
    with looking_at(rules_path) as (rules, store):
        calendar, zone = rules.calendar(), rules.settings.timezone

        def decide(found: Case) -> Decision:
            if not found.is_open:
                raise click.UsageError(f"case {found.case_id} has ended already: {found.outcome}")
            if not kept:
                return by_hand.promise(found, said, _until(by or "", calendar, now), zone, now)
            if not found.promise:
                raise click.UsageError(f"case {found.case_id} has no promise; write --what and --by to put one down")
            return by_hand.promise_kept(found, now)

        _tell(store, rules, _decide(store, case_id, decide), as_json)


def _until(text: str, calendar: Calendar, now: datetime) -> datetime:
    from bridge.by_hand import promised_until

    try:
        return promised_until(text, calendar, now)
    except ValueError as exc:
        raise click.UsageError(f"--by: {exc}") from exc


# ------------------------------------------------------------------ goodwill
@case.command()
@click.argument("case_id", metavar="CASE")
@rules_option
@json_option
@click.option("--spent", metavar="AMOUNT", required=True, help='What was granted, such as "15 EUR".')
@click.option("--because", help="Why, and who approved it, where it is more than an agent may grant alone.")
def goodwill(case_id: str, rules_path: Path, as_json: bool, spent: str, because: str | None) -> None:
    """Put down what a customer was granted; nothing is paid. More than an agent may grant alone needs --because.

    \b
    Example:
        recovery-bridge case goodwill 1f6ab2c9 --spent "15 EUR"
        recovery-bridge case goodwill 1f6ab2c9 --spent "25 EUR" --because "Third failure; Ben approved it"
    """
    from bridge.by_hand import typed

    with looking_at(rules_path) as (rules, store):
        found = _case_named(store, case_id)
        _grant(store, rules, found, spent, typed(because or ""))
        _tell(store, rules, found, as_json)


def _grant(store: Store, rules: Rules, found: Case, amount: str, because: str) -> None:
    from bridge import by_hand
    from bridge.model import EffectState
    from bridge.show import names_of
    from bridge.store import Spending

    now = datetime.now(UTC)
    policy = _policy(store, rules, found)
    money = _money(amount, by_hand.currency_of(policy, rules.limits))
    beyond = "; ".join(by_hand.objections(money, policy, rules.limits, _spent(store, rules, found, now)))
    approver = by_hand.approver(policy, found, rules, names_of(store, found.account).groups.get(found.group_id or ""))
    if beyond and not because:
        whose = f"if {approver.name} approve, " if approver else ""
        how = f'recovery-bridge case goodwill {found.case_id} --spent "{money}" --because "why, and who approved it"'
        raise click.UsageError(f"case {found.case_id}: {money} is not put down: {beyond}; {whose}write: {how}")
    grant = by_hand.Grant(money, because, beyond)
    if beyond:
        told = EffectState.SHADOW if rules.settings.mode == "shadow" else EffectState.PLANNED
        store.save(
            by_hand.overridden(found, grant, approver, rules, effect_id=secrets.token_hex(4), now=now),
            effect_state=told,
        )
    why = because if beyond else None
    spending = Spending(
        found.case_id, found.account, found.ticket_id, found.customer, now, money.amount, money.currency, why
    )
    store.spend(spending, by_hand.granted(found, grant, now))


def _money(text: str, currency: str | None) -> Money:
    from bridge.by_hand import read_amount

    try:
        money = read_amount(text)
    except ValueError as exc:
        raise click.UsageError(f"--spent: {exc}") from exc
    if currency not in (None, money.currency):
        raise click.UsageError(f"--spent: {money} is not in {currency}, the currency of the goodwill in rules.yaml")
    return money


def _policy(store: Store, rules: Rules, found: Case) -> Goodwill | None:
    """Return what may be granted in a case, by what was known of its customer when it was flagged."""
    from bridge.rules import Playbook

    facts = next((audit.facts for audit in store.audits(case_id=found.case_id) if audit.facts), {})
    tags = frozenset([*(facts.get("customer_tags") or ()), *(facts.get("organization_tags") or ())])
    return rules.goodwill_for(rules.playbooks.get(found.playbook) or Playbook(), found.severity, tags)


def _spent(store: Store, rules: Rules, found: Case, now: datetime) -> Spent:
    from bridge.decision import Spent
    from bridge.show import spent_on

    limit = rules.limits.goodwill_per_customer
    for_customer = store.spent_for(found.customer, now - limit.within) if limit and found.customer else {}
    return Spent(spent_on(store, found), for_customer)


# ------------------------------------------------------------------ opting out
@cli.command("opt-out")
@click.argument("addresses", nargs=-1, metavar="ADDRESS...")
@rules_option
@json_option
@click.option("--undo", is_flag=True, help="They may be asked again.")
@click.option("--because", default="by hand", show_default=True, help="Why they are not asked any more.")
@click.option("--list-size", is_flag=True, help="Say how many customers have opted out.")
def opt_out(
    addresses: tuple[str, ...], rules_path: Path, as_json: bool, *, undo: bool, because: str, list_size: bool
) -> None:
    """Never ask the customers with these addresses again, on any account. The addresses themselves are not kept.

    \b
    Example:
        recovery-bridge opt-out mia@customer.example --because "She asked us to stop"
        recovery-bridge opt-out mia@customer.example --undo
        recovery-bridge opt-out --list-size
    """
    from bridge import by_hand, settings
    from bridge.show import count, masked

    if not addresses and not list_size:
        raise click.UsageError("write the address of a customer, or --list-size")
    for address in addresses:
        if not by_hand.is_address(address):
            raise click.UsageError(f"{address!r} is no e-mail address; write it like mia@customer.example")
    with looking_at(rules_path) as (_, store):
        known_as = settings.customer_hasher(settings.state_dir(os.environ))
        for customer in map(known_as, addresses):
            if undo:
                store.opt_in(customer)
            else:
                store.opt_out(customer, datetime.now(UTC), by_hand.typed(because))
        size = store.opted_out_count()
    if as_json:
        print_json({"customers": [{"address": masked(one), "opted_out": not undo} for one in addresses], "size": size})
        return
    for address in addresses:
        click.echo(f"{masked(address)}: {'may be asked again' if undo else 'is not asked again'}")
    if list_size:
        click.echo(f"{count(size, 'customer')} opted out")
