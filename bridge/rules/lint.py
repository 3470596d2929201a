"""Warnings: what is allowed but hardly meant. Only what can be proved is claimed.

A rule is never reached if every branch of it lies within a branch of an entry above it; branches are the alternatives
of its `any`, each with one merged condition per subject (see `conditions`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bridge.hours import PublicHolidays
from bridge.rules.conditions import Block, Choice, Condition, Range
from bridge.rules.document import Items, Loc, Map
from bridge.rules.facts import fold
from bridge.rules.language import Rules, is_of_requests
from bridge.rules.lint_playbooks import lint_playbooks
from bridge.rules.problems import Reporter, Spot
from bridge.rules.schema import Ignore

MOST_BRANCHES = 32  # of one block; with more, nothing is claimed

_CALLED_BAD = {  # points from 1 to 5 of what the vendors themselves call bad, on all their scales
    "zendesk": ((2.0, "2 of 5"), (3.0, "3 of 5 on an older account")),
    "freshdesk": ((5 / 3, "-102 of its seven-point scale"), (2.0, "2 of 5"), (7 / 3, "-101 of its seven-point scale")),
}

Branch = Mapping[str, Condition]

_WINDOW = re.compile(r"bad_ratings_([0-9]+)d")


@dataclass(frozen=True)
class Entry:
    """One entry of `ignore` or `rules` as the proofs see it."""

    name: str
    when: tuple[Branch, ...]
    unless: tuple[Branch, ...]

    def takes(self, branch: Branch, exceptions: Iterable[Branch] = ()) -> bool:
        """True only if all facts of *branch* match this entry, but for facts that *exceptions* take out of it."""
        if not any(_inside(branch, own) for own in self.when):
            return False
        return all(self._harmless(branch, out, exceptions) for out in self.unless)

    @staticmethod
    def _harmless(branch: Branch, out: Branch, exceptions: Iterable[Branch]) -> bool:
        """True if an exception of this entry takes nothing out of *branch* that is still in it."""
        both = _both(branch, out)
        return _impossible(both) is not None or any(_inside(both, exception) for exception in exceptions)


def lint(rules: Rules, report: Reporter) -> None:
    """Add the warnings for a file without errors, and the one error that only a slow look-up finds."""
    data = rules.document.data
    _holidays(rules, report)
    _reach(rules, data, report)
    _bad_ratings(rules, data, report)
    _unused(rules, data, report)
    _twice(data, report)
    _limits(rules, report)
    _hosts(rules, report)
    lint_playbooks(rules, report)


def _holidays(rules: Rules, report: Reporter) -> None:
    places: list[tuple[object, Loc]] = [(rules.settings.holidays, ("settings", "holidays"))]
    places += [(own.holidays, ("hours", number, "holidays")) for number, own in enumerate(rules.hours) if own.holidays]
    for holidays, loc in places:
        try:
            if isinstance(holidays, PublicHolidays):
                holidays.load()
        except ValueError as exc:
            report.error(rules.document.spot(loc), str(exc))


# ------------------------------------------------------------------ rules that never match
def _reach(rules: Rules, data: Map, report: Reporter) -> None:
    above: list[Entry] = []
    entries = [("ignore entry", "ignore", entry) for entry in rules.ignore]
    entries += [("rule", "rules", entry) for entry in rules.rules]
    places = {section: data.get(section) or () for section in ("ignore", "rules")}
    numbers = {"ignore": 0, "rules": 0}
    for what, section, source in entries:
        spot = places[section][numbers[section]].value_spots["name"]
        numbers[section] += 1
        entry = None if source.disabled else _entry(source)
        if entry is None:
            continue
        why = _never_matches(entry)
        if why is not None:
            report.warning(spot, f'{what} "{entry.name}" can never match: {why}')
            continue
        if taker := _taken_by(entry, above):
            report.warning(spot, f'{what} "{entry.name}" is never reached: {taker}')
        else:
            _parts(entry, places[section][numbers[section] - 1], report)
        above.append(entry)


def _parts(entry: Entry, written: Map, report: Reporter) -> None:
    """Warn of alternatives that add nothing to an entry, and of an unless that takes nothing out of it."""
    alternatives: Items = written["when"].get("any") or Items()
    for number, branch in enumerate(entry.when[: len(alternatives)]):
        spot = alternatives.value_spots[number]
        if why := _impossible(branch):
            report.warning(spot, f"this alternative can never hold: {why}")
        elif any(_inside(branch, other) for other in entry.when[:number]):
            report.warning(spot, "this alternative adds nothing: one above it takes all that it asks for")
    if entry.unless and all(_impossible(_both(branch, out)) for branch in entry.when for out in entry.unless):
        report.warning(written.key_spots["unless"], "this unless takes nothing out: none of it can hold beside when")


def _entry(source: Ignore) -> Entry | None:
    when, unless = source.when, source.unless
    if _size(when) > MOST_BRANCHES or (unless is not None and _size(unless) > MOST_BRANCHES):
        return None
    return Entry(source.name, tuple(when.branches()), tuple(unless.branches()) if unless else ())


def _size(block: Block) -> int:
    return max(1, len(block.alternatives))


def _never_matches(entry: Entry) -> str | None:
    reasons = [_impossible(branch) for branch in entry.when]
    if None not in reasons:
        return reasons[0]
    left = [branch for branch, reason in zip(entry.when, reasons, strict=True) if reason is None]
    if all(any(_inside(branch, out) for out in entry.unless) for branch in left):
        return "its unless takes back everything"
    return None


def _taken_by(entry: Entry, above: list[Entry]) -> str | None:
    """Say which entries above take all that *entry* wants; one entry if one does, else several together."""
    left = [branch for branch in entry.when if _impossible(branch) is None]
    takers: list[str] = []
    for branch in left:
        taker = next((other for other in above if other.takes(branch, entry.unless)), None)
        if taker is None:
            return None
        takers.append(taker.name)
    names = list(dict.fromkeys(takers))
    twin = next((other for other in above if other.name == names[0]), None)
    if len(names) == 1 and twin is not None and (twin.when, twin.unless) == (entry.when, entry.unless):
        return f'it asks the same as "{names[0]}" above it'
    quoted = " and ".join(f'"{name}"' for name in names)
    return f"everything it wants is already taken by {quoted} above it"


def _inside(branch: Branch, wider: Branch) -> bool:
    """True only if all facts that meet *branch* meet *wider*."""
    for subject, condition in wider.items():
        mine = branch.get(subject)
        if mine is None or not (mine is condition or mine.within(condition)):
            return False
    return True


def _both(branch: Branch, other: Branch) -> Branch:
    found = dict(branch)
    for subject, condition in other.items():
        found[subject] = found[subject].merged(condition) if subject in found else condition
    return found


def _impossible(branch: Branch) -> str | None:
    why = next((why for condition in branch.values() if (why := condition.impossible())), None)
    return why or _too_many_in_less(branch)


def _too_many_in_less(branch: Branch) -> str | None:
    """Say why bad ratings cannot be so many in a time and so few in a longer one."""
    windows = [(int(found[1]), one) for one in branch.values() if (found := _WINDOW.fullmatch(one.subject))]
    for days, short in windows:
        for more_days, long in windows:
            if days < more_days and isinstance(short, Range) and isinstance(long, Range) and short.low > long.high:
                return (
                    f"there are no {short.low:g} bad ratings in {days} days with at most {long.high:g} in {more_days}"
                )
    return None


# ------------------------------------------------------------------ bad ratings that nobody takes
def _bad_ratings(rules: Rules, data: Map, report: Reporter) -> None:
    """Warn if no rule takes every bad rating; of a number, if it leaves out what a helpdesk calls bad."""
    branches = [
        (number, branch)
        for number, rule in enumerate(rules.rules)
        for branch in rule.when.branches()
        if not rule.disabled and not is_of_requests(branch)
    ]
    if any(len(branch.keys() - {"requested"}) <= 1 and _takes_all_bad(branch) for _, branch in branches):
        return
    points = [(point.high, number) for number, branch in branches if isinstance(point := branch.get("point"), Range)]
    highest, number = max(points, default=(0.0, 0))
    left_out = _left_out(highest, rules)
    if left_out:
        spot = data["rules"][number].value_spots["name"]
        report.warning(spot, f'rule "{rules.rules[number].name}" leaves out {left_out}; write rating: bad')
        return
    advice = "no rule takes every bad rating; end the list with one whose only condition is rating: bad"
    report.warning(data.key_spots["rules"], advice)


def _takes_all_bad(branch: Branch) -> bool:
    category, point = branch.get("category"), branch.get("point")
    if branch.keys() <= {"requested"}:
        return True
    if isinstance(category, Choice):
        return category.yes is not None and "bad" in category.yes
    return isinstance(point, Range) and point.low <= 1 and point.high >= 3


def _left_out(highest: float, rules: Rules) -> str | None:
    """Name a value that a connected helpdesk can call bad and that lies above the highest threshold for low ratings."""
    if not 1 <= highest < 3:
        return None
    for connector in dict.fromkeys(account.connector for account in rules.accounts.values()):
        for point, name in _CALLED_BAD.get(connector, ()):
            if point > highest:
                return f"what {connector} can call bad: {name} is {point:.3g} from 1 to 5"
    return None


# ------------------------------------------------------------------ what says nothing, or against itself
def _twice(value: Any, report: Reporter) -> None:
    """Warn of texts that stand twice in one list; a loop, for the text may be nested deeply."""
    waiting = [value]
    while waiting:
        here = waiting.pop()
        waiting += here.values() if isinstance(here, Map) else here if isinstance(here, Items) else ()
        seen: dict[str, Spot] = {}
        for item, spot in zip(here, here.value_spots, strict=True) if isinstance(here, Items) else ():
            if isinstance(item, str) and seen.setdefault(fold(item), spot) is not spot:
                report.warning(spot, f'"{item}" stands in this list twice; delete one')


def _limits(rules: Rules, report: Reporter) -> None:
    limits, document = rules.limits, rules.document
    if limits.tickets_per_hour and limits.tickets_per_day and limits.tickets_per_hour >= limits.tickets_per_day:
        advice = f"this is never reached: tickets_per_day is {limits.tickets_per_day}; write less, or delete it"
        report.warning(document.spot(("limits", "tickets_per_hour")), advice)
    one, all_of_them = limits.goodwill_per_ticket, limits.goodwill_per_customer
    if one and all_of_them and one.amount > all_of_them.money.amount:
        advice = f"no ticket gets that much: goodwill_per_customer is {all_of_them.money}"
        report.warning(document.spot(("limits", "goodwill_per_ticket")), advice)


def _hosts(rules: Rules, report: Reporter) -> None:
    """Warn of an address that names one helpdesk where the connector is another's."""
    for name, account in rules.accounts.items():
        other = next((one for one in _CALLED_BAD if one != account.connector and f".{one}." in account.url), None)
        if other and account.connector in _CALLED_BAD:
            advice = f"this address is of {other}, not of {account.connector}; write connector: {other}"
            report.warning(rules.document.spot(("accounts", name, "connector")), advice, other)


# ------------------------------------------------------------------ what nobody uses
def _unused(rules: Rules, data: Map, report: Reporter) -> None:
    books = {rule.playbook for rule in rules.rules}
    for name in list(books):
        while (parent := rules.playbooks[name].like) is not None:
            books.add(name := parent)
    used: dict[str, Collection[str | None]] = {
        "playbooks": books,
        "notes": {book.note for book in rules.playbooks.values()},
        "people": {name for book in rules.playbooks.values() for name, _ in book.people}
        | {line.approved_by for line in (rules.goodwill.lines if rules.goodwill else ())}
        | {one.to for one in (rules.settings.daily_report,) if one},
    }
    if rules.settings.ticket_fields.cause is None:
        for name, cause in rules.causes.items():
            if cause.tag is None:
                advice = f'nobody can say "{name}" on a ticket: write a tag, or settings.ticket_fields.cause'
                report.warning(data["causes"].key_spots[name], advice)
    for section, what in (("playbooks", "playbook"), ("notes", "note"), ("people", "person")):
        defined = data.get(section) or Map()
        for name in defined:
            if name not in used[section]:
                report.warning(defined.key_spots[name], f'{what} "{name}" is not used anywhere; delete it or use it')
