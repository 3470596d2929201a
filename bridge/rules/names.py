"""The names in rules.yaml that are the helpdesk's: groups, agents, brands, tags and reasons, each with its place."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Any

from bridge.hours import show_duration
from bridge.model import Directory
from bridge.rules.document import Items, Map
from bridge.rules.facts import fold
from bridge.rules.problems import Reporter, Spot, unknown

_OF_CONDITIONS = {  # field of a condition -> what it names
    "group": "group",
    "brand": "brand",
    "product": "brand",
    "tags": "tags",
    "customer_tags": "customer_tags",
    "organization_tags": "organization_tags",
    "reason": "reason",
}
_IN_WORDS = {
    "tags": "tag", "customer_tags": "customer tag", "organization_tags": "organisation tag", "reason": "reason",
}  # fmt: skip


@dataclass(frozen=True)
class Name:
    """A name of the helpdesk in the file; *kind*: group, agent, brand, or the field of tags or reason."""

    kind: str
    text: str
    spot: Spot
    is_of_staff: bool = False  # in a list of who is away or has hours of their own: people leave


def names(data: Any) -> Iterator[Name]:
    """Yield every name of the helpdesk that a file gives."""
    for section in ("away", "hours"):
        for entry in _maps(data.get(section)):
            yield from _places(entry, is_of_staff=True)
    for entry in _maps(data.get("people")):
        yield from _places(entry)
        for key, kind in (("per_group", "group"), ("per_brand", "brand"), ("per_reason", "reason")):
            variants = entry.get(key)
            if isinstance(variants, Map):
                yield from (Name(kind, text, spot) for text, spot in variants.key_spots.items())
            for variant in _maps(variants):
                yield from _places(variant)
    for entry in _maps(data.get("survey_texts")):
        if isinstance(entry.get("brand"), str):
            yield Name("brand", entry["brand"], entry.value_spots["brand"])
    for section in ("ignore", "rules"):
        for entry in _maps(data.get(section)):
            yield from _conditions(entry.get("when"))
            yield from _conditions(entry.get("unless"))


def _maps(section: Any) -> list[Map]:
    values = section.values() if isinstance(section, Map) else section or ()
    return [value for value in values if isinstance(value, Map)]


def _places(entry: Map, *, is_of_staff: bool = False) -> Iterator[Name]:
    for kind in ("group", "agent"):
        if isinstance(entry.get(kind), str):
            yield Name(kind, entry[kind], entry.value_spots[kind], is_of_staff)


def _conditions(block: Any) -> Iterator[Name]:
    if not isinstance(block, Map):
        return
    for inner in block.get("any") or ():
        yield from _conditions(inner)
    for key, kind in _OF_CONDITIONS.items():
        if key in block:
            yield from (Name(kind, text, spot) for text, spot in _texts(block[key], block.value_spots[key]))


def _texts(value: Any, spot: Spot) -> Iterator[tuple[str, Spot]]:
    """Yield the texts of a condition, whether it is one, a list, or lists below words such as any_of."""
    if isinstance(value, str):
        yield value, spot
    elif isinstance(value, Items):
        for item, place in zip(value, value.value_spots, strict=True):
            yield from _texts(item, place)
    elif isinstance(value, Map):
        for key, item in value.items():
            yield from _texts(item, value.value_spots[key])


# ------------------------------------------------------------------ compared with what the helpdesks have
def report_unknown(data: Any, directories: Mapping[str, Directory], report: Reporter) -> None:
    """Report every group and agent that none of the accounts has, as their directories say.

    Brands, and agents of `away` or `hours`, are only warnings: not every account tells its brands, and people leave.
    """
    where = _accounts(directories)
    for name, known in _unknown(data, directories):
        message, suggestion = unknown(name.kind, name.text, known, where)
        if name.is_of_staff or name.kind == "brand":
            report.warning(name.spot, message, suggestion)
        else:
            report.error(name.spot, message, suggestion)


def report_doubted(data: Any, directories: Mapping[str, Directory], now: datetime, report: Reporter) -> None:
    """Warn of the same as the directories were when they were read, and say when that was."""
    if not directories:
        return
    read_at = min(directory.read_at for directory in directories.values())
    where = f"{_accounts(directories)} (as of {show_duration(now - read_at)} ago)"
    for name, known in _unknown(data, directories):
        report.warning(name.spot, *unknown(name.kind, name.text, known, where))


def report_unseen(data: Any, seen: Mapping[str, Collection[str]], report: Reporter) -> None:
    """Warn of tags and reasons that no ticket had so far, where one is known that is written much like them."""
    folded = {kind: {fold(text): text for text in texts} for kind, texts in seen.items()}
    for name in names(data):
        known = folded.get(name.kind, {})
        if name.kind not in _IN_WORDS or not known or fold(name.text) in known:
            continue
        for right in get_close_matches(fold(name.text), known, n=1, cutoff=0.65):
            what = _IN_WORDS[name.kind]
            advice = f'no ticket had the {what} "{name.text}" so far; did you mean "{known[right]}", which some had?'
            report.warning(name.spot, advice, known[right])


def _unknown(data: Any, directories: Mapping[str, Directory]) -> Iterator[tuple[Name, Collection[str]]]:
    every = directories.values()
    known = {
        "group": {name for directory in every for name in directory.groups.values()},
        "agent": {agent.email for directory in every for agent in directory.agents.values()},
    }
    if every and all(directory.brands for directory in every):
        known["brand"] = {name for directory in every for name in directory.brands.values()}
    there = {kind: {fold(name) for name in found} for kind, found in known.items()}
    for name in names(data) if directories else ():
        if name.kind in there and fold(name.text) not in there[name.kind]:
            yield name, known[name.kind]


def _accounts(directories: Mapping[str, Directory]) -> str:
    return f" in account {next(iter(directories))}" if len(directories) == 1 else f" in {' and '.join(directories)}"
