"""Breaking rules on purpose, one change at a time: what no test notices is not tested.

Each breakage is made on the composed text, so that it is read and checked like any rules file; one that the check
itself refuses is left out, and so is an exchange of two rules that never match the same rating.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from bridge.hours import parse_duration, show_duration
from bridge.model import Severity
from bridge.recovery import PRIORITIES
from bridge.rules import Ignore, Rules
from bridge.rules.document import Document, Items, Loc, Map
from bridge.rules.loading import understand

_LEFT_OUT_OF_PLAYBOOKS = (
    "tags", "note", "notify", "goodwill", "remind_if_silent", "abusive", "check_in", "survey", "priority",
)  # fmt: skip
_LEFT_OUT_OF_SURVEYS = ("remind_after", "if_still_bad")
_SEVERITIES = tuple(map(str, Severity))
_MILESTONES = ("acknowledged", "replied", "solved")


@dataclass(frozen=True)
class Breakage:
    """Rules with one thing changed, and what that is."""

    what: str
    line: int
    rules: Rules


def as_if_enabled(rules: Rules) -> Rules:
    """Return the rules as they are when nothing of them is switched off."""
    data = deepcopy(rules.document.data)
    entries = [entry for section in ("ignore", "rules") for entry in data.get(section, ())]
    off = [entry.pop("disabled", None) for entry in entries]
    return understand(Document(data, rules.document.top), rules.text, rules.path) or rules if any(off) else rules


def breakages(rules: Rules) -> Iterator[Breakage]:
    """Yield broken versions of rules, one change each, in the order of the file."""
    for what, loc, change in _changes(rules):
        data = deepcopy(rules.document.data)
        change(data)
        broken = understand(Document(data, rules.document.top), rules.text, rules.path)
        if broken is not None:
            yield Breakage(what, rules.document.spot(loc).line, broken)


Change = Callable[[Map], None]
Found = tuple[str, Loc, Change]


def _changes(rules: Rules) -> Iterator[Found]:
    data = rules.document.data
    for name in ("working_hours", "quiet_hours", "confirm_after", "absent_after", "max_open"):
        if name in data.get("settings", {}):
            yield _without(("settings", name))
    for number in range(len(data.get("hours", ()))):
        yield _without(("hours", number), "an entry of hours")
    yield from _of_goodwill(data)
    for name, playbook in data.get("playbooks", {}).items():
        yield from _of_playbook(("playbooks", name), playbook)
    for section in ("ignore", "rules"):
        yield from _of_entries(section, rules)


# ------------------------------------------------------------------ the parts of the file
def _of_goodwill(data: Map) -> Iterator[Found]:
    lines = data.get("goodwill", {}).get("lines", ())
    for number, line in enumerate(lines):
        yield _without(("goodwill", "lines", number), f"line {number + 1} of goodwill")
        amount, _, currency = str(line.get("up_to")).partition(" ")
        yield _set(("goodwill", "lines", number, "up_to"), f"{float(amount) + 7:g} {currency}")


def _of_playbook(loc: Loc, playbook: Map) -> Iterator[Found]:
    for key in _LEFT_OUT_OF_PLAYBOOKS:
        if key in playbook:
            yield _without((*loc, key))
    if "priority" in playbook:
        yield _set((*loc, "priority"), _next(playbook["priority"], PRIORITIES))
    if playbook.get("ticket") in ("reopen", "follow_up"):
        yield _set((*loc, "ticket"), "note_only")
    rungs = playbook.get("assign_to_first_available", ())
    for number in range(len(rungs)):
        yield _without((*loc, "assign_to_first_available", number), f"the rung {rungs[number]} of {loc[-1]}")
    if len(rungs) > 1:
        yield _exchange((*loc, "assign_to_first_available"), 0, f"the first two rungs of {loc[-1]} exchanged")
    for number, deadline in enumerate(playbook.get("deadlines", ())):
        yield _without((*loc, "deadlines", number), f"deadline {number + 1} of {loc[-1]}")
        yield _doubled((*loc, "deadlines", number, "within"), deadline["within"])
        yield _set((*loc, "deadlines", number, "until"), _next(deadline["until"], _MILESTONES))
    for key in ("check_in", "survey"):
        for name, value in playbook.get(key, {}).items():
            if name in ("after", "answer_within", "remind_after"):
                yield _doubled((*loc, key, name), value)
            if name in _LEFT_OUT_OF_SURVEYS:
                yield _without((*loc, key, name))


def _of_entries(section: str, rules: Rules) -> Iterator[Found]:
    entries = rules.document.data.get(section, ())
    read = rules.ignore if section == "ignore" else rules.rules
    for number, entry in enumerate(entries):
        loc: Loc = (section, number)
        if read[number].disabled:
            continue
        if len(entries) > 1 or section == "ignore":
            yield _without(loc, f'"{entry["name"]}"')
        if number and _can_meet(read[number - 1], read[number]):
            yield _exchange((section,), number - 1, f'"{entry["name"]}" moved above "{entries[number - 1]["name"]}"')
        for part in ("when", "unless"):
            if part in entry:
                yield from _of_block((*loc, part), entry[part], entry["name"])
        if "unless" in entry:
            yield _without((*loc, "unless"), f'the unless of "{entry["name"]}"')
        if section == "rules":
            yield _set((*loc, "severity"), _next(entry.get("severity", "normal"), _SEVERITIES))
            others = [name for name in rules.playbooks if name != entry["playbook"]]
            yield from [_set((*loc, "playbook"), name) for name in others[:1]]


def _of_block(loc: Loc, block: Map, name: str) -> Iterator[Found]:
    for key, value in block.items():
        if len(block) > 1:
            yield _without((*loc, key), f'the condition {key} of "{name}"')
        if key == "any":
            for number, inner in enumerate(value):
                yield _without((*loc, key, number), f'alternative {number + 1} of "{name}"')
                yield from _of_block((*loc, key, number), inner, name)
        else:
            yield from _of_value((*loc, key), value, name)


def _of_value(loc: Loc, value: Any, name: str) -> Iterator[Found]:
    """Yield what can be changed about the value of a condition: numbers, durations, and each word of a list."""
    if isinstance(value, Items):
        for number, word in enumerate(value):
            yield _without((*loc, number), f'"{word}" of {loc[3]} of "{name}"')
    elif isinstance(value, Map):
        for key, inner in value.items():
            if isinstance(inner, int) and not isinstance(inner, bool):
                yield _set((*loc, key), inner + 1)
            elif key in ("older_than", "newer_than"):
                yield _doubled((*loc, key), inner)
            else:
                yield from _of_value((*loc, key), inner, name)


# ------------------------------------------------------------------ changes
def _without(loc: Loc, what: str = "") -> Found:
    def change(data: Map) -> None:
        del _holder(data, loc)[loc[-1]]

    return f"{what or _words(loc)} left out", loc, change


def _set(loc: Loc, value: Any) -> Found:
    def change(data: Map) -> None:
        _holder(data, loc)[loc[-1]] = value

    return f"{_words(loc)} is {value}", loc, change


def _doubled(loc: Loc, duration: str) -> Found:
    return _set(loc, show_duration(2 * parse_duration(duration)))


def _exchange(loc: Loc, first: int, what: str) -> Found:
    def change(data: Map) -> None:
        holder = _holder(data, (*loc, first))
        holder[first], holder[first + 1] = holder[first + 1], holder[first]

    return what, (*loc, first + 1), change


def _holder(data: Map, loc: Loc) -> Any:
    here: Any = data
    for step in loc[:-1]:
        here = here[step]
    return here


def _words(loc: Loc) -> str:
    return " ".join(str(step + 1) if isinstance(step, int) else step for step in loc)


def _next(word: str, words: tuple[str, ...]) -> str:
    return words[(words.index(word) + 1) % len(words)]


# ------------------------------------------------------------------ what makes no difference
def _can_meet(one: Ignore, other: Ignore) -> bool:
    """True unless it is proven that no rating matches both."""
    for mine in one.when.branches():
        for theirs in other.when.branches():
            both = [mine[subject].merged(theirs[subject]) for subject in mine.keys() & theirs.keys()]
            if not any(condition.impossible() for condition in both):
                return True
    return False
