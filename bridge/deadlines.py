"""When something is due: the deadlines of a playbook in working time; after the solution, days by the calendar.

A deadline stops when its `until` happens. Deadlines count from the moment at which the case was confirmed; the shortest
is acted on first. Check-ins, the second question and the wait for its answer respect quiet hours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bridge.hours import Calendar
from bridge.model import Case, SurveyWay
from bridge.rules import Deadline, Playbook, Survey

WITHOUT_DEADLINES = timedelta(hours=8)  # of working time, when all deadlines of a playbook are behind us
ANSWER_WITHIN = timedelta(days=7)  # how long a solved case waits for the customer's word, when no survey says so
ANSWERABLE_FOR = timedelta(hours=48)  # with less before the ticket closes, the helpdesk's own survey makes no sense
RUNS_LATE = timedelta(hours=2)  # how long after its time a step may be acted on, with cron and a helpdesk that is slow

CHECK_IN, ASK, REMIND = "check in", "ask the customer again", "remind the customer"
ANSWER, STILL_OPEN = "the customer's word", "solved"
SILENCE, PROMISE = "a word to the customer", "the promise kept"


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


def next_step(
    case: Case, playbook: Playbook, calendar: Calendar, now: datetime, closes_after: timedelta | None = None
) -> Step:
    """Return what is due next of an open, confirmed case; *closes_after* is when the helpdesk closes solved tickets."""
    if case.solved_at:
        steps = _after_solution(case, playbook, calendar, closes_after)
    else:
        steps = _before_solution(case, playbook, calendar)
    waiting = Step(calendar.add(now, WITHOUT_DEADLINES), STILL_OPEN)
    return min(steps, key=lambda step: step.due_at, default=waiting)


def done(case: Case, playbook: Playbook, step: Step) -> int:
    """Return `deadlines_done` once *step* has been acted on."""
    if step.deadline is None:
        return case.deadlines_done
    return ladder(playbook).index(step.deadline, case.deadlines_done) + 1


def _before_solution(case: Case, playbook: Playbook, calendar: Calendar) -> Iterator[Step]:
    for deadline in ladder(playbook)[case.deadlines_done :]:
        if not is_met(case, deadline.until):
            yield Step(calendar.add(case.begun_at, deadline.within), deadline.until, deadline)
            break
    if playbook.remind_if_silent and case.replied_at and (case.nudged_at or case.flagged_at) < case.replied_at:
        yield Step(calendar.add(case.replied_at, playbook.remind_if_silent), SILENCE)
    yield from _promises(case)


def _after_solution(
    case: Case, playbook: Playbook, calendar: Calendar, closes_after: timedelta | None
) -> Iterator[Step]:
    solved_at, survey = case.solved_at or case.flagged_at, playbook.survey
    if playbook.check_in and case.checked_in_at is None:
        yield Step(calendar.after_quiet(solved_at + playbook.check_in.after), CHECK_IN)
    if survey and case.asked_at is None and case.not_asked is None:
        yield Step(ask_at(solved_at, survey, calendar, closes_after), ASK)
    if survey and survey.remind_after and case.asked_at and case.reminded_at is None and not _was_adopted(case):
        yield Step(calendar.after_quiet(max(case.asked_at, solved_at) + survey.remind_after), REMIND)
    yield from _promises(case)
    yield Step(calendar.after_quiet(answer_by(case, survey)), ANSWER)


def _promises(case: Case) -> Iterator[Step]:
    """Yield a promise until it is kept, or its breach was told."""
    if case.promise and case.promised_by and case.promise_broken_at is None:
        yield Step(case.promised_by, PROMISE)


def _was_adopted(case: Case) -> bool:
    return case.asked_by is SurveyWay.ADOPTED


def ask_at(solved_at: datetime, survey: Survey, calendar: Calendar, closes_after: timedelta | None) -> datetime:
    """Return when the customer is asked again, planned backwards from the moment at which the ticket closes.

    The question comes earlier, after no less than half the wait, if that leaves the customer time to answer.
    """
    wanted = calendar.after_quiet(solved_at + survey.after)
    if closes_after is None or survey.by == "link":
        return wanted
    needed_by = solved_at + closes_after - RUNS_LATE - min(ANSWERABLE_FOR, survey.answer_within)
    latest = calendar.before_quiet(needed_by)
    if latest < needed_by:  # where the quiet hours begin, a run that is late would ask no more
        latest -= RUNS_LATE
    return latest if solved_at + survey.after / 2 <= latest < wanted else wanted


def answer_by(case: Case, survey: Survey | None) -> datetime:
    """Return until when the customer's answer is waited for."""
    solved_at = case.solved_at or case.flagged_at
    if survey and case.asked_at:
        return max(case.asked_at, solved_at) + survey.answer_within
    return solved_at + (survey.after + survey.answer_within if survey else ANSWER_WITHIN)
