"""How results look: cases, plans and explanations as text for people and as JSON values for programs.

Customers' words appear only where somebody asks about one ticket, as inert, bounded text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from bridge.connector import Finding, Level, SetupStep
from bridge.model import Audit, Case, Change, Effect, EffectKind, Ticket
from bridge.rules import RuleTrace

MARKS = {Level.OK: "ok     ", Level.NOTE: "note   ", Level.WARNING: "warning", Level.FAIL: "FAIL   "}


def moment(at: datetime | None) -> str | None:
    """Return a time for JSON: UTC, whole seconds."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ") if at else None


def case_json(case: Case) -> dict[str, Any]:
    """Return the promised form of one case (contract: `cases --json`)."""
    return {
        "case_id": case.case_id,
        "account": case.account,
        "ticket_id": case.ticket_id,
        "rating_id": case.rating_id,
        "rating": case.rating,
        "scale_max": case.scale_max,
        "rule": case.rule,
        "playbook": case.playbook,
        "severity": str(case.severity),
        "stage": str(case.stage),
        "outcome": str(case.outcome) if case.outcome else None,
        "flagged_at": moment(case.flagged_at),
        "rated_at": moment(case.rated_at),
        "due_at": moment(case.due_at),
        "original_agent_id": case.original_agent_id,
        "assignee_id": case.assignee_id,
        "survey_ticket_id": case.survey_ticket_id,
        "reason": case.reason,
    }


def case_line(case: Case, now: datetime) -> list[str]:
    """Return one row of the table that `cases` prints."""
    state = f"{case.outcome}" if case.outcome else f"{case.stage}"
    left = until(case.due_at, now) if case.due_at else ""
    owner = case.assignee_id or "nobody"
    return [case.case_id, case.account, case.ticket_id, str(case.severity), state, owner, left, case.rule]


CASE_HEADINGS = ["case", "account", "ticket", "severity", "stage", "owner", "due", "rule"]


def until(due_at: datetime, now: datetime) -> str:
    """Say how long is left, or how long a time is past."""
    left = due_at - now
    text = duration(abs(left))
    return f"in {text}" if left >= timedelta() else f"{text} late"


def duration(length: timedelta) -> str:
    """Return a length of time in its two largest units."""
    minutes = int(length.total_seconds() // 60)
    days, minutes = divmod(minutes, 24 * 60)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{n}{unit}" for n, unit in ((days, "d"), (hours, "h"), (minutes, "m")) if n]
    return " ".join(parts[:2]) or "0m"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return columns aligned for a terminal."""
    lines = [list(headings), *[list(row) for row in rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headings))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def case_story(case: Case, audits: Sequence[Audit], effects: Sequence[tuple[Effect, str, str | None]]) -> str:
    """Tell one case in full: what, who and why, then everything that was decided and done."""
    head = [
        f"case {case.case_id}: ticket {case.ticket_id} of {case.account}, rated {case.category} "
        f"({case.rating} of {case.scale_max}) at {moment(case.rated_at)}",
        f"rule {case.rule!r}, playbook {case.playbook!r}, severity {case.severity}, rules.yaml {case.rules_hash}",
        f"stage {case.stage}"
        + (f", outcome {case.outcome}" if case.outcome else f", next: {case.next_step} by {moment(case.due_at)}"),
        f"original agent {case.original_agent_id or 'unknown'}, now with {case.assignee_id or 'nobody'}",
    ]
    if case.work_ticket_id:
        head.append(f"carried on in ticket {case.work_ticket_id}")
    ladder = [f"  {step.rung}: {step.why}" for step in case.ladder]
    return "\n".join([*head, "who was asked:", *(ladder or ["  nobody"]), "what happened:", *story(audits, effects)])


def story(audits: Sequence[Audit], effects: Sequence[tuple[Effect, str, str | None]]) -> list[str]:
    """Return the audit lines in their order, then the effects with their state."""
    told = [f"  {moment(a.at)}  {a.what}: {a.reason}" for a in audits]
    done = [f"  {state:<10} {e.step}: {what(e)}" + (f" ({error})" if error else "") for e, state, error in effects]
    return [*told, "effects:", *(done or ["  none"])]


def what(effect: Effect) -> str:
    """Say what an effect does, without the words of its note."""
    if effect.kind is EffectKind.ALERT:
        return f"tell {effect.person}"
    where = "a follow-up of ticket" if effect.kind is EffectKind.FOLLOW_UP else "ticket"
    return f"{where} {effect.ticket_id}: {', '.join(effect.change.parts) or 'nothing'}"


def difference(effect: Effect, change: Change, ticket: Ticket, names: Mapping[str, str]) -> list[str]:
    """Return the lines in which a ticket would differ: `- now` and `+ then`."""
    lines = []
    if change.reopen:
        lines.append(f"  status    {ticket.status} -> open")
    if change.assignee_id and change.assignee_id != ticket.assignee_id:
        before = names.get(ticket.assignee_id or "", ticket.assignee_id or "nobody")
        lines.append(f"  assignee  {before} -> {names.get(change.assignee_id, change.assignee_id)}")
    if change.priority:
        lines.append(f"  priority  {ticket.priority or 'none'} -> {change.priority}")
    if new := [tag for tag in change.add_tags if tag not in ticket.tags]:
        lines.append(f"  tags      + {', '.join(new)}")
    if effect.kind is EffectKind.FOLLOW_UP:
        lines.append("  new       a follow-up ticket, beginning with the private note")
    if change.note:
        lines += ["  note      " + line for line in change.note.splitlines() if line.strip()]
    return lines


def trace_lines(trace: Sequence[RuleTrace]) -> list[str]:
    """Show each rule in order and each condition with the value it saw."""
    lines = []
    for rule in trace:
        verdict = "matched" if rule.matches else "did not match"
        lines.append(f"  {rule.kind} {rule.name!r} {verdict}")
        for line in rule.lines:
            mark = {True: "yes", False: "no ", None: "?  "}[line.holds]
            lines.append(f"      {mark} {line.part} {line.field}: wanted {line.wanted}, saw {line.seen}")
    return lines


def finding_line(finding: Finding) -> str:
    """Return one line of `doctor`, with what to do below it."""
    line = f"{MARKS[finding.level]}  {finding.what}"
    return f"{line}\n         -> {finding.todo}" if finding.todo else line


def setup_line(account: str, step: SetupStep) -> str:
    """Return one line of `setup`."""
    return f"{account}: {step.what}: {step.state}"
