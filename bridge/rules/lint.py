"""Warnings: what is allowed but hardly meant. Only what can be proved is claimed.

A rule is never reached if every branch of it lies within a branch of an entry above it; branches are the alternatives
of its `any`, each with one merged condition per subject (see `conditions`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from bridge.hours import PublicHolidays
from bridge.rules.conditions import Block, Choice, Condition, Range
from bridge.rules.document import Loc, Map
from bridge.rules.language import Rules, is_of_requests
from bridge.rules.lint_playbooks import lint_playbooks
from bridge.rules.problems import Reporter
from bridge.rules.schema import Ignore

MOST_BRANCHES = 32  # of one block; with more, nothing is claimed

_CALLED_BAD = {  # points from 1 to 5 of what the vendors themselves call bad, on all their scales
    "zendesk": ((2.0, "2 of 5"), (3.0, "3 of 5 on an older account")),
    "freshdesk": ((5 / 3, "-102 of its seven-point scale"), (2.0, "2 of 5"), (7 / 3, "-101 of its seven-point scale")),
}

Branch = Mapping[str, Condition]


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
        entry = _entry(source)
        if entry is None:
            continue
        why = _never_matches(entry)
        if why is not None:
            report.warning(spot, f'{what} "{entry.name}" can never match: {why}')
            continue
        if taker := _taken_by(entry, above):
            report.warning(spot, f'{what} "{entry.name}" is never reached: {taker}')
        above.append(entry)


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
    return next((why for condition in branch.values() if (why := condition.impossible())), None)


# ------------------------------------------------------------------ bad ratings that nobody takes
def _bad_ratings(rules: Rules, data: Map, report: Reporter) -> None:
    """Warn if no rule takes every bad rating; of a number, if it leaves out what a helpdesk calls bad."""
    branches = [
        (number, branch)
        for number, rule in enumerate(rules.rules)
        for branch in rule.when.branches()
        if not is_of_requests(branch)
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
        | {line.approved_by for line in (rules.goodwill.lines if rules.goodwill else ())},
    }
    for section, what in (("playbooks", "playbook"), ("notes", "note"), ("people", "person")):
        defined = data.get(section) or Map()
        for name in defined:
            if name not in used[section]:
                report.warning(defined.key_spots[name], f'{what} "{name}" is not used anywhere; delete it or use it')
