"""What people did, as milestones of a case: acknowledged, contacted, solved, or taken by somebody else."""

from __future__ import annotations

from dataclasses import replace

from bridge.model import Activity, Case, Deed, DeedKind, Stage, Status, Ticket


def notice(case: Case, activity: Activity) -> Case:
    """Return the case with what people did since; the stage is the furthest milestone that holds."""
    ticket = activity.ticket
    after = replace(_held_by(case, ticket), seen_stamp=ticket.stamp, seen_at=ticket.read_at)
    for deed in activity.deeds:
        if deed.at >= case.flagged_at:
            after = _with(after, deed)
    return replace(after, stage=stage_of(after))


def stage_of(case: Case) -> Stage:
    """Return the furthest stage that the milestones of an open, confirmed case show."""
    if case.solved_at:
        return Stage.SOLVED
    if case.contacted_at:
        return Stage.CONTACTED
    return Stage.ACKNOWLEDGED if case.acknowledged_at else Stage.ASSIGNED


def _held_by(case: Case, ticket: Ticket) -> Case:
    """A person gave the ticket to somebody else: it stays with them."""
    if ticket.assignee_id in (None, case.assignee_id) or ticket.status is Status.CLOSED:
        return case
    return replace(case, assignee_id=ticket.assignee_id, group_id=ticket.group_id, chosen_by_human=True)


def _with(case: Case, deed: Deed) -> Case:
    by_owner = deed.agent_id in (None, case.assignee_id)
    match deed.kind:
        case DeedKind.EDITED if by_owner:
            return replace(case, acknowledged_at=case.acknowledged_at or deed.at)
        case DeedKind.REPLIED:
            acknowledged_at = case.acknowledged_at or deed.at
            return replace(case, acknowledged_at=acknowledged_at, contacted_at=case.contacted_at or deed.at)
        case DeedKind.SOLVED:
            return replace(case, solved_at=deed.at)
        case DeedKind.REOPENED:
            return replace(case, solved_at=None, checked_in_at=None)
        case _:
            return case
