"""When something is due: the deadlines of a playbook in working time; after the solution, days by the calendar.

A deadline stops when its `until` happens. Deadlines count from the moment at which the case was confirmed; the shortest
is acted on first. Check-ins and the wait for the customer's word respect quiet hours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bridge.hours import Calendar
from bridge.model import Case, Stage
from bridge.rules import Deadline, Playbook

WITHOUT_DEADLINES = timedelta(hours=8)  # of working time, when all deadlines of a playbook are behind us
ANSWER_WITHIN = timedelta(days=7)  # how long a solved case waits for the customer's word, when no survey says so
GIVE_UP_AFTER = timedelta(days=30)  # know when to quit

CHECK_IN, ANSWER, STILL_OPEN = "check in", "the customer's word", "solved"


@dataclass(frozen=True)
class Step:
    """What is due next: for people, and the deadline of the playbook where it is one."""

    due_at: datetime
    what: str
    deadline: Deadline | None = None


def ladder(playbook: Playbook) -> Sequence[Deadline]:
    """Return the deadlines of a playbook, the shortest first."""
    return sorted(playbook.deadlines, key=lambda deadline: deadline.within)


def is_met(case: Case, until: str) -> bool:
    """True if what a deadline waits for has happened; a reply is an acknowledgement, a solution is both."""
    reached = {
        "acknowledged": case.acknowledged_at or case.contacted_at or case.solved_at,
        "replied": case.contacted_at,
        "solved": case.solved_at,
    }
    return reached[until] is not None


def next_step(case: Case, playbook: Playbook, calendar: Calendar, now: datetime) -> Step:
    """Return what is due next of an open, confirmed case."""
    if case.stage is Stage.SOLVED:
        return _after_solution(case, playbook, calendar, case.solved_at or now)
    begun = case.confirmed_at or case.flagged_at
    for deadline in ladder(playbook)[case.deadlines_done :]:
        if not is_met(case, deadline.until):
            return Step(calendar.add(begun, deadline.within), deadline.until, deadline)
    return Step(calendar.add(now, WITHOUT_DEADLINES), STILL_OPEN)


def done(case: Case, playbook: Playbook, step: Step) -> int:
    """Return `deadlines_done` once *step* has been acted on."""
    if step.deadline is None:
        return case.deadlines_done
    return ladder(playbook).index(step.deadline, case.deadlines_done) + 1


def _after_solution(case: Case, playbook: Playbook, calendar: Calendar, solved_at: datetime) -> Step:
    if playbook.check_in and case.checked_in_at is None:
        return Step(calendar.after_quiet(solved_at + playbook.check_in.after), CHECK_IN)
    wait = playbook.survey.after + playbook.survey.answer_within if playbook.survey else ANSWER_WITHIN
    return Step(calendar.after_quiet(solved_at + wait), ANSWER)
