"""A file of logins for tests: ana is an operator, vic a viewer, pam comes by a proxy; their passwords cost nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bridge.logins import Cost, Entry, Hash, Logins, Role

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
KEY = "5e" * 32
PASSWORDS = {"ana": "a quiet harbour", "vic": "seven blue kites"}
CHEAP = Cost(n=2, r=1, p=1)


def entry(name: str, role: Role, password: str | None = None) -> Entry:
    """Return a person whose password is checked in no time."""
    return Entry(name, role, Hash.of(password, CHEAP) if password else None)


def logins_in(folder: Path) -> Logins:
    """Write the file and return it."""
    logins = Logins(folder / "logins")
    logins.put(entry("ana", Role.OPERATOR, PASSWORDS["ana"]))
    logins.put(entry("vic", Role.VIEWER, PASSWORDS["vic"]))
    logins.put(entry("pam", Role.VIEWER))
    return logins


def sign_in(browser: Any, name: str = "ana", path: str = "/login") -> Any:
    """Send the form of the login page with a client that has the words of httpx; returns the answer."""
    return browser.post(path, data={"name": name, "password": PASSWORDS[name]}, follow_redirects=False)
