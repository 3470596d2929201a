"""Freshdesk stand-in: the query language of /search/tickets and /search/contacts.

`"tag:'vip' OR (status:2 AND updated_at:>'2026-11-20')"`: a field, an operator (`:`, `:>`, `:<`, both inclusive), a
value or `null`; AND, OR and parentheses. At most 512 characters, 30 results per page, 10 pages.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Protocol

from connectors.sandbox.freshdesk_http import invalid, z
from connectors.sandbox.freshdesk_records import Ticket

MAX_QUERY = 512
PER_PAGE = 30
MAX_PAGE = 10


class Facts(Protocol):
    """What is known about one record, by the names of the query language."""

    def get(self, name: str, /) -> Any:
        """Return a value, or None."""


Test = Callable[[Facts], bool]


class TicketFacts:
    """What is known about a ticket now; a dictionary for each would cost more than the search."""

    def __init__(self, ticket: Ticket) -> None:
        self.ticket = ticket

    def get(self, name: str, /) -> Any:
        """Return a value, or None."""
        if name.startswith("cf_"):
            return self.ticket.custom_fields.get(name)
        return getattr(self.ticket, _NAMES.get(name, name), None)


def facts_of(ticket: Ticket) -> dict[str, Any]:
    """Return what is known about a ticket now, to be kept."""
    return {**ticket.custom_fields, **vars(ticket), "tag": ticket.tags, "agent_id": ticket.responder_id}


_NAMES = {"tag": "tags", "agent_id": "responder_id"}  # what a ticket calls what the language names
_TOKEN = re.compile(r"\s*(\(|\)|AND\b|OR\b|(?P<name>\w+)\s*(?P<sign>:>|:<|:)\s*(?P<value>'(?:[^'\\]|\\.)*'|[\w.:-]+))")


def parse(text: str, fields: frozenset[str]) -> Test:
    """Turn a query, with its quotes, into a test of records. Raises a 400."""
    if len(text) > MAX_QUERY:
        raise invalid("query", "It should be less than 512 characters")
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        raise invalid("query", "Query should be enclosed in double quotes")
    tokens = list(_tokens(text[1:-1], fields))
    test, rest = _either(tokens)
    if rest:
        raise invalid("query", "Query is invalid")
    return test


def _tokens(text: str, fields: frozenset[str]) -> Iterator[str | Test]:
    at = 0
    while text[at:].strip():
        found = _TOKEN.match(text, at)
        if not found:
            raise invalid("query", "Query is invalid")
        at = found.end()
        name = found["name"]
        if name is None:
            yield found[1]
        elif name not in fields and not name.startswith("cf_"):
            raise invalid(name, "It is not a searchable field", "invalid_field")
        else:
            yield _test(name, found["sign"], found["value"])


def _test(name: str, sign: str, value: str) -> Test:
    wish = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith("'") else value

    is_null = value == "null"

    def holds(facts: Facts) -> bool:
        there = facts.get(name)
        if there is None or there == [] or is_null:
            return is_null and there in (None, [])
        found = [_text(one) for one in (there if isinstance(there, list) else [there])]
        if sign == ":":
            return any(text == wish or (_is_day(wish) and text[:10] == wish) for text in found)
        return any(_order(text, wish, sign) for text in found)

    return holds


def _order(text: str, wish: str, sign: str) -> bool:
    if text.lstrip("-").isdigit() and wish.lstrip("-").isdigit():
        return int(text) >= int(wish) if sign == ":>" else int(text) <= int(wish)
    return text[: len(wish)] >= wish if sign == ":>" else text[: len(wish)] <= wish


def _text(value: Any) -> str:
    return z(value) or "" if isinstance(value, datetime) else str(value)


def _is_day(text: str) -> bool:
    return re.fullmatch(r"\d{4}-\d\d-\d\d", text) is not None


Tokens = list[str | Test]


def _either(tokens: Tokens) -> tuple[Test, Tokens]:
    left, tokens = _both(tokens)
    while tokens and tokens[0] == "OR":
        right, tokens = _both(tokens[1:])
        left = _or(left, right)
    return left, tokens


def _both(tokens: Tokens) -> tuple[Test, Tokens]:
    left, tokens = _one(tokens)
    while tokens and tokens[0] == "AND":
        right, tokens = _one(tokens[1:])
        left = _and(left, right)
    return left, tokens


def _one(tokens: Tokens) -> tuple[Test, Tokens]:
    if tokens and callable(tokens[0]):
        return tokens[0], tokens[1:]
    if tokens and tokens[0] == "(":
        inner, rest = _either(tokens[1:])
        if rest and rest[0] == ")":
            return inner, rest[1:]
    raise invalid("query", "Query is invalid")


def _or(left: Test, right: Test) -> Test:
    return lambda facts: left(facts) or right(facts)


def _and(left: Test, right: Test) -> Test:
    return lambda facts: left(facts) and right(facts)
