"""What the rules look at: the facts of one rating and its ticket, as plain values.

Facts of a ticket are None where they are not known; those of a rating are always known, and None means there is none.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from functools import cached_property, lru_cache
from typing import Any

from bridge.model import REQUEST, Category, Directory, Rating, Ticket

TICKET_FACTS = frozenset(
    {"tags", "channel", "group", "brand", "priority", "customer_tags", "organization_tags", "language", "reopens"}
)
_TIMES = ("rated_at", "now")
TAG_FACTS = ("tags", "customer_tags", "organization_tags")
_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u2060\ufeff"))
_APOSTROPHES = str.maketrans("\u2018\u2019\u02bc\u00b4", "''''")


@dataclass(frozen=True)
class Facts:
    """The facts of one rating. Audits store `as_dict()`, so that `explain` can decide again from it."""

    category: Category
    point: float  # 1 (worst) to 5
    rated_at: datetime
    now: datetime
    account: str
    requested: bool = False  # an agent asked, with the tag sr_request: there is no rating of a customer
    comment: str | None = None
    comment_present: bool = False
    reason: str | None = None
    bad_rated_at: tuple[datetime, ...] = ()  # this customer's bad ratings on any account, with the present one
    tags: tuple[str, ...] | None = None
    channel: str | None = None
    group: str | None = None
    brand: str | None = None
    priority: str | None = None
    customer_tags: tuple[str, ...] | None = None
    organization_tags: tuple[str, ...] | None = None
    language: str | None = None
    reopens: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the facts as JSON values, without the customer's words."""
        found = {name: getattr(self, name) for name in _STORED}
        found |= {name: found[name].isoformat() for name in _TIMES}
        found |= {name: list(found[name]) for name in TAG_FACTS if found[name] is not None}
        return found | {
            "category": str(self.category),
            "bad_rated_at": [moment.isoformat() for moment in self.bad_rated_at],
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any], comment: str | None = None) -> Facts:
        """Read what `as_dict` wrote; names that this version does not know are left out."""
        names = {item.name for item in fields(cls)}
        found = {name: value for name, value in stored.items() if name in names}
        found |= {name: datetime.fromisoformat(found[name]) for name in _TIMES}
        found |= {name: tuple(found[name]) for name in TAG_FACTS if found.get(name) is not None}
        found["category"] = Category(found["category"])
        found["bad_rated_at"] = tuple(datetime.fromisoformat(moment) for moment in found.get("bad_rated_at", ()))
        return cls(**(found | {"comment": comment}))

    @cached_property
    def folded(self) -> Mapping[str, Any]:
        """The facts in the form in which conditions compare them, each folded when it is first looked at."""
        return _Folded(self)

    def bad_ratings_within(self, window: timedelta) -> int:
        """Count this customer's bad ratings in the time before this rating, with this one and any since."""
        since = self.rated_at - window
        return len([moment for moment in self.bad_rated_at if moment >= since])

    @cached_property
    def folded_comment(self) -> str:
        """The comment in the form in which words are looked for."""
        return fold_words(self.comment or "")


_STORED = tuple(item.name for item in fields(Facts) if item.name != "comment")


def facts_of(
    rating: Rating,
    ticket: Ticket | None,
    directory: Directory | None,
    *,
    account: str,
    bad_rated_at: Iterable[datetime],
    now: datetime,
) -> Facts:
    """Collect the facts of a rating; without a *ticket* those of the ticket are not known."""
    of_rating = {
        "category": rating.category,
        "point": rating.point,
        "rated_at": rating.rated_at,
        "now": now,
        "account": account,
        "requested": rating.rating_id.startswith(REQUEST),
        "comment": rating.comment,
        "comment_present": bool(rating.comment and rating.comment.strip()),
        "reason": rating.reason or None,
        "bad_rated_at": tuple(bad_rated_at),
    }
    return Facts(**of_rating, **(ticket_facts(ticket, directory) if ticket else {}))  # type: ignore[arg-type]


def ticket_facts(ticket: Ticket, directory: Directory | None) -> dict[str, Any]:
    """Return what the rules look at of a ticket, under the names of TICKET_FACTS."""
    requester = ticket.requester
    return {
        "tags": ticket.tags,
        "channel": ticket.channel,
        "group": directory.groups.get(ticket.group_id) if directory and ticket.group_id else None,
        "brand": ticket.brand,
        "priority": ticket.priority,
        "customer_tags": tuple(sorted(requester.tags)) if requester else None,
        "organization_tags": tuple(sorted(requester.organization_tags)) if requester else None,
        "language": requester.language if requester else None,
        "reopens": ticket.reopens,
    }


def fold(text: str) -> str:
    """Return the form in which two texts are equal whatever their letter case, width and spacing."""
    if text.isascii():
        return " ".join(text.lower().split())
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).split())


def fold_words(text: str) -> str:
    """Return `fold(text)` without invisible characters and with one kind of apostrophe."""
    return fold(text if text.isascii() else text.translate(_INVISIBLE).translate(_APOSTROPHES))


def fold_language(tag: str) -> str:
    """Return a language tag in one form: `de_AT` and `de-at` are the same."""
    return fold(tag).replace("_", "-")


@lru_cache(maxsize=8192)
def fold_name(name: str) -> str:
    """Return `fold(name)` of what comes again and again: tags, groups, brands; never of a customer's words."""
    return fold(name)


def fold_fact(subject: str, value: Any) -> Any:
    """Return the form in which conditions compare a fact that is a text, a list of tags or true or false."""
    if value is None:
        return None
    if subject == "requested":
        return "true" if value else "false"
    if subject == "language":
        return fold_language(value)
    return frozenset(map(fold_name, value)) if subject in TAG_FACTS else fold_name(value)


class _Folded(dict[str, Any]):
    def __init__(self, facts: Facts) -> None:
        super().__init__()
        self._facts = facts

    def __missing__(self, name: str) -> Any:
        value = fold_fact(name, getattr(self._facts, name))
        self[name] = value
        return value
