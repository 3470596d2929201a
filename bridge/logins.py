"""Who may sign in to the dashboard: the file `logins`, with one line per person: name, role and password.

A password is kept as scrypt (RFC 7914), with its cost and salt; `-` stands for whom a reverse proxy signs in.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Self

from bridge import settings
from bridge.errors import SettingsError, StoreError

SHORTEST_PASSWORD = 12  # characters
LONGEST_PASSWORD = 1_000
LONGEST_NAME = 100
MOST_MEMORY = 64 * 1024 * 1024  # bytes that one password may take to check
MOST_ROUNDS = 16
BY_PROXY = "-"
FIRST_LINE = "# Who may sign in to the dashboard: name, role, password. Change it with: recovery-bridge login"


class Role(StrEnum):
    """What somebody may do."""

    VIEWER = "viewer"  # look
    OPERATOR = "operator"  # retry, resume, close


# ------------------------------------------------------------------ passwords
@dataclass(frozen=True)
class Cost:
    """What it costs to check a password: 128 * n * r bytes at a time, and time that grows with n * r * p."""

    n: int = 2**14  # with p=5 as dear as OWASP asks for, in 16 MB and a third of a second
    r: int = 8
    p: int = 5


@dataclass(frozen=True)
class Hash:
    """A password as it is kept."""

    cost: Cost
    salt: bytes
    digest: bytes = field(repr=False)

    @classmethod
    def of(cls, password: str, cost: Cost) -> Self:
        """Hash a password with a new salt."""
        salt = secrets.token_bytes(16)
        return cls(cost, salt, _stretched(password, salt, cost))

    @classmethod
    def read(cls, text: str) -> Self:
        """Read what `str` writes. Raises ValueError for anything else, and for what is too dear to be checked."""
        match = re.fullmatch(r"scrypt\$(\d{1,7})\$(\d{1,2})\$(\d{1,2})\$((?:[0-9a-f]{2}){16,32})\$([0-9a-f]{64})", text)
        if not match:
            raise ValueError("is no password as this file keeps them")
        n, r, p = map(int, match.group(1, 2, 3))
        is_power_of_two = n > 1 and n & (n - 1) == 0
        if not is_power_of_two or not r or not 0 < p <= MOST_ROUNDS or 128 * n * r > MOST_MEMORY // 2:
            raise ValueError("has a cost that cannot be used")
        return cls(Cost(n, r, p), *map(bytes.fromhex, match.group(4, 5)))

    def fits(self, password: str) -> bool:
        """Tell whether this is the password; takes as long for one that is not."""
        return hmac.compare_digest(_stretched(password, self.salt, self.cost), self.digest)

    def __str__(self) -> str:
        cost = self.cost
        return f"scrypt${cost.n}${cost.r}${cost.p}${self.salt.hex()}${self.digest.hex()}"


NOBODY = Hash(Cost(), bytes(16), bytes(32))  # tried where there is no password to try


def _stretched(password: str, salt: bytes, cost: Cost) -> bytes:
    """Return the digest of a password; the same letters, however a keyboard composes them, are the same password."""
    plain = unicodedata.normalize("NFKC", password).encode("utf-8", "replace")
    return hashlib.scrypt(plain, salt=salt, n=cost.n, r=cost.r, p=cost.p, maxmem=MOST_MEMORY, dklen=32)


# ------------------------------------------------------------------ people
@dataclass(frozen=True)
class Entry:
    """One person of the file; *password* is None for whom a proxy signs in."""

    name: str
    role: Role
    password: Hash | None = None

    def __str__(self) -> str:
        return f"{self.name} {self.role} {self.password or BY_PROXY}"


def canonical(name: str) -> str:
    """Return a name as it is kept: in small letters. Raises ValueError for one that cannot be used."""
    plain = name.strip().lower()
    if not re.fullmatch(rf"[a-z0-9][a-z0-9._@+-]{{0,{LONGEST_NAME - 1}}}", plain):
        raise ValueError("is no name; use letters a to z, digits, and . _ @ + - between them")
    return plain


def logins_path(env: settings.Environment) -> Path:
    """Return where the file is, or would be: BRIDGE_LOGINS_FILE, or `logins` in the state directory."""
    chosen = env.get("BRIDGE_LOGINS_FILE")
    return Path(chosen) if chosen else settings.state_path(env) / "logins"


class Logins:
    """The file; it is read again when it has changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read: tuple[tuple[int, ...], Mapping[str, Entry]] | None = None

    def entries(self) -> Mapping[str, Entry]:
        """Return everybody by name; nobody if there is no file. Raises SettingsError, StoreError."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return {}
        except OSError as exc:
            raise StoreError(f"{self.path}: cannot be read ({exc.strerror})") from exc
        if found.st_mode & 0o026:
            raise SettingsError(f"{self.path}: others can read or write it; run: chmod 600 {self.path}")
        stamp = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        if self._read is None or self._read[0] != stamp:
            self._read = stamp, parsed(settings.read_private(self.path) or "", str(self.path))
        return self._read[1]

    def let_in(self, name: str, password: str) -> Entry | None:
        """Return whose password this is, None if it is not that of *name*.

        An unknown name takes as long as a known one. Raises SettingsError, StoreError.
        """
        entries = self.entries()
        entry = entries.get(name.strip().lower())
        own = entry.password if entry else None
        fits = (own or next((one.password for one in entries.values() if one.password), NOBODY)).fits(password)
        return entry if own and fits else None

    def put(self, entry: Entry) -> None:
        """Put down a person, in place of their line if there is one. Raises SettingsError, StoreError."""
        self._replace(entry.name, str(entry))

    def remove(self, name: str) -> None:
        """Take a person out. Raises SettingsError, StoreError."""
        self._replace(name, None)

    def _replace(self, name: str, line: str | None) -> None:
        """Change the line of one person; every other line stays as it is, remarks too."""
        self.entries()  # a file that cannot be used is not made worse
        text = settings.read_private(self.path)
        lines = [FIRST_LINE] if text is None else text.splitlines()
        place = next((at for at, one in enumerate(lines) if one.split()[:1] and one.split()[0].lower() == name), None)
        if place is not None:
            lines[place : place + 1] = [line] if line else []
        elif line:
            lines.append(line)
        settings.write_private(self.path, "\n".join(lines) + "\n")


def parsed(text: str, where: str) -> Mapping[str, Entry]:
    """Read the text of the file. Raises SettingsError, with *where* and the line."""
    entries: dict[str, Entry] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            entry = _entry(words)
            if entry.name in entries:
                raise ValueError(f"{entry.name} stands above already; leave one of the lines")
        except ValueError as exc:
            raise SettingsError(f"{where}:{number}: {exc}") from None
        entries[entry.name] = entry
    return entries


def _entry(words: list[str]) -> Entry:
    """Read one line. Raises ValueError; its message holds no password."""
    if len(words) != 3:
        raise ValueError("a line is a name, a role and a password; take this one out, then recovery-bridge login add")
    try:
        name = canonical(words[0])
    except ValueError as exc:
        raise ValueError(f"the first word {exc}") from None
    if words[1] not in tuple(Role):
        raise ValueError(f"{name}: the second word is no role; there are: {', '.join(Role)}")
    if words[2] == BY_PROXY:
        return Entry(name, Role(words[1]))
    try:
        return Entry(name, Role(words[1]), Hash.read(words[2]))
    except ValueError as exc:
        raise ValueError(f"{name}: the third word {exc}; run: recovery-bridge login password {name}") from None


def why_weak(password: str, name: str) -> str | None:
    """Return what is wrong with a new password, None if it can be used."""
    if len(password) < SHORTEST_PASSWORD:
        return f"has {len(password)} characters; use at least {SHORTEST_PASSWORD}"
    if len(password) > LONGEST_PASSWORD:
        return f"has more than {LONGEST_PASSWORD} characters"
    if len(set(password)) < 4 or name in password.lower():
        return "is too easily guessed; use several words, or what a password manager makes"
    return None
