"""Conditions: what each asks, whether facts meet it, and what one condition says about another.

Three-valued: True, False, or None where the fact is not known. Only True matches. Every condition can be merged with
one of the same kind, can say why it is impossible, and whether it lies within another: `lint` proves its claims so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property, lru_cache
from typing import Protocol, Self

from bridge.hours import show_duration
from bridge.rules.facts import TICKET_FACTS, Facts

_NO_SPACES = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_BEFORE = rf"(?<![^\W{_NO_SPACES}])"  # words of scripts that put no spaces between words may stand anywhere
_AFTER = rf"(?![^\W{_NO_SPACES}])"
_DAYS = re.compile(r"bad_ratings_([0-9]+)d")


class Condition(Protocol):
    """One thing that must hold; *subject* names what it is about."""

    @property
    def subject(self) -> str: ...

    def holds(self, facts: Facts) -> bool | None:
        """Return whether the facts meet it; None if that is not known."""

    def certain(self, facts: Facts) -> bool:
        """True if the facts meet it whatever the unknown ones turn out to be."""

    def merged(self, other: Self) -> Self:
        """Return the condition that both of them together are; *other* has the same subject."""

    def impossible(self) -> str | None:
        """Say why no facts can meet it, or return None."""

    def within(self, other: Self) -> bool:
        """True only if all facts that meet this one meet *other* too; *other* has the same subject."""

    def seen(self, facts: Facts) -> str:
        """Show the fact it looks at."""


def _missing(subject: str) -> bool | None:
    """A fact of the ticket may not be known; a rating that has no such thing simply does not match."""
    return None if subject in TICKET_FACTS else False


@dataclass(frozen=True)
class Choice:
    """A text is one of *yes* (None: any) and none of *no*; all folded."""

    subject: str
    yes: frozenset[str] | None = None
    no: frozenset[str] = frozenset()

    def holds(self, facts: Facts) -> bool | None:
        value = facts.folded[self.subject]
        if value is None:
            return _missing(self.subject)
        return (self.yes is None or self._inside(value, self.yes)) and not self._inside(value, self.no)

    def certain(self, facts: Facts) -> bool:
        return self.holds(facts) is True

    def merged(self, other: Choice) -> Choice:
        return Choice(self.subject, self._common(other), self.no | other.no)

    def _common(self, other: Choice) -> frozenset[str] | None:
        if self.yes is None or other.yes is None:
            return other.yes if self.yes is None else self.yes
        if self.subject != "language":
            return self.yes & other.yes
        both = [a for a in self.yes if _covered(a, other.yes)] + [b for b in other.yes if _covered(b, self.yes)]
        return frozenset(both)

    @cached_property
    def _left(self) -> frozenset[str] | None:
        """What of *yes* is not ruled out by *no*."""
        if self.yes is None:
            return None
        return frozenset(value for value in self.yes if not self._inside(value, self.no))

    def impossible(self) -> str | None:
        return f"{self.subject} cannot be all of this at once" if self._left == frozenset() else None

    def within(self, other: Choice) -> bool:
        left = self._left
        if self.subject == "language":
            return self._language_within(left, other)
        if left is None:
            return other.yes is None and other.no <= self.no
        return (other.yes is None or left <= other.yes) and left.isdisjoint(other.no)

    def _language_within(self, left: frozenset[str] | None, other: Choice) -> bool:
        if left is None:
            return other.yes is None and all(_covered(tag, self.no) for tag in other.no)
        if other.yes is not None and not all(_covered(tag, other.yes) for tag in left):
            return False
        return all(_covered(tag, self.no) or not _related(tag, left) for tag in other.no)

    def _inside(self, value: str, values: frozenset[str]) -> bool:
        return _covered(value, values) if self.subject == "language" else value in values

    def seen(self, facts: Facts) -> str:
        if self.subject == "requested":
            return str(facts.folded["requested"])
        value = getattr(facts, self.subject)
        return "not known" if value is None and self.subject in TICKET_FACTS else str(value or "none")


def _covered(tag: str, tags: frozenset[str] | set[str]) -> bool:
    """True if a language tag is one of *tags* or more special than one of them: de-at is covered by de."""
    return any(tag == other or tag.startswith(f"{other}-") for other in tags)


def _related(tag: str, tags: frozenset[str]) -> bool:
    """True if a language tag covers one of *tags* or is covered by one."""
    return _covered(tag, tags) or any(_covered(other, {tag}) for other in tags)


@dataclass(frozen=True)
class Range:
    """A number is at least *low* and at most *high*; an age (in seconds) is strictly between them."""

    subject: str  # point, age, reopens, bad_ratings_<N>d
    low: float = float("-inf")
    high: float = float("inf")

    def holds(self, facts: Facts) -> bool | None:
        value = self.value(facts)
        if value is None:
            return _missing(self.subject)
        if self.subject == "age":
            return self.low < value < self.high
        return self.low <= value <= self.high

    def certain(self, facts: Facts) -> bool:
        return self.holds(facts) is True

    def value(self, facts: Facts) -> float | None:
        """Return the number that it looks at; None if there is none or it is not known."""
        if self.subject == "point":
            return facts.point
        if self.subject == "reopens":
            return facts.reopens
        if self.subject == "age":
            return (facts.now - facts.rated_at).total_seconds()
        return facts.bad_ratings_within(self._days)

    @cached_property
    def _days(self) -> timedelta:
        found = _DAYS.fullmatch(self.subject)
        return timedelta(days=int(found[1]) if found else 0)

    def merged(self, other: Range) -> Range:
        return replace(self, low=max(self.low, other.low), high=min(self.high, other.high))

    def impossible(self) -> str | None:
        if self.low > self.high or (self.low == self.high and self.subject == "age"):
            if self.subject == "age":
                old, new = (show_duration(timedelta(seconds=bound)) for bound in (self.low, self.high))
                return f"a rating cannot be older than {old} and newer than {new}"
            name = "rating" if self.subject == "point" else self.subject
            return f"{name} cannot be at least {self.low:g} and at most {self.high:g}"
        return None

    def within(self, other: Range) -> bool:
        return other.low <= self.low and self.high <= other.high

    def seen(self, facts: Facts) -> str:
        value = self.value(facts)
        if value is None:
            return "not known"
        return show_duration(timedelta(seconds=value)) if self.subject == "age" else f"{value:.4g}"


@dataclass(frozen=True)
class Tags:
    """A set of tags has all of *every*, at least one of each set in *some*, and none of *never*; all folded."""

    subject: str
    every: frozenset[str] = frozenset()
    some: tuple[frozenset[str], ...] = ()
    never: frozenset[str] = frozenset()

    def holds(self, facts: Facts) -> bool | None:
        tags = facts.folded[self.subject]
        if tags is None:
            return None
        if not self.every <= tags or not self.never.isdisjoint(tags):
            return False
        return not any(wanted.isdisjoint(tags) for wanted in self.some)

    def certain(self, facts: Facts) -> bool:
        return self.holds(facts) is True

    def merged(self, other: Tags) -> Tags:
        return Tags(self.subject, self.every | other.every, self.some + other.some, self.never | other.never)

    def impossible(self) -> str | None:
        both = [self.every & self.never, *(wanted for wanted in self.some if wanted <= self.never)]
        return next(
            (f"{self.subject} cannot have and not have {', '.join(sorted(tags))}" for tags in both if tags), None
        )

    def within(self, other: Tags) -> bool:
        if not other.every <= self.every or not other.never <= self.never:
            return False
        mine = [*self.some, *({tag} for tag in self.every)]
        return all(any(options - self.never <= wanted for options in mine) for wanted in other.some)

    def seen(self, facts: Facts) -> str:
        tags = getattr(facts, self.subject)
        return "not known" if tags is None else ", ".join(tags) or "none"


@dataclass(frozen=True)
class WordList:
    """Words and phrases, folded: either one list for every language (key "") or one list per language."""

    lists: tuple[tuple[str, frozenset[str]], ...]

    @property
    def per_language(self) -> bool:
        """True if there is a list per language."""
        return self.lists[0][0] != ""

    @property
    def words(self) -> frozenset[str]:
        """The words of all lists."""
        return frozenset().union(*(words for _, words in self.lists))

    def used(self, language: str | None) -> list[frozenset[str]]:
        """Return the lists that count for a language: its own, or all where it is unknown or has none."""
        if not self.per_language:
            return [self.lists[0][1]]
        own = [words for tag, words in self.lists if language is not None and _covered(language, {tag})]
        return own or [words for _, words in self.lists]

    def within(self, other: WordList) -> bool:
        """True only if every comment that mentions one of these mentions one of the other's, in every language."""
        if not other.per_language:
            return self.words <= other.words
        if not self.per_language:
            return all(self.words <= words for _, words in other.lists)
        mine, theirs = dict(self.lists), dict(other.lists)
        return mine.keys() == theirs.keys() and all(mine[tag] <= theirs[tag] for tag in mine)


