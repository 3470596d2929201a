"""Everything that Recovery Bridge raises, and the exit code each error ends the program with.

    BridgeError
    ├── RulesError            65  rules.yaml cannot be used; carries every problem found
    ├── BadRecord             65  one record of a helpdesk cannot be read
    ├── SettingsError         78  environment, url or database schema does not fit
    ├── StoreError            74  disk full, read-only, locked or damaged database
    ├── AlreadyRunning        75  another run holds the lock
    ├── NeedsHuman             3  done, but something waits for a person
    └── HelpdeskError         69  a helpdesk did not do what was asked
        ├── Unreachable       69  no usable answer: timeout, reset, 5xx, not JSON
        │   └── WrongHost     78  a redirect: not the helpdesk's own address
        ├── Throttled         69  told to wait, or our share of the limit is used up
        ├── CredentialsRefused 77 401 or 403
        └── Refused           69  the helpdesk understood and said no: other 4xx
            ├── NotFound          404
            └── Conflict          409: the ticket changed since it was read

Exit codes follow sysexits, so that cron and systemd can tell them apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol


class BridgeError(Exception):
    """Anything that Recovery Bridge itself raises; the message says where, what and what to do."""

    exit_code = 70


class Problem(Protocol):
    """One problem of rules.yaml; `str()` gives the line with its place and caret."""

    def __str__(self) -> str: ...


class RulesError(BridgeError):
    """rules.yaml cannot be used."""

    exit_code = 65

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class BadRecord(BridgeError):
    """A record of a helpdesk lacks what it must have, or has it in a form we cannot read."""

    exit_code = 65


class SettingsError(BridgeError):
    """The environment, an account's url or the database schema does not fit this program."""

    exit_code = 78


class StoreError(BridgeError):
    """The database cannot be read or written; nothing was half-written."""

    exit_code = 74


class AlreadyRunning(BridgeError):
    """Another run holds the lock of this state directory."""

    exit_code = 75


class NeedsHuman(BridgeError):
    """The work is done as far as it can be; the rest waits for a person."""

    exit_code = 3


class HelpdeskError(BridgeError):
    """A helpdesk did not do what was asked."""

    exit_code = 69


class Unreachable(HelpdeskError):
    """No usable answer: timeout, reset, 5xx, a redirect, or something that is not JSON.

    After a write this means *unknown*: it may or may not have happened.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after  # seconds, when the helpdesk said so


class WrongHost(Unreachable):
    """A redirect: the url of the account is not that of its helpdesk."""

    exit_code = 78


class Throttled(HelpdeskError):
    """No further call to this account before *until*; the request was not carried out."""

    def __init__(self, message: str, *, until: datetime) -> None:
        super().__init__(message)
        self.until = until


class CredentialsRefused(HelpdeskError):
    """401 or 403: wrong or expired credentials, or a permission that this user does not have."""

    exit_code = 77

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class Refused(HelpdeskError):
    """The helpdesk understood the request and said no.

    *details* are its own words, one `field: text` each, so that connectors can tell the cases apart.
    """

    def __init__(self, message: str, *, status: int, details: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.details = tuple(details)

    def says(self, *words: str) -> bool:
        """True if one detail contains every word, in any letter case."""
        return any(all(word.lower() in detail.lower() for word in words) for detail in self.details)


class NotFound(Refused):
    """404: it does not exist, or not any more, or not for this user."""


class Conflict(Refused):
    """409: the ticket changed after it was read."""
