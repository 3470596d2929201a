"""The first entry that the facts match: a plain loop over the entries, and an index over them with the same answers.

The index has one bit for each alternative of each entry, the first in the highest place. For each subject it knows
which alternatives a value leaves standing; what all subjects leave standing matches, but for what bits cannot say: the
words of comments and `unless`, which the entry itself decides. What is not known matches nothing that asks for it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from math import inf
from operator import attrgetter, xor
from typing import Any, Protocol

from bridge.rules.conditions import Choice, Comment, Condition, Range, Tags
from bridge.rules.facts import Facts, fold_fact, fold_name
from bridge.rules.schema import Ignore

FEWEST = 10  # entries that are worth an index
PATIENCE = 100  # decisions by the loop that cost about as much as building the index
MOST_CLAUSES = 4  # tags that one alternative demands by bits; it asks itself for more
MOST_VALUES = 1024  # of one fact that are remembered with what they leave standing

Branch = Mapping[str, Condition]
Test = Callable[[Facts], bool]
Standing = Callable[[Any], int]  # what a fact leaves standing, as far as one subject is concerned
Subject = tuple[Callable[[Facts], Any], Standing]  # how to read the fact, and what it leaves standing


class Finder(Protocol):
    """Finds the first of the entries that it was made for."""

    def first(self, facts: Facts) -> int | None:
        """Return the number of the first entry that the facts match, or None."""


class Loop:
    """Asks one entry after the other."""

    def __init__(self, entries: Iterable[Ignore]) -> None:
        self._tests = [(entry.when.matches, entry.unless.matches if entry.unless else None) for entry in entries]

    def first(self, facts: Facts) -> int | None:
        """Return the number of the first entry that the facts match, or None."""
        for number, (matches, excepted) in enumerate(self._tests):
            if matches(facts) and not (excepted is not None and excepted(facts)):
                return number
        return None


class Patient:
    """Loops at first, and builds the index once it has been asked so often that it would have paid."""

    def __init__(self, entries: Sequence[Ignore]) -> None:
        self._entries = entries
        self._finder: Finder = Loop(entries)
        self._left = PATIENCE

    def first(self, facts: Facts) -> int | None:
        """Return the number of the first entry that the facts match, or None."""
        self._left -= 1
        if self._left == 0 and len(self._entries) >= FEWEST:
            self._finder = Index(self._entries)
        return self._finder.first(facts)


class Index:
    """Asks all entries at once."""

    def __init__(self, entries: Sequence[Ignore]) -> None:
        branches: list[Branch] = []
        self._owners: list[tuple[int, Test | None]] = []  # for each branch its entry, and what that is still asked
        for number, entry in enumerate(entries):
            own = entry.when.branches()
            branches += own
            self._owners += [(number, _test(entry, own))] * len(own)
        self._subjects = _subjects(branches)

    def first(self, facts: Facts) -> int | None:
        """Return the number of the first entry that the facts match, or None."""
        standing = (1 << len(self._owners)) - 1
        for read, left_by in self._subjects:
            standing &= left_by(read(facts))
            if not standing:
                return None
        while standing:
            highest = standing.bit_length() - 1
            number, test = self._owners[-1 - highest]
            if test is None or test(facts):
                return number
            standing ^= 1 << highest
        return None


def _test(entry: Ignore, branches: Sequence[Branch]) -> Test | None:
    """Return what an entry must still be asked if its bits say that it matches."""
    matches, unless = entry.when.matches, entry.unless
    exact = all(_is_exact(condition) for branch in branches for condition in branch.values())
    if unless is None:
        return None if exact else matches
    excepted = unless.matches
    return lambda facts: matches(facts) and not excepted(facts)


def _is_exact(condition: Condition) -> bool:
    if isinstance(condition, Comment):
        return not condition.mentions
    return not isinstance(condition, Tags) or len(_clauses(condition)) <= MOST_CLAUSES


# ------------------------------------------------------------------ one subject
def _subjects(branches: Sequence[Branch]) -> list[Subject]:
    """Return the subjects that any of the branches asks about, the most asked first."""
    asked: dict[str, list[tuple[int, Condition]]] = defaultdict(list)
    for place, branch in enumerate(reversed(branches)):
        bit = 1 << place
        for subject, condition in branch.items():
            asked[subject].append((bit, condition))
    every = (1 << len(branches)) - 1
    most_first = sorted(asked.items(), key=lambda item: len(item[1]), reverse=True)
    return [_subject(subject, every ^ _bits(found), found) for subject, found in most_first]


def _bits(found: Iterable[tuple[int, Any]]) -> int:
    """Return the bits of those that ask, in one number."""
    return sum(bit for bit, _ in found)


def _subject(subject: str, silent: int, asked: list[tuple[int, Condition]]) -> Subject:
    """Return one subject; *silent* are the bits of those that do not ask about it: they stand whatever the fact is."""
    choices = [(bit, condition) for bit, condition in asked if isinstance(condition, Choice)]
    ranges = [(bit, condition) for bit, condition in asked if isinstance(condition, Range)]
    tags = [(bit, condition) for bit, condition in asked if isinstance(condition, Tags)]
    comments = [(bit, condition) for bit, condition in asked if isinstance(condition, Comment)]
    if ranges:
        return ranges[0][1].value, _of_ranges(silent, ranges)
    if comments:
        return attrgetter("comment_present"), _of_comments(silent, comments)
    return attrgetter(subject), _of_choices(subject, silent, choices) if choices else _of_tags(silent, tags)


def _named(found: Iterable[tuple[int, Iterable[str]]]) -> dict[str, int]:
    """Return, for each value, the bits that name it."""
    named: dict[str, int] = defaultdict(int)
    for bit, values in found:
        for value in values:
            named[value] |= bit
    return dict(named)


def _of_choices(subject: str, silent: int, asked: list[tuple[int, Choice]]) -> Standing:
    others, yes, no = _yes_and_no(silent, asked)

    @lru_cache(maxsize=MOST_VALUES)
    def standing(fact: Any) -> int:
        value = fold_fact(subject, fact)
        if value is None:
            return silent
        left = others
        names = _widening(value) if subject == "language" else [value]
        for name in names:
            left |= yes.get(name, 0)
        for name in names:
            left &= ~no.get(name, 0)
        return left

    return standing


def _widening(language: str) -> list[str]:
    """Return a language tag and all that cover it: de-at, de."""
    return [language, *(language[:place] for place, letter in enumerate(language) if letter == "-")]


def _yes_and_no(silent: int, asked: list[tuple[int, Choice]]) -> tuple[int, dict[str, int], dict[str, int]]:
    """Return what a value that nobody names leaves standing, and for each value who wants it and who refuses it."""
    yes = _named((bit, choice.yes) for bit, choice in asked if choice.yes is not None)
    no = _named((bit, choice.no) for bit, choice in asked)
    return silent | _bits(one for one in asked if one[1].yes is None), yes, no


def _of_ranges(silent: int, asked: list[tuple[int, Range]]) -> Standing:
    """Every bound has an odd place, and what lies between two bounds the even one between theirs."""
    bounds = sorted({-inf, inf}.union(*((wanted.low, wanted.high) for _, wanted in asked)))

    def place(value: float) -> int:
        return bisect_left(bounds, value) + bisect_right(bounds, value)

    changes = [silent, *(0 for _ in range(2 * len(bounds) + 1))]
    for bit, wanted in asked:
        inwards = wanted.subject == "age"  # its bounds themselves do not count
        begin, end = place(wanted.low) + inwards, place(wanted.high) - inwards
        if begin <= end:
            changes[begin] ^= bit
            changes[end + 1] ^= bit
    standing: list[int] = list(accumulate(changes, xor))
    return lambda value: silent if value is None else standing[bisect_left(bounds, value) + bisect_right(bounds, value)]


def _of_tags(silent: int, asked: list[tuple[int, Tags]]) -> Standing:
    """The first clauses of all are looked up together, then the second ones, and so on."""
    demands = []
    for number in range(MOST_CLAUSES):
        found = [(bit, _clauses(tags)[number]) for bit, tags in asked if number < len(_clauses(tags))]
        if found:
            demands.append((~_bits(found), _named(found)))
    never = _named((bit, tags.never) for bit, tags in asked)
    known = frozenset(never).union(*(demanding for _, demanding in demands))
    everyone = silent | _bits(asked)

    def standing(tags: tuple[str, ...] | None) -> int:
        if tags is None:
            return silent
        named, left = known.intersection(map(fold_name, tags)), everyone
        for undemanding, demanding in demands:
            met = undemanding
            for tag in named:
                met |= demanding.get(tag, 0)
            left &= met
        for tag in named:
            left &= ~never.get(tag, 0)
        return left

    return standing


def _clauses(tags: Tags) -> list[frozenset[str]]:
    """Return sets of tags of each of which one must be there."""
    return [*(frozenset({tag}) for tag in sorted(tags.every)), *tags.some]


def _of_comments(silent: int, asked: list[tuple[int, Comment]]) -> Standing:
    standing = {
        present: silent | _bits(one for one in asked if _may_meet(one[1], present)) for present in (True, False)
    }
    return standing.__getitem__


def _may_meet(comment: Comment, present: bool) -> bool:
    return not comment.contradiction and comment.present in (None, present) and (present or not comment.mentions)
