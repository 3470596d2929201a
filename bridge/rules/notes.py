"""Notes that agents read: `{field|fallback}` from a fixed list, filled in one pass, never scanned again.

What customers wrote is data: `inert` makes it harmless plain text. Escaping for HTML is the connector's job.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bridge.rules.problems import nearest, unknown

PLACEHOLDERS: Mapping[str, str] = {
    "customer_first_name": "the first name of the requester",
    "customer_name": "the name of the requester",
    "rating_text": "the rating in words, such as bad (1 of 5)",
    "comment": "what the customer wrote",
    "reason": "the reason that the customer picked",
    "reply_by": "when the customer should have an answer",
    "goodwill_left": "what may still be offered without asking",
    "goodwill_up_to": "what may still be offered with approval",
    "goodwill_policy": "the version of the goodwill table",
    "history": "this customer's earlier ratings, with dates",
    "bad_ratings_90d": "this customer's bad ratings in so many days; any number of days",
    "original_agent": "who had the ticket when it was rated",
    "assignee": "who has it now",
    "ticket_id": "the number of the ticket",
    "ticket_subject": "its subject",
    "rule": "the rule that matched",
    "playbook": "the playbook that is followed",
    "severity": "low, normal, high or critical",
    "brand": "the brand or product",
    "group": "the group that has the ticket",
    "channel": "how the ticket came in",
    "account": "the helpdesk's name in this file",
}
SURVEY_PLACEHOLDERS: Mapping[str, str] = {
    "customer_first_name": "the first name of the requester",
    "customer_name": "the name of the requester",
    "link": "the address of the question; it is added at the end if it stands nowhere",
    "ticket_id": "the number of the ticket",
    "ticket_subject": "its subject",
    "brand": "the brand or product",
    "answer_by": "until when an answer counts",
}
LONGEST_NOTE = 10_000  # characters, as written
LONGEST_VALUE = 4_000  # characters of one value in a note

_PLACEHOLDER = re.compile(r"\{([^{}|]*)(?:\|([^{}]*))?\}")
_BAD_RATINGS = re.compile(r"bad_ratings_[1-9][0-9]{0,3}d")
_TEMPLATE_BRACES = re.compile(r"\{(?=[{%])|[}%](?=\})")
_LINK = re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]*):(?=//)")
_BARE_LINK = re.compile(r"\b(www)\.", re.IGNORECASE)
_MAY_DO_HARM = re.compile(r"[{}]|//|www\.", re.IGNORECASE)  # every placeholder and link has one of these


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a note; *piece* is the part of its text that is meant."""

    message: str
    piece: str
    suggestion: str | None = None


class NoteError(ValueError):
    """A note cannot be used, for all these reasons."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(fault.message for fault in faults))
        self.faults = tuple(faults)


@dataclass(frozen=True)
class Note:
    """A note as text and placeholders: *parts* are texts, or (field, fallback)."""

    parts: tuple[str | tuple[str, str], ...]

    @property
    def fields(self) -> frozenset[str]:
        """The names of all placeholders."""
        return frozenset(part[0] for part in self.parts if isinstance(part, tuple))

    def render(self, values: Mapping[str, str | None]) -> str:
        """Fill the placeholders; an empty or missing value becomes the fallback, and every value is made inert."""
        filled = []
        for part in self.parts:
            if isinstance(part, str):
                filled.append(part)
            else:
                filled.append(inert(values.get(part[0]) or "", LONGEST_VALUE) or part[1])
        return break_braces("".join(filled))


def parse_note(text: str, placeholders: Mapping[str, str] = PLACEHOLDERS) -> Note:
    """Read the text of a note; raises NoteError for unknown placeholders and for braces on their own."""
    if len(text) > LONGEST_NOTE:
        raise NoteError([Fault(f"the note has {len(text):,} characters; at most {LONGEST_NOTE:,}", text)])
    parts: list[str | tuple[str, str]] = []
    end = 0
    for found in _PLACEHOLDER.finditer(text):
        parts.append(text[end : found.start()])
        parts.append((found[1].strip(), (found[2] or "").strip()))
        end = found.end()
    parts.append(text[end:])
    if faults := _faults(text, parts, placeholders):
        raise NoteError(faults)
    return Note(tuple(part for part in parts if part))


def _faults(text: str, parts: Sequence[str | tuple[str, str]], placeholders: Mapping[str, str]) -> list[Fault]:
    if theirs := re.search(r"\{[{%][^\n]{0,40}", text):
        inside = re.search(r"([A-Za-z_]+(?:\.[A-Za-z_]+)*)", theirs[0])
        words = inside[1].split(".") if inside else []
        right = nearest("_".join(words[-2:]), placeholders) or nearest(words[-1], placeholders) if words else None
        advice = f"placeholders of the helpdesk are not used here; write {{{right or 'ticket_id'}}}, with single braces"
        return [Fault(advice, theirs[0], right)]
    faults = []
    for part in parts:
        if isinstance(part, str):
            if part.endswith("$"):
                faults.append(Fault("placeholders are written without $, like {customer_name}", "${"))
            if brace := re.search(r"[{}][^\n]{0,20}", part):
                advice = f"a {brace[0][0]} on its own; a placeholder is written {{customer_name|fallback}}"
                faults.append(Fault(advice, brace[0]))
        elif part[0] not in placeholders and not (placeholders is PLACEHOLDERS and _BAD_RATINGS.fullmatch(part[0])):
            message, suggestion = unknown("placeholder", part[0], placeholders)
            faults.append(Fault(message, f"{{{part[0]}", suggestion))
    return faults


def inert(text: str, limit: int = 500) -> str:
    """Make a customer's words harmless plain text of one line and at most *limit* characters.

    Control and invisible characters go, spacing collapses, helpdesk placeholders are broken up and links defanged.
    """
    roughly = text[: limit * 20]  # bounds the work; what spacing and invisible characters take up is not text
    seen = roughly if roughly.isascii() and roughly.isprintable() else "".join(map(_visible, roughly))
    plain = " ".join(seen.split())
    if _MAY_DO_HARM.search(plain):
        plain = break_braces(_BARE_LINK.sub(r"\1[.]", _LINK.sub(r"\1[:]", plain)))
    if len(plain) <= limit and len(roughly) == len(text):
        return plain
    return plain[: max(0, limit - 1)].rstrip() + "\N{HORIZONTAL ELLIPSIS}" if limit > 0 else ""


def _visible(character: str) -> str:
    if character.isspace():
        return " "
    return "" if unicodedata.category(character) in ("Cc", "Cf", "Cs") else character


def break_braces(text: str) -> str:
    """Return a text in which no helpdesk sees a placeholder of its own."""
    return _TEMPLATE_BRACES.sub(lambda found: f"{found[0]} ", text)
