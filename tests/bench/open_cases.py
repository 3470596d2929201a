"""What it costs to stay with many open cases: one look at what people did, and one tick.

Three processes for each figure: the stand-ins, which hold a ticket for each case; the bridge, of which CPU and memory
are measured; and the one that asks. `python -m tests.bench.open_cases serve` is the first, `... look` the second.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tests.bench.stand_in import HIGH, SECRETS, another_process, serve_both
from tests.bench.table import Chapter, Row, peak_mb

if TYPE_CHECKING:
    from bridge.app import App
    from bridge.model import Case

MANY, FEW, AT_ONCE = 10_000, 1_000, 100
CHANGED = DUE = 100  # of the first FEW cases, so that few and many cases have the same to do
SPREAD = FEW // CHANGED
TEAM = 40  # agents who hold the tickets
MADE_AT = datetime(2026, 3, 9, 9, 0, tzinfo=UTC)  # a Monday, 10:00 in Berlin
SEEN_AT, EDITED_AT, LOOKED_AT = (MADE_AT + timedelta(minutes=minutes) for minutes in (41, 44, 50))
DUE_SINCE = LOOKED_AT - timedelta(minutes=31)  # the first reminder comes after 30 working minutes
NAMES = {"acme": "Zendesk", "shop": "Freshdesk"}
GOALS = {  # calls: one per 50 open tickets and one per changed one; on Freshdesk what its changed and due ones need
    "acme": MANY / 50 + CHANGED,
    "shop": 2 + CHANGED + DUE,
}

HOW = (
    f"engine.watch and engine.tick of one account over HTTP, the stand-in in another process. Since the last look an"
    f" agent has answered on {CHANGED} tickets, and {DUE} other cases are due: each of their owners is reminded. Live,"
    " with second questions, SQLite (WAL, synchronous=FULL). Calls and CPU (user and system) of the two alone; peak"
    " memory (VmHWM) of the whole process. Then the same again, with nothing new and nothing due."
)


def measure() -> Iterator[Chapter]:
    """Measure calls, CPU and memory, on both vendors."""
    with another_process("tests.bench.open_cases", "serve") as told:
        for account, name in NAMES.items():
            many, few = (_once(account, count, told) for count in (MANY, FEW))
            yield Chapter(f"{MANY:,} open cases, {name}", HOW, [*_rows(account, many, few)])


def _rows(account: str, many: Mapping[str, float], few: Mapping[str, float]) -> Iterator[Row]:
    yield Row(f"{CHANGED} changed, {DUE} due: API calls", many["calls"], "calls", GOALS[account])
    yield Row(f"{CHANGED} changed, {DUE} due: CPU", many["cpu"], "s", 10)
    yield Row(f"{CHANGED} changed, {DUE} due: CPU with {FEW:,} cases", few["cpu"], "s")
    yield Row("nothing new: API calls", many["idle_calls"], "calls", MANY / 50 if account == "acme" else 1)
    yield Row("nothing new: CPU", many["idle_cpu"], "s")
    yield Row("peak memory", many["peak_mb"], "MB")
    yield Row(f"peak memory for {MANY:,} / for {FEW:,} cases", many["peak_mb"] / few["peak_mb"], "times", 1.05)


def _once(account: str, count: int, told: Mapping[str, Any]) -> dict[str, float]:
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.bench.open_cases", "look", account, str(count), folder]
        done = subprocess.run(command, check=True, input=json.dumps(told), stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


# ------------------------------------------------------------------ the stand-ins
def serve() -> None:
    """Serve two accounts with MANY tickets each; says which they are, with their agents and groups."""
    from connectors.sandbox.company import API_KEY, STAFF
    from connectors.sandbox.freshdesk import FreshdeskDesk
    from connectors.sandbox.world import World
    from connectors.sandbox.zendesk import ZendeskDesk

    world = World(MADE_AT)
    zendesk = ZendeskDesk(world, "acme", rate_limit=HIGH, updates_per_minute=0)
    freshdesk = FreshdeskDesk(world, "shop", api_key=API_KEY, rate_limit=HIGH)
    tickets: dict[str, list[tuple[str, str, str]]] = {"acme": [], "shop": []}
    for desk, made in zip((zendesk, freshdesk), tickets.values(), strict=True):
        groups = {name: desk.add_group(name) for _, name in STAFF.values()}
        team = [desk.add_agent(f"Agent {n}", f"agent{n}@example.com", [groups["Care"]]) for n in range(TEAM)]
        for number in range(MANY):
            customer, agent = desk.add_customer("Mia Maier", f"c{number}@customer.example"), team[number % TEAM]
            ticket_id = desk.open_ticket(customer, "My order", "Where is it?", group=groups["Care"], assignee=agent)
            made.append((ticket_id, agent, groups["Care"]))
    world.clock.set(EDITED_AT)
    for edited in zip(*(made[:FEW:SPREAD] for made in tickets.values()), strict=True):
        world.clock.advance(timedelta(seconds=1))
        for desk, (ticket_id, agent, _) in zip((zendesk, freshdesk), edited, strict=True):
            desk.reply(ticket_id, agent, "I am so sorry.")
    world.clock.set(LOOKED_AT)
    serve_both(zendesk, freshdesk, tickets=tickets)


# ------------------------------------------------------------------ the bridge
def look(account: str, count: int, folder: str) -> None:
    """Open the cases, look at them and tick; print calls, CPU seconds and peak memory."""
    from bridge.app import open_app

    told = json.load(sys.stdin)
    times = [SEEN_AT]
    with open_app(_rules(told), SECRETS | {"BRIDGE_STATE_DIR": folder}, now=lambda: times[-1]) as app:
        tickets, desk = told["tickets"][account][:count], app.engine.desks[account]
        list(desk.setup())
        app.run()  # meets the accounts; what is asked once an hour or a day is in memory from here on
        desk.asking()
        desk.tickets([tickets[-1][0]])
        _open_cases(app, account, tickets)
        times.append(LOOKED_AT)
        calls, cpu = _look_and_tick(app, account)
        times.append(LOOKED_AT + timedelta(minutes=5))
        idle_calls, idle_cpu = _look_and_tick(app, account)
        peak = peak_mb()
        _must_be_done(app, account, count)
    found = {"calls": calls, "cpu": cpu, "idle_calls": idle_calls, "idle_cpu": idle_cpu, "peak_mb": peak}
    print(json.dumps(found))


def _rules(urls: Mapping[str, str]) -> Any:
    from bridge.rules import check
    from connectors.sandbox.company import RULES

    text = RULES.read_text(encoding="utf-8").replace("ZENDESK_URL", urls["acme"]).replace("FRESHDESK_URL", urls["shop"])
    rules, problems = check(text)
    if rules is None:
        raise ValueError("\n".join(map(str, problems)))
    return rules


def _look_and_tick(app: App, account: str) -> tuple[int, float]:
    before, begun = app.sessions[account].requests_made, time.process_time()
    app.engine.watch(account)
    app.engine.tick(account)
    return app.sessions[account].requests_made - before, time.process_time() - begun


def _open_cases(app: App, account: str, tickets: Sequence[tuple[str, str, str]]) -> None:
    """Store an open case for each ticket, as if each had been looked at before."""
    from bridge.model import Audit, Decision
    from bridge.store import Saving

    for first in range(0, len(tickets), AT_ONCE):  # few at a time: what this takes is not to be the peak
        some = enumerate(tickets[first : first + AT_ONCE], start=first)
        cases = [_case(account, number, *ticket) for number, ticket in some]
        flagged = [Audit(one.flagged_at, account, one.ticket_id, "flagged", one.reason, one.case_id) for one in cases]
        app.store.save_all([Saving(Decision(audit, case)) for audit, case in zip(flagged, cases, strict=True)])


def _case(account: str, number: int, ticket_id: str, agent_id: str, group_id: str) -> Case:
    from bridge.model import Case, Category, LadderStep, Severity, Stage

    is_due = number < FEW and number % SPREAD == SPREAD // 2
    begun = DUE_SINCE if is_due else SEEN_AT
    why = f"Agent {number % TEAM} held the ticket when it was rated"
    return Case(
        case_id=f"{number:08x}", account=account, ticket_id=ticket_id, rating_id=f"rating {number}",
        category=Category.BAD, rating=1, scale_max=2, rated_at=MADE_AT, flagged_at=begun, rule="Low rating",
        rules_hash="", playbook="standard", severity=Severity.NORMAL, stage=Stage.ASSIGNED,
        due_at=LOOKED_AT if is_due else LOOKED_AT + timedelta(hours=2), next_step="acknowledged",
        reason=f'matched "Low rating"; {why}', original_agent_id=agent_id, assignee_id=agent_id, group_id=group_id,
        ladder=(LadderStep("original_agent", agent_id, why),), customer=f"{number:064x}", assigned_at=begun,
        confirmed_at=begun, seen_stamp=f"{MADE_AT:%Y-%m-%dT%H:%M:%SZ}", seen_at=SEEN_AT, version=1,
    )  # fmt: skip


def _must_be_done(app: App, account: str, count: int) -> None:
    """Raise RuntimeError unless every answer was noticed and every owner is reminded."""
    from bridge.model import EffectState, Stage

    cases, counts = app.store.cases(account=account), app.store.counts(account, app.now())
    contacted = sum(case.stage is Stage.CONTACTED for case in cases)
    if (contacted, counts.effects, counts.overdue) != (CHANGED, {EffectState.PLANNED: DUE}, 0) or len(cases) != count:
        raise RuntimeError(f"{account}: {contacted} contacted, {counts}")


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    else:
        look(sys.argv[2], int(sys.argv[3]), sys.argv[4])