@dataclass(frozen=True)
class Comment:
    """The rating has a comment or not, and it mentions a word of each list."""

    present: bool | None = None
    mentions: tuple[WordList, ...] = ()
    subject: str = "comment"
    contradiction: bool = False

    def holds(self, facts: Facts) -> bool | None:
        if self.contradiction or (self.present is not None and self.present != facts.comment_present):
            return False
        if not self.mentions:
            return True
        if not facts.comment_present:
            return False
        if facts.comment is None:
            return None
        language = facts.folded["language"]
        return all(_mentions_any(facts, words.used(language)) for words in self.mentions)

    def certain(self, facts: Facts) -> bool:
        if self.holds(facts) is not True:
            return False
        if facts.language is not None:
            return True
        return all(_mentions_any(facts, [words]) for mention in self.mentions for _, words in mention.lists)

    def merged(self, other: Comment) -> Comment:
        contradiction = self.present is not None and other.present is not None and self.present != other.present
        present = other.present if self.present is None else self.present
        return Comment(present, self.mentions + other.mentions, contradiction=contradiction)

    def impossible(self) -> str | None:
        if self.contradiction or (self.present is False and self.mentions):
            return "there cannot be a comment and no comment"
        return None

    def within(self, other: Comment) -> bool:
        if other.present is True and not (self.present is True or self.mentions):
            return False
        if other.present is False and self.present is not False:
            return False
        return all(any(mine.within(words) for mine in self.mentions) for words in other.mentions)

    def seen(self, facts: Facts) -> str:
        if not facts.comment_present:
            return "no comment"
        return "a comment" if facts.comment is not None else "a comment that is not known any more"


