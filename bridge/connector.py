"""The contract that every helpdesk keeps.

A helpdesk is one module `connectors/NAME.py` with a frozen `Config` dataclass and `connect(config, tools)`. The fields
of `Config` whose type is `Secret | None` are the secrets that it reads from the environment; there is no registration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from bridge.model import Activity, Category, Directory, Effect, News, Rating, RatingPage, Ticket, Watched, Write

if TYPE_CHECKING:
    from bridge.http import BridgeSession


WEBHOOK_SECRET = "webhook_secret"  # noqa: S105 - under this name it stands in the environment, and is remembered


class Secret:
    """A secret that prints as ***; `reveal()` is the only way to its text."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the secret itself, for the one place that sends it."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"


def each_of(secret: Secret | None) -> list[str]:
    """Return the secrets that one variable holds, between commas or on lines of their own."""
    return secret.reveal().replace(",", " ").split() if secret else []


class Memory(Protocol):
    """What one account's connector may remember between runs."""

    def recall(self, name: str, max_age: timedelta | None = None) -> Any:
        """Return the JSON value remembered under *name*, or None if there is none or it is older than *max_age*."""

    def remember(self, name: str, value: Any) -> None:
        """Keep a JSON value under *name*."""

    def recall_secret(self, name: str) -> str | None:
        """Return a secret kept with mode 0600, or None."""

    def remember_secret(self, name: str, text: str) -> None:
        """Keep a secret in a file with mode 0600."""

    def forget_secret(self, name: str) -> None:
        """Keep a secret no longer, if there is one."""


@dataclass(frozen=True)
class Needs:
    """Which facts the rules ask for beyond the ticket itself, so that nobody pays for the others."""

    customer_tags: frozenset[str] = frozenset()  # the tags that any rule names
    language: bool = False
    fields: frozenset[str] = frozenset()  # ticket fields of the account's own: a Zendesk id, a Freshdesk name (cf_...)
    requests: bool = False  # whether agents may ask for a recovery with the tag sr_request
    surveys: bool = False  # whether customers are asked again at all
    rerating: bool = False  # whether a second native rating may overwrite the first
    survey_mail: bool = False  # whether a rule of the helpdesk mails our texts to requesters
    categories: frozenset[Category] = frozenset({Category.BAD})  # ratings that any rule could match


@dataclass(frozen=True)
class Tools:
    """What a connector works with; clocks and sleeping come from outside so that time can be simulated."""

    http: BridgeSession
    memory: Memory
    now: Callable[[], datetime]
    sleep: Callable[[float], None]
    needs: Needs = Needs()
    directory_age: timedelta = timedelta(hours=1)
    hooks_at: str | None = None  # where webhooks of this account come in; None: it is polled only


