"""What the tests of the Freshdesk connector share: one account, its clock and effects to write."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from memory import DictMemory

from bridge.connector import Needs, Secret, Tools
from bridge.http import BridgeSession, Budget
from bridge.model import Change, Effect, EffectKind, News, Question, RatingPage, Ticket, Write, Written
from connectors.freshdesk import Config, Freshdesk, connect

URL = "https://shop.freshdesk.com"
API = f"{URL}/api/v2"


_OPENED: list[BridgeSession] = []


@dataclass
class Account:
    """One connected account; `reconnected` is what the next process would see."""

    url: str = URL
    key: str = "sandbox-key"
    memory: DictMemory = field(default_factory=DictMemory)
    needs: Needs = field(default_factory=Needs)
    out_of_office: tuple[str, ...] = ()
    hooks_at: str | None = None
    hook_secret: str | None = None

    def __post_init__(self) -> None:
        budget = Budget("shop", self.memory.now, share=1.0)
        self.http = BridgeSession("shop", self.url, budget, sleep=lambda _: None)
        _OPENED.append(self.http)
        tools = Tools(self.http, self.memory, self.memory.now, lambda _: None, self.needs, hooks_at=self.hooks_at)
        given = Secret(self.hook_secret) if self.hook_secret else None
        config = Config("shop", self.url, Secret(self.key), given, self.out_of_office)
        self.freshdesk: Freshdesk = connect(config, tools)

    def reconnected(self, **changes: Any) -> Account:
        return Account(**{"url": self.url, "key": self.key, "memory": self.memory, "needs": self.needs} | changes)

    def advance(self, **step: float) -> None:
        self.memory.advance(timedelta(**step))


def close_all() -> None:
    """End the connections of every account that a test has connected."""
    while _OPENED:
        _OPENED.pop().close()


def write_of(
    ticket: Ticket,
    change: Change,
    *,
    repeat: bool = False,
    kind: EffectKind = EffectKind.UPDATE,
    question: Question | None = None,
    effect_id: str = "e1",
) -> Write:
    """An effect with the id `e1` on its way to the ticket."""
    holder = ticket.assignee_id
    effect = Effect(effect_id, "c1", "shop", ticket.ticket_id, kind, "flag", change=change, seen_assignee_id=holder)
    return Write(effect, ticket, change, repeat, question)


def written(news: Iterable[News]) -> Written:
    """The one result among the news of one write."""
    [result] = [item for item in news if isinstance(item, Written)]
    return result


def ratings_in(pages: Iterable[RatingPage]) -> list[str]:
    """The ids of all ratings, in the order of the pages."""
    return [rating.rating_id for page in pages for rating in page.ratings]