def _mentions_any(facts: Facts, lists: list[frozenset[str]]) -> bool:
    comment = facts.folded_comment
    return any(_mentions(comment, words) for words in lists)


def _mentions(comment: str, words: frozenset[str]) -> bool:
    """True if one of the words stands in the comment; the substring test spares the slow pattern most times."""
    return any(word in comment for word in words) and _pattern(words).search(comment) is not None


@lru_cache(maxsize=4096)
def _pattern(words: frozenset[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(_bounded, sorted(words))))


def _bounded(word: str) -> str:
    """Return the pattern of one word or phrase that does not stand inside a longer word."""
    return f"{_edge(word[0], _BEFORE)}{re.escape(word)}{_edge(word[-1], _AFTER)}"


def _edge(character: str, boundary: str) -> str:
    return boundary if re.match(rf"[^\W{_NO_SPACES}]", character) else ""


# ------------------------------------------------------------------ lines and blocks
@dataclass(frozen=True)
class Line:
    """One line of a block as it was written, and the conditions that it stands for."""

    field: str
    wanted: str
    conditions: tuple[Condition, ...]
    is_implied: bool = False  # it stands nowhere: worth showing only where it does not hold

    def holds(self, facts: Facts) -> bool | None:
        """Return whether all its conditions hold; None if that is not known."""
        result: bool | None = True
        for condition in self.conditions:
            held = condition.holds(facts)
            if held is False:
                return False
            if held is None:
                result = None
        return result

    def certain(self, facts: Facts) -> bool:
        """True if it holds whatever the unknown facts turn out to be."""
        return all(condition.certain(facts) for condition in self.conditions)

    def seen(self, facts: Facts) -> str:
        """Show the facts that it looks at."""
        return ", ".join(dict.fromkeys(condition.seen(facts) for condition in self.conditions))


