"""Who is who in the demo's story, and what people do in it: customers who are let down, agents who care or do not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

BERLIN = ZoneInfo("Europe/Berlin")
MONDAY = datetime(2026, 3, 9, tzinfo=BERLIN)
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
WINTER = MONDAY - 57 * DAY
END = MONDAY + 31 * DAY + timedelta(hours=12)  # a month later

# helpdesk, agent and customer of the bad ratings that were given before there was a bridge
BEFORE = (("acme", "Ana", "Rita Rath"), ("shop", "Cem", "Rita Rath"), ("acme", "Cem", "Otto Ohm"))


@dataclass(frozen=True)
class Customer:
    """A customer with one ticket: its helpdesk, its agent, and what is special about it."""

    account: str
    agent: str
    details: Mapping[str, Any] = field(default_factory=dict)


OUTAGE = {"tags": ["outage-march"], "subject": "I cannot log in"}
CAST: Mapping[str, Customer] = {
    "Mia Maier": Customer("acme", "Ana"),
    "Uwe Ufer": Customer("acme", "Cem"),
    "Tom Tanner": Customer("shop", "Cem"),
    "Vera Voss": Customer("acme", "Cem", {"customer_tags": ["vip"]}),
    "Nils Neu": Customer("acme", "Ana"),
    "Ida Iden": Customer("acme", "Ana"),
    "Ole Olsen": Customer("acme", "Cem"),
    "Pia Pohl": Customer("shop", "Ana"),
    "Rita Rath": Customer("acme", "Ana"),
    "Kim Klein": Customer("acme", "Cem", OUTAGE),
    "Leo Lenz": Customer("acme", "Cem", OUTAGE),
    "Max Moll": Customer("acme", "Cem", OUTAGE),
    "Jan Jung": Customer("shop", "Cem"),
}
CROWD = ("Kim Klein", "Leo Lenz", "Max Moll")


@dataclass(frozen=True)
class Event:
    """Something that a person does at a time of a day; Monday is day 0. What a *deed* is, demo_deeds.py says."""

    day: int
    time: str
    who: str | tuple[str, ...]  # the customer or customers whom it is about
    deed: str
    words: str = ""  # of the customer; or a tag, a cause, a promise
    agent: str = ""
    score: int = 1  # 1 to 5: bad to good

    @property
    def customers(self) -> tuple[str, ...]:
        """Everybody whom it is about; those of a crowd do the same."""
        return (self.who,) if isinstance(self.who, str) else self.who

    @property
    def at(self) -> datetime:
        """When it happens."""
        hour, minute = map(int, self.time.split(":"))
        return MONDAY + self.day * DAY + timedelta(hours=hour, minutes=minute)


STORY = (
    Event(0, "10:30", "Mia Maier", "rates", "I waited five days and it is still broken."),
    Event(0, "10:50", "Mia Maier", "repairs", "cause-slow", agent="Ana"),
    Event(0, "11:30", "Uwe Ufer", "rates_and_closes", "I want a refund."),
    Event(0, "11:40", "Uwe Ufer", "repairs", "cause-policy", agent="Cem"),
    Event(0, "14:00", "Tom Tanner", "rates", "Nobody read what I wrote."),
    Event(0, "16:30", "Tom Tanner", "repairs", "cause-slow", agent="Ben"),
    Event(1, "09:30", "Vera Voss", "rates", "Not what I pay for."),
    Event(1, "09:40", "Vera Voss", "repairs", agent="Cem"),
    Event(1, "10:15", "Ida Iden", "rates", "Too slow."),
    Event(1, "10:16", "Ida Iden", "takes", agent="Ben"),
    Event(1, "10:20", "Ida Iden", "promises", "A call with the carrier's answer", agent="Ben"),
    Event(1, "11:00", "Nils Neu", "rates"),
    Event(1, "11:20", "Nils Neu", "gives_up", "Defect", agent="Ana"),
    Event(1, "15:00", "Ole Olsen", "rates"),
    Event(1, "15:05", "Ole Olsen", "changes_mind", score=5),
    Event(1, "18:00", "Pia Pohl", "leaves", agent="Ana"),
    Event(2, "10:00", "Pia Pohl", "rates", "Wrong size again."),
    Event(2, "10:30", "Pia Pohl", "repairs", "cause-wrong", agent="Cem"),
    Event(2, "13:00", "Rita Rath", "rates", "This is the third time."),
    Event(2, "13:10", "Rita Rath", "repairs", "cause-wrong", agent="Zoe"),
    Event(2, "19:00", "Mia Maier", "answers", "Thank you for coming back to me!", score=5),
    Event(3, "10:00", CROWD, "rates", "I cannot work."),
    Event(3, "10:20", CROWD, "looks", agent="Cem"),
    Event(3, "12:30", "Tom Tanner", "answers", "All good now.", score=5),
    Event(3, "14:30", CROWD, "repairs", "cause-defect", agent="Cem"),
    Event(3, "16:00", "Jan Jung", "requests", agent="Cem"),
    Event(3, "16:40", "Jan Jung", "repairs", "cause-carrier", agent="Cem"),
    Event(4, "09:30", "Vera Voss", "answers", "Still wrong.", score=1),
    Event(4, "09:40", "Vera Voss", "repairs", agent="Zoe"),
    Event(5, "11:00", "Pia Pohl", "answers", "The size is right, the colour is not.", score=3),
    Event(5, "15:30", CROWD, "answers", "It works.", score=5),
    Event(7, "09:30", "Rita Rath", "answers", "Zoe called me. Very kind.", score=4),
    Event(7, "09:35", "Jan Jung", "answers", "The parcel is here.", score=5),
)
