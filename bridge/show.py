"""How results look: cases, plans and explanations as text for people and as JSON values for programs.

People read times in the time zone of rules.yaml, programs in UTC. Customers' words appear only where somebody asks
about one ticket, as inert, bounded text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any

from bridge.connector import Finding, Level, SetupStep
from bridge.model import Audit, Case, Change, Directory, Effect, EffectKind, EffectState, Ticket

if TYPE_CHECKING:
    from bridge.rules import RuleTrace
    from bridge.store import Failure, StoredEffect

MARKS = {Level.OK: "ok     ", Level.NOTE: "note   ", Level.WARNING: "warning", Level.FAIL: "FAIL   "}
NEW_CASES = 20  # of one run that are named
WHY_LENGTH = 100  # characters of a reason in a table
NOT_DONE = (EffectState.PLANNED, EffectState.SENDING, EffectState.PARKED, EffectState.SHADOW)


# ------------------------------------------------------------------ times
def moment(at: datetime | None) -> str | None:
    """Return a time for programs: UTC, whole seconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if at else None


def local(at: datetime, zone: tzinfo) -> str:
    """Return a time for people, as the notes on tickets write it."""
    return f"{at.astimezone(zone):%a %d %b %Y, %H:%M %Z}"


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


def count(number: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


# ------------------------------------------------------------------ a run
def run_lines(
    report: Mapping[str, Any], new_cases: Sequence[Case], orphans: Sequence[Case], failed_records: int
) -> list[str]:
    """Say what one pass did: its figures, the cases it opened, and what waits for a human."""
    effects = report["effects"]
    done = ", ".join(f"{number} {state}" for state, number in effects.items() if state != "planned")
    if report["mode"] == "shadow":
        done = "decided only, nothing is sent" + (f"; {effects['parked']} parked" if effects["parked"] else "")
    calls = ", ".join(f"{account} {number}" for account, number in report["requests"].items())
    lines = [
        f"{report['mode']}: {count(report['ratings_seen'], 'rating')} seen, "
        f"{count(report['cases_opened'], 'case')} opened; "
        f"effects: {done}; API calls: {calls}; {report['duration_s']} s"
    ]
    lines += [f"  {one.account} ticket {one.ticket_id}, {one.severity}: {one.reason}" for one in new_cases[:NEW_CASES]]
    if len(new_cases) > NEW_CASES:
        lines.append(f"  and {len(new_cases) - NEW_CASES} more: recovery-bridge cases --all")
    lines += [
        f"case {one.case_id} (ticket {one.ticket_id} of {one.account}) has no owner: {one.reason}" for one in orphans
    ]
    if failed_records:
        lines.append(f"{count(failed_records, 'record')} could not be worked on: recovery-bridge retry --list")
    if effects["parked"]:
        lines.append("parked effects need a human: recovery-bridge retry --list")
    return lines


# ------------------------------------------------------------------ cases


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


CASE_HEADINGS = ["case", "account", "ticket", "rating", "severity", "stage", "due", "why"]


def case_line(case: Case, now: datetime) -> list[str]:
    """Return one row of the table that `cases` prints."""
    rating = f"{case.category} {case.rating}/{case.scale_max}"
    left = until(case.due_at, now) if case.due_at else ""
    stage = str(case.outcome or case.stage)
    return [case.case_id, case.account, case.ticket_id, rating, str(case.severity), stage, left, _brief(case.reason)]


def _brief(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= WHY_LENGTH else f"{line[: WHY_LENGTH - 3].rstrip()}..."


def by_urgency(cases: Iterable[Case]) -> list[Case]:
    """Return the cases that are due first, then those that have ended, newest first."""
    newest_first = sorted(cases, key=lambda case: case.flagged_at, reverse=True)
    return sorted(newest_first, key=lambda case: case.due_at or datetime.max.replace(tzinfo=UTC))


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return columns aligned for a terminal."""
    lines = [list(headings), *[list(row) for row in rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headings))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def case_story(case: Case, audits: Sequence[Audit], effects: Sequence[StoredEffect], zone: tzinfo) -> str:
    """Tell one case in full: what, who and why, then everything that was decided and done."""
    ends = f", {case.outcome}: {case.reason}" if case.outcome else ""
    head = [
        f"case {case.case_id}: {case.account} ticket {case.ticket_id}, "
        f"rated {case.category} ({case.rating} of {case.scale_max}) on {local(case.rated_at, zone)}",
        f'  rule "{case.rule}", playbook "{case.playbook}", severity {case.severity}, rules.yaml {case.rules_hash}',
        f"  stage: {case.stage}{ends}",
    ]
    if case.due_at:
        head.append(f"  next: {case.next_step}, by {local(case.due_at, zone)}")
    head.append(f"  original agent {case.original_agent_id or 'unknown'}, now with {case.assignee_id or 'nobody'}")
    if case.work_ticket_id:
        head.append(f"  carried on in ticket {case.work_ticket_id}")
    ladder = [f"  {step.rung}: {step.why}" for step in case.ladder] or ["  nobody"]
    lines = [*head, "who was asked:", *ladder, "what happened:", *story(audits, zone)]
    if open_ones := [one for one in effects if one.state in NOT_DONE]:
        lines += ["not done:", *(f"  {one.state}  {what(one.effect)}{_trouble(one)}" for one in open_ones)]
    return "\n".join(lines)


def _trouble(stored: StoredEffect) -> str:
    return f" ({stored.error})" if stored.error else ""


def case_story_json(case: Case, audits: Sequence[Audit], effects: Sequence[StoredEffect]) -> dict[str, Any]:
    """Return one case in full as JSON values."""
    return {
        **case_json(case),
        "work_ticket_id": case.work_ticket_id,
        "next_step": case.next_step or None,
        "rules_hash": case.rules_hash,
        "ladder": [vars(step) for step in case.ladder],
        "audits": audits_json(audits),
        "effects": [
            {
                "effect_id": one.effect.effect_id,
                "step": one.effect.step,
                "state": str(one.state),
                "does": what(one.effect),
                "error": one.error,
            }
            for one in effects
        ],
    }


def story(audits: Iterable[Audit], zone: tzinfo) -> list[str]:
    """Return what was decided and done, in its order."""
    return [f"  {local(a.at, zone)}  {a.what}: {a.reason}" for a in audits]


def audits_json(audits: Iterable[Audit]) -> list[dict[str, Any]]:
    """Return what was decided and done as JSON values."""
    return [{"at": moment(a.at), "what": a.what, "reason": a.reason} for a in audits]


# ------------------------------------------------------------------ what is stuck
def stuck_lines(parked: Iterable[StoredEffect], failures: Iterable[Failure]) -> list[str]:
    """Return a line for each parked effect and each record that could not be worked on, with why."""
    lines = [
        f"parked {one.effect.effect_id}: {one.effect.account} ticket {one.effect.ticket_id}, "
        f"{what(one.effect)}: {one.error}"
        for one in parked
    ]
    return lines + [f"failed {one.kind} {one.key} of {one.account}: {one.error}" for one in failures]


def stuck_json(parked: Iterable[StoredEffect], failures: Iterable[Failure]) -> dict[str, Any]:
    """Return the same as JSON values."""
    effects = [
        {
            "effect_id": one.effect.effect_id,
            "account": one.effect.account,
            "case_id": one.effect.case_id,
            "ticket_id": one.effect.ticket_id,
            "does": what(one.effect),
            "error": one.error,
        }
        for one in parked
    ]
    return {"parked": effects, "failed_records": [vars(one) | {"at": moment(one.at)} for one in failures]}


# ------------------------------------------------------------------ effects
def what(effect: Effect) -> str:
    """Say what an effect does, without the words of its note."""
    if effect.kind is EffectKind.ALERT:
        return f"tell {effect.person}"
    where = "a follow-up of ticket" if effect.kind is EffectKind.FOLLOW_UP else "ticket"
    return f"{where} {effect.ticket_id}: {', '.join(effect.change.parts) or 'nothing'}"


def difference(effect: Effect, change: Change, ticket: Ticket, directory: Directory) -> list[str]:
    """Return the lines in which a ticket would differ, as `now -> then`, and the private note."""
    lines = []
    if change.reopen:
        lines.append(f"  status    {ticket.status} -> open")
    if change.unassign or (change.assignee_id and change.assignee_id != ticket.assignee_id):
        lines.append(f"  assignee  {_agent(ticket.assignee_id, directory)} -> {_agent(change.assignee_id, directory)}")
    if change.group_id and change.group_id != ticket.group_id:
        lines.append(f"  group     {_group(ticket.group_id, directory)} -> {_group(change.group_id, directory)}")
    if change.priority:
        lines.append(f"  priority  {ticket.priority or 'none'} -> {change.priority}")
    if new := [tag for tag in change.add_tags if tag not in ticket.tags]:
        lines.append(f"  tags      + {', '.join(new)}")
    if effect.kind is EffectKind.FOLLOW_UP:
        lines.append("  new       a follow-up ticket, beginning with the private note")
    if change.note:
        lines += ["  note      " + line for line in change.note.splitlines() if line.strip()]
    return lines or ["  nothing: a human has already done all of it"]


def _agent(agent_id: str | None, directory: Directory) -> str:
    if agent_id is None:
        return "nobody"
    agent = directory.agents.get(agent_id)
    return agent.name if agent else agent_id


def _group(group_id: str | None, directory: Directory) -> str:
    return directory.groups.get(group_id, group_id) if group_id else "none"


# ------------------------------------------------------------------ rules
def trace_lines(trace: Sequence[RuleTrace]) -> list[str]:
    """Show each rule in order and each condition with the value it saw; the first that matches counts."""
    lines = []
    above = "matches: this one counts"
    for rule in trace:
        verdict = above if rule.matches else "cannot be told" if _is_open(rule) else "does not match"
        above = "matches too, but one above counts" if rule.matches else above
        lines.append(f'    {rule.kind} "{rule.name}": {verdict}')
        for line in rule.lines:
            mark = {True: "yes", False: "no ", None: "?  "}[line.holds]
            lines.append(f"        {mark} {line.part} {line.field}: wanted {line.wanted}, saw {line.seen}")
    return lines


def _is_open(rule: RuleTrace) -> bool:
    """True if a rule that does not match could, were everything known."""
    parts: dict[str, bool] = {}  # False: ruled out
    for line in rule.lines:
        parts[line.part] = parts.get(line.part, True) and line.holds is not False
    branches = [possible for part, possible in parts.items() if part.startswith("when, any")]
    unknown = any(line.holds is None for line in rule.lines)
    return unknown and parts.get("when", True) and (any(branches) or not branches)


# ------------------------------------------------------------------ doctor and setup
def finding_line(finding: Finding) -> str:
    """Return one line of `doctor`, with what to do below it."""
    line = f"{MARKS[finding.level]}  {finding.what}"
    return f"{line}\n         -> {finding.todo}" if finding.todo else line


def setup_line(account: str, step: SetupStep) -> str:
    """Return one line of `setup`."""
    return f"{account}: {step.state:<16} {step.what}"