class Level(StrEnum):
    """How bad a finding of `doctor` is."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """One thing that `doctor` looked at: what is so, and what to do about it."""

    level: Level
    what: str
    todo: str = ""


@dataclass(frozen=True)
class SetupStep:
    """One object that the rules need in the helpdesk.

    *state*: present, created, changed, removed; in a dry run missing, differs, absent; or by hand, with how.
    *secret* is for hands: nobody prints it unless asked for it.
    """

    what: str
    state: str
    secret: Secret | None = None


@dataclass(frozen=True)
class Asking:
    """How an account can ask a customer again. *own* and *mail* say why something is not possible; "" if it is.

    *own*: the helpdesk's own survey. *mail*: a rule of the helpdesk mails a text of ours to the requester alone.
    """

    own: str = ""
    mail: str = ""
    is_link: bool = False  # its own survey is a link from `survey_link`, which we bring; else a rule sends the survey
    overwrites: bool = False  # a second rating overwrites the first
    closes_after: timedelta | None = None  # how long solved tickets can still be rated; None: for weeks
    asks_on_solve: bool = False  # the helpdesk sends a survey by itself whenever a ticket is solved, as far as it says


@dataclass(frozen=True)
class Marks:
    """What writes of this program left on one ticket, whosever installation it was, by marker (`sr-...`).

    Only what the helpdesk shows is here: without a history *arrived* may be empty, and *asked* and *untagged* are.
    """

    notes: Mapping[str, Sequence[str]] = field(default_factory=dict)  # marker -> who wrote each note that bears it
    arrived: frozenset[str] = frozenset()  # of writes that reached the ticket whole, with their note if they had one
    asked: Mapping[str, int] = field(default_factory=dict)  # marker -> how often its question stood on the ticket
    untagged: Mapping[str, str | None] = field(default_factory=dict)  # tag of ours -> who took it off; None: a rule
    merged_into: str | None = None  # where only the ticket's notes say so


class Connector(Protocol):
    """One account of one helpdesk. Every verb may raise the HelpdeskError family."""

    account: str
    conditional_writes: bool  # True if a stale write is refused, so that an unknown one may be repeated at once

    def new_ratings(self, cursor: str | None) -> Iterator[RatingPage]:
        """Read what may have been rated since *cursor*, in as few calls as the account allows.

        None starts at the oldest rating that can still change. Ratings seen before come again; the caller
        tells them apart by `rating_id` and `version`. The cursor of the last page is where to go on next time.
        """

    def past_ratings(self, since: datetime, cursor: str | None = None) -> Iterator[RatingPage]:
        """Read every rating of every category given or changed at or after *since*; *cursor* resumes a walk."""

    def ratings_of(self, ticket_id: str, rating_id: str | None = None) -> Sequence[Rating]:
        """Read the ratings of one ticket, or that one rating, as they are now."""

    def tickets(self, ticket_ids: Sequence[str]) -> Mapping[str, Ticket]:
        """Read tickets with their requesters; a deleted one comes with that status. Every id asked for is answered."""

    def addresses(self, requester_ids: Sequence[str]) -> Mapping[str, str]:
        """Return the e-mail addresses of requesters who have one; the caller hashes them and keeps none."""

    def activity(self, watched: Sequence[Watched]) -> Iterator[Activity]:
        """Yield the watched tickets that changed since they were last read, in as few calls as possible.

        Costs at most one call per 50 watched tickets and one or two for each that changed. One that is gone comes
        with that status where the helpdesk shows it without a call of its own. A deed may come twice, never not at all.
        """

    def requests(self) -> Sequence[str]:
        """Return the ids of open or solved tickets that carry the tag `sr_request`, in as few calls as possible.

        Asked only if `Needs.requests`. A search index may lag: a ticket may be missing today, and be there still
        when its tag is long gone.
        """

    def asking(self, *, fresh: bool = False) -> Asking:
        """Tell how customers can be asked again, from memory for a day unless *fresh*.

        What a rule that `setup` installs must do counts as possible only if that rule is there and active.
        """

    def language(self, ticket: Ticket) -> str | None:
        """Return the language of a ticket's requester, as far as the helpdesk has it; may cost a call."""

    def asked_since(self, ticket_id: str, since: datetime) -> datetime | None:
        """Return when the helpdesk offered its own survey on this ticket at or after *since*.

        None if it did not, or does not say. Offers of ours, made by `survey_link`, count like others.
        """

    def survey_link(self, ticket: Ticket, language: str | None = None) -> str:
        """Offer the helpdesk's own survey to the requester and return its link: a secret, whoever has it may answer.

        Raises Refused, with the reason for people, where the helpdesk will not.
        """

    def past_holder(self, ticket_id: str, at: datetime) -> str | None:
        """Return who held, or last answered, the ticket at that moment, from its history."""

    def directory(self, *, fresh: bool = False) -> Directory:
        """Return the people and groups of the account, from memory unless too old or *fresh* is asked for."""

    def write(self, writes: Sequence[Write]) -> Iterator[News]:
        """Carry out writes, many at once where the helpdesk can.

        Yields `Sending` before each request leaves (the caller stores the intent, then asks for the next item),
        `Accepted` where a job took the batch, and one `Written` for each write. Raises only before a request is
        sent; a request without a usable answer is `Written(UNKNOWN)`.

        A write with a *question* also hands it to the rule that mails it to the requester and clears it; the text
        stays on no ticket and in no comment. `Change.solve_again` reopens a solved ticket and solves it again, the
        second only if nobody touched it since the first; UNKNOWN or CONFLICT leave it to be looked at again.
        """

    def follow(self, job: str, writes: Sequence[Write]) -> Iterator[News]:
        """Read the result of a job that took a batch earlier; UNKNOWN for what it does not tell."""

    def marks(self, ticket: Ticket) -> Marks:
        """Look for what our writes left on a ticket, in one call for each 100 things that happened to it."""

    def continuations(self, effect: Effect, ticket: Ticket) -> Sequence[str]:
        """Return the ids of the new tickets that this effect made to continue *ticket*, as far as they can be found."""

    def link(self, ticket_id: str) -> str:
        """Return the address of the ticket for a member of staff."""

    def doctor(self) -> Iterator[Finding]:
        """Look at credentials, permissions, surveys, automations and whatever could refuse or repeat our writes."""

    def setup(self, *, dry_run: bool = False, remove: bool = False) -> Iterator[SetupStep]:
        """Create (or remove) in the helpdesk what the rules need; doing it again changes nothing."""
