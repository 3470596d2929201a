"""What somebody would write in an afternoon: requests, a loop over pages, sqlite3. The yardstick for the import.

It makes the calls that the bridge makes, stores the same columns under the same unique key with the same durability,
and does nothing else: no checks, no retries, no resuming, no rate limits, no digest of the customer's words.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests

from tests.bench.stand_in import SECRETS

SINCE = timedelta(days=90 + 28)
COLUMNS = (
    "account", "rating_id", "version", "ticket_id", "category", "value", "scale_max", "rated_at", "updated_at",
    "comment", "reason", "requester_id", "assignee_id", "group_id", "source", "seen_at", "outcome", "why",
)  # fmt: skip
INSERT = f"INSERT INTO rating ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"


def read_zendesk(url: str, path: Path) -> int:
    """Store every legacy rating; returns how many."""
    session = requests.Session()
    secret = {"client_id": SECRETS["BRIDGE_ACME_CLIENT_ID"], "client_secret": SECRETS["BRIDGE_ACME_CLIENT_SECRET"]}
    grant = {"grant_type": "client_credentials", "scope": "read write", **secret}
    session.headers["Authorization"] = (
        f"Bearer {session.post(f'{url}/oauth/tokens', json=grant).json()['access_token']}"
    )
    params: dict[str, Any] = {"score": "received", "start_time": int(_since().timestamp()), "page[size]": 100}
    database, count = _open(path), 0
    while True:
        page = session.get(f"{url}/api/v2/satisfaction_ratings", params=params).json()
        _store(database, map(_of_zendesk, page["satisfaction_ratings"]), page["meta"]["after_cursor"])
        count += len(page["satisfaction_ratings"])
        if not page["meta"]["has_more"]:
            return count
        params["page[after]"] = page["meta"]["after_cursor"]


def read_freshdesk(url: str, path: Path) -> int:
    """Store every rating; returns how many."""
    session = requests.Session()
    session.auth = (SECRETS["BRIDGE_SHOP_API_KEY"], "x")
    params: dict[str, Any] = {"created_since": _since().strftime("%Y-%m-%dT%H:%M:%SZ"), "page": 1, "per_page": 100}
    database, count = _open(path), 0
    while True:
        answer = session.get(f"{url}/api/v2/surveys/satisfaction_ratings", params=params)
        rows = answer.json()
        _store(database, map(_of_freshdesk, rows), str(params["page"]))
        count += len(rows)
        if "next" not in answer.links:
            return count
        params["page"] += 1


def _of_zendesk(row: dict[str, Any]) -> tuple[Any, ...]:
    at = row["updated_at"]
    return (
        "acme", str(row["id"]), at, str(row["ticket_id"]), row["score"], 1 if row["score"] == "bad" else 2, 2, at, at,
        row["comment"], row["reason"], str(row["requester_id"]), str(row["assignee_id"]), str(row["group_id"]),
        "import", _now(), "memory", "imported",
    )  # fmt: skip


def _of_freshdesk(row: dict[str, Any]) -> tuple[Any, ...]:
    code = row["ratings"]["default_question"]
    category = "bad" if code < 0 else "neutral" if code == 100 else "good"
    return (
        "shop", str(row["id"]), row["updated_at"], str(row["ticket_id"]), category, code, 7, row["created_at"],
        row["updated_at"], row["feedback"], None, str(row["user_id"]), str(row["agent_id"]), str(row["group_id"]),
        "import", _now(), "memory", "imported",
    )  # fmt: skip


def _open(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute(
        f"CREATE TABLE rating (row_id INTEGER PRIMARY KEY, {', '.join(COLUMNS)}, UNIQUE (account, rating_id, version))"
    )
    database.execute("CREATE TABLE cursor (name PRIMARY KEY, value)")
    return database


def _store(database: sqlite3.Connection, rows: Iterable[tuple[Any, ...]], cursor: str | None) -> None:
    with database:
        database.executemany(INSERT, rows)
        database.execute("INSERT OR REPLACE INTO cursor VALUES ('ratings', ?)", (cursor,))


def _since() -> datetime:
    return datetime.now(UTC) - SINCE


def _now() -> str:
    return datetime.now(UTC).isoformat()
