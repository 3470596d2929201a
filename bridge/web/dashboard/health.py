"""What waits for a person, and how full the limits are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bridge.limits import A_DAY, AN_HOUR, NEVER
from bridge.model import Case
from bridge.rules import Rules
from bridge.rules.schema import SHARE_COUNTS_FROM
from bridge.show import NO_NAMES, Names, count, duration, what
from bridge.status import LATE_AFTER
from bridge.store import Failure, Store, StoredEffect
from bridge.vigil import in_words, silence_in
from bridge.web.dashboard.said import Clock, Moment

MOST_STUCK = 100  # that a page names
MOST_ORPHANS = 5

State = Mapping[str, Any]


@dataclass(frozen=True)
class Alert:
    """Something that needs a person now: whose, what it is, and where to do something about it."""

    account: str  # "" for all
    what: str
    href: str = ""
    todo: str = ""


@dataclass(frozen=True)
class Condition:
    """How one installation is, as it was read at one moment."""

    states: Mapping[str, State]  # by account
    parked: Sequence[StoredEffect]
    failures: Sequence[Failure]
    orphans: Sequence[Case]

    @property
    def held(self) -> Mapping[str, str]:
        """The accounts that a limit stopped, with why."""
        return {account: why_held(str(state["held"])) for account, state in self.states.items() if state.get("held")}


def read_condition(store: Store, rules: Rules) -> Condition:
    """Read what may need a person."""
    states = {account: store.account_state(account) for account in rules.accounts}
    return Condition(states, store.parked(), store.failures(), store.orphans())


def alerts(found: Condition, clock: Clock) -> list[Alert]:
    """Return what needs a person, what stops everything first."""
    said = [alert for account, state in found.states.items() for alert in _of_account(account, state, clock)]
    if refused := {str(why) for state in found.states.values() if (why := state.get("rules_refused"))}:
        text = f"rules.yaml was changed and is not used; the rules of before decide: {'; '.join(sorted(refused))}"
        said.insert(0, Alert("", text, "", "recovery-bridge check, then recovery-bridge test"))
    if found.parked:
        said.append(
            Alert("", f"{count(len(found.parked), 'write or message')} could not be done:", "/work#parked", "look")
        )
    if found.failures:
        said.append(
            Alert("", f"{count(len(found.failures), 'record')} could not be worked on:", "/work#failed", "look")
        )
    for case in found.orphans[:MOST_ORPHANS]:
        text = f"the case of ticket {case.ticket_id} has no owner or no next step:"
        said.append(Alert(case.account, text, f"/cases/{case.case_id}", "look"))
    return said


def _of_account(account: str, state: State, clock: Clock) -> Iterator[Alert]:
    succeeded = state.get("succeeded_at")
    if not succeeded:
        yield Alert(account, "has never been read", "", "recovery-bridge doctor")
    elif clock.now - (at := datetime.fromisoformat(succeeded)) > LATE_AFTER:
        yield Alert(account, f"was last read {duration(clock.now - at)} ago", "", "recovery-bridge doctor")
    if error := state.get("error"):
        yield Alert(account, str(error))
    if held := state.get("held"):
        yield Alert(account, f"begins no recovery, because {why_held(str(held))}:", "/work#limits", "resume it")
    if silent := silence_in(state):
        yield Alert(account, f"{in_words(silent, clock.now)}.", "", "recovery-bridge doctor")


def why_held(text: str) -> str:
    """Return why an account is held, without the command that ends it."""
    return text.removeprefix("held: ").partition("; then: ")[0]


# ------------------------------------------------------------------ limits
@dataclass(frozen=True)
class Limit:
    """How far a limit is used up."""

    account: str
    name: str
    used: str
    of: str
    full: float  # 0 to 1, or more

    @property
    def is_near(self) -> bool:
        """True if little is left."""
        return self.full >= 0.8


def limits(store: Store, rules: Rules, found: Condition, clock: Clock) -> list[Limit]:
    """Return how full the limits of each account are, as `Brakes` counts them."""
    return [one for account in rules.accounts for one in _limits(store, rules, account, found.states[account], clock)]


def _limits(store: Store, rules: Rules, account: str, state: State, clock: Clock) -> Iterator[Limit]:
    resumed_at, most = datetime.fromisoformat(state.get("resumed_at", NEVER)), rules.limits

    def since(span: timedelta) -> datetime:
        return max(resumed_at, clock.now - span)

    for limit, span, words in (
        (most.tickets_per_hour, AN_HOUR, "recoveries begun within an hour"),
        (most.tickets_per_day, A_DAY, "recoveries begun within a day"),
    ):
        if limit:
            used = store.flagged_since(account, since(span))
            yield Limit(account, words, f"{used}", f"{limit}", used / limit)
    if most.share_of_rated and most.share_of_rated < 1:
        flagged, rated = (ask(account, since(A_DAY)) for ask in (store.flagged_since, store.rated_since))
        used_share = flagged / rated if rated >= SHARE_COUNTS_FROM else 0.0
        said = f"{flagged} of {rated}" if rated >= SHARE_COUNTS_FROM else f"too few ratings to say ({rated})"
        name = "of a day's ratings are recovered"
        yield Limit(account, name, said, f"{most.share_of_rated:.0%}", used_share / most.share_of_rated)


# ------------------------------------------------------------------ what is stuck
@dataclass(frozen=True)
class Stuck:
    """An effect that is parked, or a record that could not be worked on."""

    key: str  # id of the effect or record
    account: str
    what: str
    error: str
    case_id: str | None = None
    at: Moment | None = None


def stuck_effects(found: Sequence[StoredEffect], names: Mapping[str, Names], clock: Clock) -> list[Stuck]:
    """Return what is parked, the oldest first, MOST_STUCK at most; *names* by account."""
    return [
        Stuck(
            one.effect.effect_id, one.effect.account, what(one.effect, names.get(one.effect.account, NO_NAMES)),
            one.error or "no reason was kept",
            one.effect.case_id, clock.time(one.last_sent_at) if one.last_sent_at else None,
        )
        for one in found[:MOST_STUCK]
    ]  # fmt: skip


def stuck_records(found: Sequence[Failure], clock: Clock) -> list[Stuck]:
    """Return the records that could not be worked on, the oldest first, MOST_STUCK at most."""
    return [
        Stuck(one.key, one.account, f"{one.kind} {one.key}", one.error, None, clock.time(one.at))
        for one in found[:MOST_STUCK]
    ]
