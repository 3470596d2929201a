"""How results look: cases, plans and explanations as text for people and as JSON values for programs.

People read times in the time zone of rules.yaml, programs in UTC. Customers' words appear only where somebody asks
about one ticket, as inert, bounded text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from bridge.connector import Finding, Level, SetupStep
from bridge.model import Audit, Case, Change, Directory, Effect, EffectKind, EffectState, SurveyWay, Ticket

if TYPE_CHECKING:
    from bridge.rules import RuleTrace
    from bridge.store import Failure, Store, StoredEffect

MARKS = {Level.OK: "ok     ", Level.NOTE: "note   ", Level.WARNING: "warning", Level.FAIL: "FAIL   "}
NEW_CASES = 20  # of one run that are named
WHY_LENGTH = 100  # characters of a reason in a table
WAYS = {
    SurveyWay.HELPDESK: "by the helpdesk's own survey",
    SurveyWay.LINK: "by our own question",
    SurveyWay.ADOPTED: "by the helpdesk itself",
}
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


def money(amounts: Mapping[str, Decimal]) -> str:
    """Return amounts in several currencies."""
    return ", ".join(f"{amount} {currency}" for currency, amount in sorted(amounts.items()))


def masked(address: str) -> str:
    """Return enough of an address to recognise it."""
    name, _, host = address.partition("@")
    return f"{name[:2]}...@{host}"


# ------------------------------------------------------------------ people
@dataclass(frozen=True)
class Names:
    """Who is behind the ids of one account, as far as that is known; an unknown id stands for itself."""

    agents: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)

    def agent(self, agent_id: str | None, nobody: str = "nobody") -> str:
        """Return the name of an agent."""
        return self.agents.get(agent_id, agent_id) if agent_id else nobody

    def group(self, group_id: str | None) -> str:
        """Return the name of a group."""
        return self.groups.get(group_id, group_id) if group_id else "none"

    def owner(self, case: Case) -> str:
        """Return who has a case: an agent, or a group in which nobody has it yet."""
        if case.assignee_id or not case.group_id:
            return self.agent(case.assignee_id)
        return f"nobody in {self.group(case.group_id)}"

    def in_text(self, text: str) -> str:
        """Return what was written about a decision with names where ids stand."""
        text = _AGENT_ID.sub(lambda found: self.agent(found[0]), text)
        return _GROUP_ID.sub(lambda found: self.group(found[0]), text)

    def named(self, change: Change) -> Change:
        """Return a change with names instead of ids, to be read."""
        return replace(
            change,
            assignee_id=change.assignee_id and self.agent(change.assignee_id),
            group_id=change.group_id and self.group(change.group_id),
        )


_AGENT_ID = re.compile(r"(?<=\bassign to )\w+|(?<=\bagent )\w+")
_GROUP_ID = re.compile(r"(?<=\bin group )\w+")
NO_NAMES = Names()


def names_of(store: Store, account: str) -> Names:
    """Return the names that an account's connector remembers from reading its directory; asks no helpdesk."""
    kept = store.recall(account, "directory")
    try:
        directory = kept[0] if kept else {"agents": (), "groups": {}}
        return Names({row["agent_id"]: row["name"] for row in directory["agents"]}, dict(directory["groups"]))
    except (KeyError, TypeError, ValueError):  # a connector that remembers them in another form
        return NO_NAMES


def groups_of(store: Store, accounts: Iterable[str]) -> Names:
    """Return the names of the groups of accounts; those of one name with the account that each is of."""
    found = {key: (name, account) for account in accounts for key, name in names_of(store, account).groups.items()}
    alike = Counter(name for name, _ in found.values())
    said = {key: f"{name} ({account})" if alike[name] > 1 else name for key, (name, account) in found.items()}
    return Names(groups=said)


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
        f"case {one.case_id} (ticket {one.ticket_id} of {one.account}) has no {_missing(one)}: {one.reason}"
        for one in orphans
    ]
    if failed_records:
        lines.append(f"{count(failed_records, 'record')} could not be worked on: recovery-bridge retry --list")
    if effects["parked"]:
        lines.append("parked effects need a human: recovery-bridge retry --list")
    return lines


def _missing(case: Case) -> str:
    """Say what an open case lacks that every open case has."""
    owner, due = case.assignee_id or case.group_id, case.due_at
    parts = {"owner": owner, "next step": case.next_step, "due time": due}
    return " and no ".join(name for name, part in parts.items() if not part)


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
        "asked_at": moment(case.asked_at),
        "answer": _answer_json(case),
        "cause": case.cause,
    }


