"""When a message to a member of staff may leave, and in which list.

Quiet hours hold back everything. An incident that floods us becomes one list each quarter of an hour. Whoever has a
`digest` in rules.yaml hears of cases of low and normal severity once a day.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

from bridge.hours import Calendar
from bridge.model import Case, Severity

LIST_GROWS_FOR = timedelta(minutes=15)  # of one incident, before it leaves
EARLY = timedelta(days=2)  # a digest older than this has left, whatever the quiet hours
_EPOCH = datetime.min.replace(tzinfo=UTC)


def when_to_tell(case: Case, digest: time | None, calendar: Calendar, now: datetime) -> datetime | None:
    """Return when a message about a case may leave, in UTC, or None if that is now.

    *digest* is the time of day at which its reader wants those of low and normal severity.
    """
    if digest is not None and _can_wait(case):
        return _next_digest(digest, calendar, now)
    leaves_at = calendar.after_quiet(_end_of_list(now) if case.incident else now)
    return leaves_at if leaves_at > now else None


def bundle_of(case: Case, digest: time | None, calendar: Calendar, now: datetime) -> str | None:
    """Return the list in which a message about a case leaves: `digest:<date>` or `incident:<name>`; None is alone."""
    if digest is not None and _can_wait(case):
        return f"digest:{_next_digest(digest, calendar, now).astimezone(calendar.timezone).date()}"
    return f"incident:{case.incident}" if case.incident else None


def _can_wait(case: Case) -> bool:
    return case.severity in (Severity.LOW, Severity.NORMAL)


def _end_of_list(now: datetime) -> datetime:
    """Return the next quarter of an hour: the same for all cases of a flood, whenever each of them came."""
    return now + LIST_GROWS_FOR - (now - _EPOCH) % LIST_GROWS_FOR


def _next_digest(digest: time, calendar: Calendar, now: datetime) -> datetime:
    """Return when the next digest leaves: also one whose time has passed, while quiet hours hold it back."""
    daily = Calendar(calendar.timezone, quiet=(digest, digest))  # quiet all day: each day ends when the digest is due
    due_at = daily.after_quiet(now - EARLY)
    while calendar.after_quiet(due_at) < now:
        due_at = daily.after_quiet(due_at)
    return calendar.after_quiet(due_at)
