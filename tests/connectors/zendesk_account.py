"""A connected Zendesk account for tests, with a clock and a memory of its own, and the JSON of what it holds."""

from __future__ import annotations

from typing import Any

from memory import DictMemory

from bridge.connector import Needs, Secret, Tools
from bridge.http import BridgeSession, Budget
from bridge.model import Change, Effect, EffectKind, Question, SurveyWay, Write
from connectors.zendesk import Config, Zendesk, connect
from connectors.zendesk.tickets import ticket_from

URL = "https://acme.zendesk.com"
API = URL + "/api/v2"


def connected(
    memory: DictMemory,
    *,
    url: str = URL,
    needs: Needs | None = None,
    now: Any = None,
    hooks_at: str | None = None,
    **secrets: str,
) -> Zendesk:
    """Return the account `acme`; signs with an API token unless other secrets are given."""
    now = now or memory.now
    budget = Budget("acme", now, share=1.0)
    budget.limit = 100_000
    pauses: list[float] = []
    http = BridgeSession("acme", url, budget, sleep=pauses.append)
    tools = Tools(http, memory, now, pauses.append, needs or Needs(), hooks_at=hooks_at)
    given = secrets or {"email": "bridge@acme.example", "api_token": "TOKEN-TEXT"}
    zendesk = connect(Config("acme", url, **{name: Secret(text) for name, text in given.items()}), tools)
    zendesk.http, zendesk.pauses = http, pauses  # type: ignore[attr-defined]
    return zendesk


def ticket_json(ticket_id: int = 7, **changes: Any) -> dict[str, Any]:
    """Return a solved ticket of requester 70, held by agent 80 of group 60."""
    row = {
        "id": ticket_id, "status": "solved", "subject": "Late parcel", "tags": ["parcel"], "priority": "normal",
        "assignee_id": 80, "group_id": 60, "requester_id": 70, "organization_id": None, "brand_id": 90,
        "via": {"channel": "email"}, "satisfaction_rating": {"id": 31, "score": "bad"},
        "created_at": "2026-11-10T09:00:00Z", "updated_at": "2026-11-21T11:00:00Z",
    }  # fmt: skip
    return row | changes


def question(text: str = "Hello! https://x.example/q/SECRET", *, adds_survey: bool = False) -> Question:
    """Return a question whose link is a secret."""
    return Question(text, adds_survey)


def asks(effect_id: str = "e1", *, kind: EffectKind = EffectKind.SURVEY, repeat: bool = False, again: bool = False,
         said: Question | None = None, requester: Any = None, **ticket: Any) -> Write:  # fmt: skip
    """Return a write that asks the requester of the ticket of `ticket_json(**ticket)` again."""
    read = ticket_from(ticket_json(**ticket), requester, {}, {}, DictMemory().moment)
    change = Change(add_tags=("sr_surveyed",), solve_again=again)
    effect = Effect(effect_id, "case1", "acme", read.ticket_id, kind, "ask:1", change=change, way=SurveyWay.LINK,
                    seen_assignee_id="80")  # fmt: skip
    return Write(effect, read, change, repeat, said)


def write(effect_id: str = "e1", *, kind: EffectKind = EffectKind.UPDATE, repeat: bool = False,
          change: Change | None = None, requester: Any = None, **ticket: Any) -> Write:  # fmt: skip
    """Return a write of *change* to the ticket of `ticket_json(**ticket)`."""
    row = ticket_json(**ticket)
    read = ticket_from(row, requester, {}, {}, DictMemory().moment)
    wanted = change or Change(add_tags=("csat-recovery",), note="Please call back.")
    effect = Effect(effect_id, "case1", "acme", read.ticket_id, kind, "flag", change=wanted)
    return Write(effect, read, wanted, repeat)