def _answer_json(case: Case) -> dict[str, Any] | None:
    if case.answer is None:
        return None
    said = case.answer
    return {"at": moment(said.at), "category": str(said.category), "value": said.value, "scale_max": said.scale_max}


CASE_HEADINGS = ["case", "account", "ticket", "rating", "severity", "stage", "with", "next", "due", "why"]


def case_line(case: Case, now: datetime, names: Names) -> list[str]:
    """Return one row of the table that `cases` prints."""
    rating = "none" if case.is_request else f"{case.category} {case.rating}/{case.scale_max}"
    left = until(case.due_at, now) if case.due_at else ""
    where = (case.case_id, case.account, case.ticket_id, rating, str(case.severity), str(case.outcome or case.stage))
    return [*where, names.owner(case), case.next_step, left, _brief(case.reason)]


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


@dataclass(frozen=True)
class Story:
    """One case with all that is known about it."""

    case: Case
    audits: Sequence[Audit]
    effects: Sequence[StoredEffect]
    spent: Mapping[str, Decimal]  # goodwill on its tickets, by currency
    names: Names


def read_story(store: Store, case: Case) -> Story:
    """Read all that is known about one case."""
    audits, effects = store.audits(case_id=case.case_id), store.effects_of(case.case_id)
    return Story(case, audits, effects, spent_on(store, case), names_of(store, case.account))


def spent_on(store: Store, case: Case) -> dict[str, Decimal]:
    """Return the goodwill that was granted on the tickets of a case, by currency."""
    spent: dict[str, Decimal] = {}
    for ticket_id in case.ticket_ids:
        for currency, amount in store.spent_on(case.account, ticket_id).items():
            spent[currency] = spent.get(currency, Decimal()) + amount
    return spent


def case_story(story: Story, zone: tzinfo) -> str:
    """Tell one case in full: what, who and why, then everything that was decided and done."""
    case, names = story.case, story.names
    ends = f", {case.outcome}: {case.reason}" if case.outcome else ""
    head = [
        f"case {case.case_id}: {case.account} ticket {case.ticket_id}, {_began(case, zone)}",
        f'  rule "{case.rule}", playbook "{case.playbook}", severity {case.severity}, rules.yaml {case.rules_hash}',
        f"  stage: {case.stage}{ends}",
    ]
    if case.due_at:
        head.append(f"  next: {case.next_step}, by {local(case.due_at, zone)}")
    head.append(f"  original agent {names.agent(case.original_agent_id, 'unknown')}, now with {names.owner(case)}")
    if case.work_ticket_id:
        head.append(f"  carried on in ticket {case.work_ticket_id}")
    ladder = [f"  {step.rung}: {step.why}" for step in case.ladder] or ["  nobody"]
    head += [f"  {line}" for line in (*_customer_lines(case, zone), *_care_lines(story, zone))]
    lines = [*head, "who was asked:", *ladder, "what happened:", *decisions(story.audits, zone, names)]
    if open_ones := [one for one in story.effects if one.state in NOT_DONE]:
        lines += ["not done:", *(f"  {one.state}  {what(one.effect, names)}{_trouble(one)}" for one in open_ones)]
    return "\n".join(lines)


def _began(case: Case, zone: tzinfo) -> str:
    if case.is_request:
        return f"asked for by an agent, seen on {local(case.flagged_at, zone)}"
    return f"rated {case.category} ({case.rating} of {case.scale_max}) on {local(case.rated_at, zone)}"


def _customer_lines(case: Case, zone: tzinfo) -> Iterator[str]:
    """Yield what the customer was asked again and said, or why they were not asked."""
    if case.asked_at:
        reminded = f", reminded {local(case.reminded_at, zone)}" if case.reminded_at else ""
        yield f"asked again {WAYS[case.asked_by or SurveyWay.HELPDESK]}, {local(case.asked_at, zone)}{reminded}"
    if case.not_asked:
        yield f"not asked again: {case.not_asked}"
    if said := case.answer:
        yield f"answer: {said.category} ({said.value} of {said.scale_max}), {local(said.at, zone)}"


