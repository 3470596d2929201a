"""What the last runs and `doctor` remembered of an account, for `check`: read from the file of SQLite as it stands.

Without the store, which would migrate it, create it where there is none and take a quarter of a second to import. On
PostgreSQL nothing is read: `check` never needs a network.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bridge import settings
from bridge.model import Agent, Directory

MOST_FACTS = 2000  # of the newest decisions that are looked through for tags and the like
_SEEN = ("tags", "customer_tags", "organization_tags", "reason", "brand")


@dataclass(frozen=True)
class Remembered:
    """What is known of one account without asking it."""

    directory: Directory | None = None
    closes_after: timedelta | None = None  # after which its automation closes solved tickets
    seen: Mapping[str, frozenset[str]] = field(default_factory=dict)  # values of facts on tickets that were decided


def remembered(env: settings.Environment, account: str) -> Remembered | None:
    """Return what is remembered of an account; None if there is nothing, or nothing that can be read now."""
    url = settings.database_url(env, settings.state_path(env))
    path = Path(url.removeprefix("sqlite:///"))
    if not url.startswith("sqlite:///") or not path.is_file():
        return None
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1)) as database:
            return _read(database, account)
    except (sqlite3.Error, KeyError, TypeError, ValueError):
        return None  # of another version, or damaged: `run` and `doctor` say so


def _read(database: sqlite3.Connection, account: str) -> Remembered:
    wanted = "SELECT name, value FROM memory WHERE account = ? AND name IN ('directory', 'asking')"
    known = {name: json.loads(value) or {} for name, value in database.execute(wanted, (account,))}
    hours = known.get("asking", {}).get("closes_after")
    return Remembered(
        _directory(known["directory"]) if known.get("directory") else None,
        timedelta(hours=hours) if hours is not None else None,
        _seen(database, account),
    )


def _directory(kept: Mapping[str, Any]) -> Directory:
    agents = {row["agent_id"]: Agent(row["agent_id"], row["name"], row["email"]) for row in kept["agents"]}
    read_at = datetime.fromisoformat(kept["read_at"])
    return Directory(read_at, agents, kept["groups"], kept["brands"])


def _seen(database: sqlite3.Connection, account: str) -> dict[str, frozenset[str]]:
    asked = "SELECT facts FROM audit WHERE account = ? ORDER BY audit_id DESC LIMIT ?"
    seen: dict[str, set[str]] = defaultdict(set)
    for (text,) in database.execute(asked, (account, MOST_FACTS)):
        facts = json.loads(text) or {}
        for subject in _SEEN:
            value = facts.get(subject)
            seen[subject].update(value if isinstance(value, list) else [value] if value else [])
    return {subject: frozenset(values) for subject, values in seen.items()}