@dataclass(frozen=True)
class Block:
    """Lines that must all hold and, where there are *alternatives*, one of these blocks too."""

    lines: tuple[Line, ...]
    alternatives: tuple[Block, ...] = ()

    def holds(self, facts: Facts) -> bool | None:
        """Return whether the block holds; None if that is not known."""
        result: bool | None = True
        for line in self.lines:
            held = line.holds(facts)
            if held is False:
                return False
            if held is None:
                result = None
        if not self.alternatives:
            return result
        found = [block.holds(facts) for block in self.alternatives]
        if True in found:
            return result
        return None if None in found else False

    @cached_property
    def matches(self) -> Callable[[Facts], bool]:
        """A function that says whether `holds` is True, without the trouble of telling False from not known."""
        tests = [condition.holds for line in self.lines for condition in line.conditions]
        alternatives = [block.matches for block in self.alternatives]

        def matches(facts: Facts) -> bool:
            for test in tests:
                if test(facts) is not True:
                    return False
            return not alternatives or any(test(facts) for test in alternatives)

        return matches

    def certain(self, facts: Facts) -> bool:
        """True if the block holds whatever the unknown facts turn out to be."""
        if not all(line.certain(facts) for line in self.lines):
            return False
        return not self.alternatives or any(block.certain(facts) for block in self.alternatives)

    def every_line(self, part: str) -> Iterator[tuple[str, Line]]:
        """Yield all lines with the part of the rule that they stand in."""
        yield from ((part, line) for line in self.lines)
        for number, block in enumerate(self.alternatives, 1):
            yield from block.every_line(f"{part}, any {number}")

    def branches(self) -> list[Mapping[str, Condition]]:
        """Return the block as alternatives: in each, one merged condition per subject."""
        own = [condition for line in self.lines for condition in line.conditions]
        if not self.alternatives:
            return [_by_subject(own)]
        return [_by_subject([*own, *branch.values()]) for block in self.alternatives for branch in block.branches()]


RATINGS_ONLY = Line(
    "requested", "false (the rule does not name it)", (Choice("requested", frozenset({"false"})),), is_implied=True
)
_OF_THE_RATING = frozenset({"rating", "reason", "comment", "rated"})


def for_rule(block: Block) -> Block:
    """Return the `when` of a rule: an agent's request matches only the alternatives that name `requested`."""
    return _narrowed(block, lambda fields: "requested" not in fields)


def for_ignore(block: Block) -> Block:
    """Return the `when` of an entry of `ignore`: alternatives about the rating leave an agent's request alone."""
    return _narrowed(block, lambda fields: "requested" not in fields and not fields.isdisjoint(_OF_THE_RATING))


def _narrowed(block: Block, is_of_ratings: Callable[[set[str]], bool]) -> Block:
    """Return the block with RATINGS_ONLY in each alternative whose fields say that it is about ratings."""

    def narrowed(own: tuple[Line, ...], above: tuple[Line, ...] = ()) -> Block:
        fields = {line.field for line in (*above, *own)}
        return Block((*own, RATINGS_ONLY) if is_of_ratings(fields) else own)

    if not block.alternatives:
        return narrowed(block.lines)
    return Block(block.lines, tuple(narrowed(inner.lines, block.lines) for inner in block.alternatives))


def _by_subject(conditions: list[Condition]) -> dict[str, Condition]:
    found: dict[str, Condition] = {}
    for condition in conditions:
        known = found.get(condition.subject)
        found[condition.subject] = known.merged(condition) if known else condition
    return found