def _care_lines(story: Story, zone: tzinfo) -> Iterator[str]:
    """Yield what was promised, granted and learned."""
    case = story.case
    if case.promise and case.promised_by:
        broken = f", broken: told {local(case.promise_broken_at, zone)}" if case.promise_broken_at else ""
        yield f'promised: "{case.promise}" by {local(case.promised_by, zone)}{broken}'
    if story.spent:
        yield f"goodwill granted: {money(story.spent)}"
    if case.incident:
        yield f'part of the incident "{case.incident}"'
    learned = {"cause": case.cause, "remedy": case.remedy, "party": case.party}
    if any(learned.values()):
        yield f"learned: {', '.join(f'{name} {text}' for name, text in learned.items() if text)}"


def _trouble(stored: StoredEffect) -> str:
    return f" ({stored.error})" if stored.error else ""


def case_story_json(story: Story) -> dict[str, Any]:
    """Return one case in full as JSON values."""
    case = story.case
    promised = {"what": case.promise, "by": moment(case.promised_by), "broken_at": moment(case.promise_broken_at)}
    return {
        **case_json(case),
        "work_ticket_id": case.work_ticket_id,
        "next_step": case.next_step or None,
        "rules_hash": case.rules_hash,
        "asked_by": str(case.asked_by) if case.asked_by else None,
        "reminded_at": moment(case.reminded_at),
        "not_asked": case.not_asked,
        "promise": promised if case.promise else None,
        "goodwill_spent": {currency: str(amount) for currency, amount in story.spent.items()},
        "incident": case.incident,
        "remedy": case.remedy,
        "party": case.party,
        "ladder": [vars(step) for step in case.ladder],
        "audits": audits_json(story.audits),
        "effects": [
            {
                "effect_id": one.effect.effect_id,
                "step": one.effect.step,
                "state": str(one.state),
                "does": what(one.effect),
                "error": one.error,
            }
            for one in story.effects
        ],
    }


def decisions(audits: Iterable[Audit], zone: tzinfo, names: Names) -> list[str]:
    """Return what was decided and done, in its order."""
    return [f"  {local(a.at, zone)}  {a.what}: {names.in_text(a.reason)}" for a in audits]


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
def what(effect: Effect, names: Names = NO_NAMES) -> str:
    """Say what an effect does, without the words of its note."""
    if effect.kind is EffectKind.ALERT:
        return f"tell {effect.person}"
    where = "a follow-up of ticket" if effect.kind is EffectKind.FOLLOW_UP else "ticket"
    asks = [f"ask the customer again {WAYS[effect.way]}"] if effect.way else []
    return f"{where} {effect.ticket_id}: {', '.join([*asks, *names.named(effect.change).parts]) or 'nothing'}"


def difference(effect: Effect, change: Change, ticket: Ticket, directory: Directory) -> list[str]:
    """Return the lines in which a ticket would differ, as `now -> then`, and the private note."""
    names = Names({agent.agent_id: agent.name for agent in directory.agents.values()}, directory.groups)
    lines = [f"  survey    the customer is asked again {WAYS[effect.way]}"] if effect.way else []
    if change.reopen:
        lines.append(f"  status    {ticket.status} -> open")
    if change.unassign or (change.assignee_id and change.assignee_id != ticket.assignee_id):
        lines.append(f"  assignee  {names.agent(ticket.assignee_id)} -> {names.agent(change.assignee_id)}")
    if change.group_id and change.group_id != ticket.group_id:
        lines.append(f"  group     {names.group(ticket.group_id)} -> {names.group(change.group_id)}")
    if change.priority:
        lines.append(f"  priority  {ticket.priority or 'none'} -> {change.priority}")
    if new := [tag for tag in change.add_tags if tag not in ticket.tags]:
        lines.append(f"  tags      + {', '.join(new)}")
    if effect.kind is EffectKind.FOLLOW_UP:
        lines.append("  new       a follow-up ticket, beginning with the private note")
    if change.note:
        lines += ["  note      " + line for line in change.note.splitlines() if line.strip()]
    return lines or ["  nothing: a human has already done all of it"]


# ------------------------------------------------------------------ rules
def trace_lines(trace: Sequence[RuleTrace]) -> list[str]:
    """Show each rule in order and each condition with the value it saw; the first that matches counts."""
    lines = []
    above = "matches: this one counts"
    for rule in trace:
        verdict = above if rule.matches else "cannot be told" if _is_open(rule) else "does not match"
        verdict = f"disabled: {rule.disabled}" if rule.disabled else verdict
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
    """Return one line of `setup`; what is left to people may have one for each field that they fill in."""
    return f"{account}: {step.state:<16} {step.what}".replace("\n", f"\n{'':<{len(account) + 20}}")
