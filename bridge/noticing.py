"""What people did, as milestones of a case: acknowledged, contacted, solved, promised, or taken by somebody else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

from bridge.model import Activity, Case, Deed, DeedKind, Stage, Status, Ticket
from bridge.rules import Rules

ON_TICKET = "see the ticket"  # what stands for a promise that agents put down in a ticket field


def notice(case: Case, activity: Activity, rules: Rules) -> Case:
    """Return the case with what people did since; the stage is the furthest milestone that holds."""
    ticket = activity.ticket
    after = replace(held_by(case, ticket), seen_stamp=ticket.stamp, seen_at=ticket.read_at)
    after = _promised(after, ticket, rules)
    for deed in activity.deeds:
        if deed.at >= case.flagged_at:
            after = _with(after, deed)
    after = _as_solved_as(ticket, after)
    return replace(after, stage=stage_of(after))


def _as_solved_as(ticket: Ticket, case: Case) -> Case:
    """Return the case as solved as its ticket is; a reply to one that stays solved is a solution (note_only)."""
    if not ticket.status.is_solved and case.solved_at:
        return _with(case, Deed(DeedKind.REOPENED, ticket.updated_at))
    if ticket.status.is_solved and case.solved_at is None and case.replied_at:
        return replace(case, solved_at=case.replied_at)
    return case


def stage_of(case: Case) -> Stage:
    """Return the furthest stage that the milestones of an open, confirmed case show."""
    if case.solved_at:
        return Stage.SURVEYED if case.asked_at else Stage.SOLVED
    if case.contacted_at:
        return Stage.CONTACTED
    return Stage.ACKNOWLEDGED if case.acknowledged_at else Stage.ASSIGNED


def held_by(case: Case, ticket: Ticket) -> Case:
    """Return the case with whom a person gave its ticket to: it stays with them."""
    if ticket.assignee_id in (None, case.assignee_id) or ticket.status is Status.CLOSED:
        return case
    return replace(case, assignee_id=ticket.assignee_id, group_id=ticket.group_id, chosen_by_human=True)


def _promised(case: Case, ticket: Ticket, rules: Rules) -> Case:
    """An agent put down, in the field for it, until when something is promised; the whole of that day counts."""
    name = rules.settings.ticket_fields.promised_by
    said = ticket.fields.get(name) if name else None
    if name and not said and case.promise == ON_TICKET:  # taken back, or kept
        return replace(case, promise=None, promised_by=None, promise_broken_at=None)
    if not said or case.promise not in (None, ON_TICKET):  # what was said by command stays
        return case
    try:
        day = date.fromisoformat(said[:10]) + timedelta(days=1)
        ends = datetime.combine(day, time(), rules.settings.timezone).astimezone(UTC)
    except (ValueError, OverflowError):  # not a date: nothing that we can watch
        return case
    if ends == case.promised_by or ends <= ticket.read_at:  # known, or over before we knew
        return case
    return replace(case, promise=ON_TICKET, promised_by=ends, promise_broken_at=None)


def _with(case: Case, deed: Deed) -> Case:
    by_owner = deed.agent_id in (None, case.assignee_id)
    match deed.kind:
        case DeedKind.EDITED if by_owner:
            return replace(case, acknowledged_at=case.acknowledged_at or deed.at)
        case DeedKind.REPLIED:
            acknowledged_at = case.acknowledged_at or deed.at
            contacted_at = case.contacted_at or deed.at
            last = max(case.replied_at or deed.at, deed.at)
            return replace(case, acknowledged_at=acknowledged_at, contacted_at=contacted_at, replied_at=last)
        case DeedKind.SOLVED:
            return replace(case, solved_at=deed.at)
        case DeedKind.REOPENED:
            return replace(case, solved_at=None, checked_in_at=None, not_asked=None)
        case _:
            return case
