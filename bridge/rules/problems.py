"""A problem of rules.yaml: one line that says where, what and what to do, then the source with a caret."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from bridge.rules import guesses

LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # where YAML begins a new line
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_LONGEST = 400  # characters of a message
_WIDEST = 100  # characters of a source line that are shown

# What may be a secret is never shown: before the @ of an address, after a word for secrets, long runs at random.
# Compiled when it is first needed.
_HIDDEN = (
    r"(?<=://)[^/@\s]+(?=@)|(?<=hooks\.slack\.com/services/)[^\s\"']+|\bxox[a-z]-[A-Za-z0-9-]{8,}"
    r"|(?:(?<=api.key)|(?<=apikey)|(?<=token)|(?<=secret)|(?<=password)|(?<=passwd))"
    r"[\"']?\s*[:=]\s*([\"']?[^\s\"',{}$]{8,})|[A-Za-z0-9]{20,}"
)

MOST_PROBLEMS = 1000  # of one file that are shown


@dataclass(frozen=True)
class Spot:
    """A place in the text: line and column begin at 1, *width* characters belong to it."""

    line: int
    column: int
    width: int = 1


TOP = Spot(1, 1)


@dataclass(frozen=True)
class Problem:
    """One problem of a rules file; `str()` gives it with its source lines and caret."""

    path: str
    line: int
    column: int
    message: str
    suggestion: str | None = None
    is_warning: bool = False
    source: str = ""  # the lines around it, with the caret
    width: int = 1  # characters that the caret marks

    def __str__(self) -> str:
        return f"{self.headline}\n{self.source}" if self.source else self.headline

    @property
    def headline(self) -> str:
        """The problem in one line."""
        return f"{self.path}:{self.line}:{self.column}: {'warning: ' if self.is_warning else ''}{self.message}"

    def as_dict(self) -> dict[str, Any]:
        """Return the problem for `--json`."""
        return {
            "path": self.path,
            "line": self.line,
            "column": self.column,
            "end_column": self.column + self.width,
            "severity": "warning" if self.is_warning else "error",
            "message": self.message,
            "suggestion": self.suggestion,
        }

    @property
    def annotation(self) -> str:
        """The problem as a command of a GitHub workflow: it stands beside the line in a pull request."""
        place = f"line={self.line},col={self.column},endColumn={self.column + self.width}"
        kind = "warning" if self.is_warning else "error"
        title = f"rules.yaml: {kind}" if self.suggestion is None else f"did you mean {self.suggestion}?"
        file, title = (_escaped(text, "%\r\n:,") for text in (self.path, title))
        return f"::{kind} file={file},{place},title={title}::{_escaped(self.message, '%')}"


def _escaped(text: str, characters: str) -> str:
    """Write characters that mean something in a workflow command as GitHub wants them: % becomes %25."""
    wanted = f"{characters}\r\n"
    return "".join(f"%{ord(one):02X}" if one in wanted else one for one in text)


class Reporter:
    """Makes problems of one text, and keeps at most one per place: the first."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self._lines = LINE_BREAK.split(text.removeprefix("\ufeff"))
        self._found: dict[tuple[int, int, str], Problem] = {}
        self._left_out = 0

    def error(self, spot: Spot, message: str, suggestion: str | None = None) -> None:
        """Note an error, unless there is one at this place."""
        self._note("error", spot, message, suggestion)

    def missing(self, spot: Spot, message: str) -> None:
        """Note that something is missing from what begins at this place, whatever else is wrong there."""
        self._note(f"missing {message}", spot, message)

    def warning(self, spot: Spot, message: str, suggestion: str | None = None) -> None:
        """Note a warning, unless there is one at this place."""
        self._note("warning", spot, message, suggestion)

    @property
    def has_errors(self) -> bool:
        """True if anything but warnings was noted."""
        return bool(self._left_out) or any(not problem.is_warning for problem in self._found.values())

    @property
    def lines(self) -> Sequence[str]:
        """The lines of the text."""
        return self._lines

    @property
    def problems(self) -> list[Problem]:
        """All problems, in the order of the text; of very many the first thousand, and how many more there are."""
        found = sorted(self._found.values(), key=lambda problem: (problem.line, problem.column, problem.is_warning))
        if self._left_out:
            found.append(Problem(self.name, len(self._lines), 1, f"... and {self._left_out:,} more problems"))
        return found

    def leave_out(self, count: int) -> None:
        """Count problems that are not shown because there are too many."""
        self._left_out += max(0, count)

    def line(self, number: int) -> str:
        """Return one line of the text."""
        return self._lines[number - 1]

    def find(self, piece: str, start: Spot) -> Spot:
        """Return the place of a piece of the text that begins at *start*; *start* itself if it is not on one line."""
        for number, line in enumerate(self._lines[start.line - 1 :], start.line):
            column = line.find(piece, start.column - 1 if number == start.line else 0)
            if column >= 0:
                return Spot(number, column + 1, len(piece))
        return start

    def _note(self, kind: str, spot: Spot, message: str, suggestion: str | None = None) -> None:
        place = (spot.line, spot.column, kind)
        if place in self._found:
            return
        if len(self._found) >= MOST_PROBLEMS:
            self._left_out += 1
            return
        message = masked(message if len(message) <= _LONGEST else f"{message[:_LONGEST]} ...")
        message = _UNPRINTABLE.sub(lambda found: f"\\x{ord(found[0]):02x}", message)
        source = self._excerpt(spot)
        is_warning = kind == "warning"
        self._found[place] = Problem(
            self.name, spot.line, spot.column, message, suggestion, is_warning, source, spot.width
        )

    def _excerpt(self, spot: Spot) -> str:
        """Return the line with the problem, the one above and the one below, and a caret."""
        start = 0 if spot.column + spot.width <= _WIDEST else max(0, spot.column - 1 - _WIDEST // 2)
        shown = []
        for number in (spot.line - 1, spot.line, spot.line + 1):
            if not 1 <= number <= len(self._lines):
                continue
            line = masked(self._lines[number - 1][: start + _WIDEST * 2])[start : start + _WIDEST].replace("\t", " ")
            if line.strip() or number == spot.line:
                shown.append(f"{number:6} | {_UNPRINTABLE.sub(_REPLACEMENT, line)}".rstrip())
            if number == spot.line:
                width = max(1, min(spot.width, len(line) + start - spot.column + 1))
                shown.append(f"       | {' ' * (spot.column - 1 - start)}{'^' * width}")
        return "\n".join(shown)


def masked(text: str) -> str:
    """Return a text with asterisks in place of everything that may be a secret; its length stays."""
    return re.sub(_HIDDEN, _mask, text, flags=re.IGNORECASE)


def _mask(found: re.Match[str]) -> str:
    if found[1] is not None:
        return f"{found[0][: found.start(1) - found.start()]}{'*' * len(found[1])}"
    return "*" * len(found[0]) if not found[0].isalnum() or looks_random(found[0]) else found[0]


def looks_random(run: str) -> bool:
    """True if letters and digits are mixed as in a key, not as in a word or a number."""
    digits = sum(character.isdigit() for character in run)
    is_mixed = re.search("[a-z][A-Z]", run) is not None and re.search("[A-Z]{2}", run) is not None
    return len(run) >= 20 and digits < len(run) and (digits >= 3 or (digits >= 1 and is_mixed))


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that *word* is probably a misspelling of, or None."""
    return _nearest(word, tuple(sorted(known)))


@lru_cache(maxsize=512)
def _nearest(word: str, known: tuple[str, ...]) -> str | None:
    from difflib import get_close_matches

    folded = {name.casefold(): name for name in known}
    if meant := guesses.meant(word, folded):
        return meant
    found = get_close_matches(word.casefold()[:100], folded, n=1, cutoff=0.6)
    return folded[found[0]] if found else None


def unknown(what: str, word: str, known: Iterable[str], where: str = "") -> tuple[str, str | None]:
    """Word the message for something that does not exist, with the suggestion or the list of what there is."""
    names = sorted(known)
    word = word if len(word) <= 80 else f"{word[:80]} ..."
    suggestion = nearest(word, names)
    if suggestion is not None:
        return f'unknown {what} "{word}"{where}, did you mean "{suggestion}"?', suggestion
    if not names:
        return f'unknown {what} "{word}"{where}; there is none{"" if where else " in this file"}', None
    more = ", ..." if len(names) > 12 else ""
    return f'unknown {what} "{word}"{where}; there are: {", ".join(names[:12])}{more}', None
