"""Rules: what rules.yaml means. Deciding about facts, explaining the decision, and what the file asks of the helpdesk.

`ignore` first, then `rules` from top to bottom; the first match wins, and each rating gets exactly one verdict.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeVar

from bridge.connector import Needs
from bridge.hours import Calendar
from bridge.model import Category, Directory, Severity
from bridge.rules.conditions import Choice, Comment, Condition, Line, Tags
from bridge.rules.document import Document
from bridge.rules.facts import Facts, fold, fold_language
from bridge.rules.index import Patient
from bridge.rules.names import names, report_unknown
from bridge.rules.notes import Note
from bridge.rules.problems import Problem, Reporter
from bridge.rules.schema import (
    Account,
    Cause,
    Goodwill,
    Ignore,
    Limits,
    OwnHours,
    PersonEntry,
    PersonVariant,
    Playbook,
    Rule,
    RulesFile,
    Settings,
    SurveyText,
)

E = TypeVar("E", bound=Ignore)
NamedPlace = tuple[str, str, int, int]


@dataclass(frozen=True)
class Verdict:
    """What the rules say about one rating: exactly one of three kinds, and why."""

    kind: Literal["ignored", "matched", "no_rule"]
    rule: Ignore | None  # a Rule if it matched, the entry of `ignore` if that did
    reason: str


@dataclass(frozen=True)
class LineTrace:
    """One condition of a rule: what it wanted, what it saw, and whether it held; None: not known."""

    part: str  # when, unless, or "when, any 1"
    field: str
    wanted: str
    seen: str
    holds: bool | None


@dataclass(frozen=True)
class RuleTrace:
    """One entry of `ignore` or `rules` with all its conditions; *matches* does not look at the entries above it."""

    kind: Literal["ignore", "rule"]
    name: str
    matches: bool
    lines: tuple[LineTrace, ...]
    disabled: str | None = None  # why it is switched off


@dataclass(frozen=True)
class Person:
    """Who a name of rules.yaml stands for: a group or an agent to assign to, and where to tell them."""

    name: str
    group: str | None = None
    agent: str | None = None
    notify: str | None = None


class Rules:
    """The rules of one file, ready to decide."""

    def __init__(
        self, *, text: str, name: str, document: Document, file: RulesFile, playbooks: Mapping[str, Playbook]
    ) -> None:
        self.text = text
        self.path = name
        self.document = document
        self.hash = hashlib.sha256(text.encode()).hexdigest()[:12]
        self.accounts: Mapping[str, Account] = file.accounts
        self.settings: Settings = file.settings
        self.limits: Limits = file.limits
        self.people: Mapping[str, PersonEntry] = file.people
        self.away = file.away
        self.hours = file.hours
        self.survey_texts = file.survey_texts
        self.goodwill = file.goodwill
        self.causes: Mapping[str, Cause] = file.causes
        self.notes: Mapping[str, Note] = file.notes
        self.playbooks = playbooks
        self.ignore: tuple[Ignore, ...] = file.ignore
        self.rules: tuple[Rule, ...] = file.rules
        self._verdicts = [Verdict(kind, entry, reason) for entry, kind, reason in self._entries()]
        self._finder = Patient([*in_force(self.ignore), *in_force(self.rules)])
        self._no_rule = Verdict("no_rule", None, "no rule matches")
        self._own_hours = {whose(entry): entry for entry in file.hours}
        self._calendars: dict[tuple[tuple[str, str], ...], Calendar] = {}
        self._texts = {(folded(text.brand), text.language): text for text in file.survey_texts}
        tagged = {fold(cause.tag): name for name, cause in file.causes.items() if cause.tag}
        self._causes = tagged | {fold(name): name for name in file.causes}

    def played(self, **settings: Any) -> Rules:
        """Return the same rules under other settings, such as mode="live"."""
        other = copy(self)
        other.settings = self.settings.model_copy(update=settings)
        return other

    def keeping(self, playbook: str, earlier: Rules) -> Rules:
        """Return these rules with one playbook as it was in *earlier* ones.

        Who people are, hours, limits, switches and the other playbooks are those of today.
        """
        other = copy(self)
        other.playbooks = {**self.playbooks, playbook: earlier.playbooks[playbook]}
        other.people = {**earlier.people, **self.people}
        other.notes = {**earlier.notes, **self.notes}
        return other

    def _entries(self) -> Iterable[tuple[Ignore, Literal["ignored", "matched"], str]]:
        for entry in in_force(self.ignore):
            yield entry, "ignored", f'ignored by "{entry.name}"'
        for rule in in_force(self.rules):
            yield rule, "matched", f'matched "{rule.name}"'

    # -------------------------------------------------------------- deciding
    def decide(self, facts: Facts) -> Verdict:
        """Return the first entry that the facts match; what is not known never matches."""
        number = self._finder.first(facts)
        return self._no_rule if number is None else self._verdicts[number]

    def could_match(self, facts: Facts) -> bool:
        """False only if no rule can match, whatever the facts of the ticket that are None turn out to be."""
        if any(entry.unless is None and entry.when.certain(facts) for entry in in_force(self.ignore)):
            return False
        return any(
            rule.when.holds(facts) is not False and not (rule.unless is not None and rule.unless.certain(facts))
            for rule in in_force(self.rules)
        )

    def trace(self, facts: Facts) -> list[RuleTrace]:
        """Return every entry in order with what each condition wanted and saw."""
        return [_trace(entry, "ignore", facts) for entry in self.ignore] + [
            _trace(rule, "rule", facts) for rule in self.rules
        ]

    # -------------------------------------------------------------- people, notes, time
    def person(
        self, name: str, group: str | None = None, brand: str | None = None, reason: str | None = None
    ) -> Person:
        """Return who *name* is for a ticket of this group, brand and reason; KeyError if nobody has the name."""
        entry = self.people[name]
        found: list[PersonVariant] = []
        for variants, value in ((entry.per_reason, reason), (entry.per_brand, brand), (entry.per_group, group)):
            found += [variant for key, variant in variants.items() if value is not None and fold(key) == fold(value)]
        found.append(entry)
        place = next((one for one in found if one.group or one.agent), entry)
        notify = next((one.notify for one in found if one.notify), None)
        return Person(name, place.group, place.agent, notify)

    def is_away(self, email: str, moment: datetime) -> str | None:
        """Return why an agent counts as absent on that day of their own calendar, or None."""
        day = moment.astimezone(self.calendar(agent=email).timezone).date()
        for away in self.away:
            if away.agent.casefold() == email.casefold() and away.first <= day <= away.last:
                return f"away from {away.first} to {away.last}"
        return None

    def note(self, name: str, values: Mapping[str, str | None]) -> str:
        """Return a note with its placeholders filled; every value is made inert, and missing ones fall back."""
        return self.notes[name].render(values)

    def calendar(self, account: str | None = None, group: str | None = None, agent: str | None = None) -> Calendar:
        """Return when people work: as the settings say, but for the `hours` of the account, group or agent.

        What the agent (by address) has of their own wins over the group's (by name), and that over the account's.
        The same hours are always the same object.
        """
        if not self._own_hours:
            return self._overlaid(())
        asked = (("account", account), ("group", group), ("agent", agent))
        found = ((kind, fold(name)) for kind, name in asked if name)
        return self._overlaid(tuple(place for place in found if place in self._own_hours))

    def _overlaid(self, places: tuple[tuple[str, str], ...]) -> Calendar:
        """Return the settings overlaid by the hours of *places*, the last on top."""
        if places not in self._calendars:
            settings = self.settings
            calendar = Calendar(settings.timezone, settings.working_hours, settings.holidays, settings.quiet_hours)
            for own in (self._own_hours[place] for place in places):
                calendar = Calendar(
                    own.timezone or calendar.timezone,
                    own.working_hours or calendar.weekly,
                    calendar.holidays if own.holidays is None else own.holidays,
                    own.quiet_hours or calendar.quiet,
                )
            self._calendars[places] = calendar
        return self._calendars[places]

    # -------------------------------------------------------------- goodwill, causes, words to customers
    def goodwill_for(self, playbook: Playbook, severity: Severity, customer_tags: Collection[str]) -> Goodwill | None:
        """Return what may be offered: the playbook's own, else the first line of the table that fits, else None."""
        if playbook.goodwill or self.goodwill is None:
            return playbook.goodwill
        theirs = frozenset(map(fold, customer_tags))
        for line in self.goodwill.lines:
            if severity in (line.severity or Severity) and (not line.tags or not line.tags.isdisjoint(theirs)):
                return line
        return None

    @property
    def goodwill_policy(self) -> str | None:
        """The version of the goodwill table; None if there is none."""
        return self.goodwill.version if self.goodwill else None

    def cause_of(self, tags: Collection[str], field_value: str | None) -> str | None:
        """Return why the customer was let down: as the ticket's field says, by name or tag, else as its tags say.

        Without `causes` in the file the field's value is taken as it is.
        """
        said = folded(field_value)
        if said and not self.causes:
            return field_value
        if said in self._causes:
            return self._causes[said]
        present = frozenset(map(fold, tags))
        return next((name for name, cause in self.causes.items() if cause.tag and fold(cause.tag) in present), None)

    def party_of(self, cause: str | None) -> str | None:
        """Return whose fault a cause is: service, product, policy or third_party; None if the file does not say."""
        name = self._causes.get(folded(cause) or "")
        return self.causes[name].party if name else None

    def survey_text(self, brand: str | None, language: str | None) -> SurveyText | None:
        """Return what a customer of this brand and language reads who is asked again: the most special entry.

        A language of its own (de-at) comes before its main one (de), the brand before the language, and last the entry
        of neither; None if there is no such entry.
        """
        languages = [*_widening(language), None]
        found = (self._texts.get((name, tag)) for name in (folded(brand), None) for tag in languages)
        return next((text for text in found if text), None)

    # -------------------------------------------------------------- what the file asks of the helpdesk
    def needs(self) -> Needs:
        """Return what the helpdesk must tell and do for these rules, and the ratings that any rule could match."""
        conditions = [condition for _, line in self._lines() for condition in line.conditions]
        tags = [c for c in conditions if isinstance(c, Tags) and c.subject != "tags"]
        of_table = [line.tags for line in self.goodwill.lines] if self.goodwill else []
        surveys = self.asks_again
        return Needs(
            customer_tags=frozenset[str]().union(*(c.every.union(c.never, *c.some) for c in tags), *of_table),
            language=any(map(_asks_language, conditions)),
            fields=frozenset(self.settings.ticket_fields.named.values()),
            requests=any(is_of_requests(branch) for rule in in_force(self.rules) for branch in rule.when.branches()),
            surveys=surveys,
            rerating=self.settings.allow_rerating,
            survey_mail=self.settings.survey_mail == "helpdesk",
            categories=frozenset(category for category in Category if self._could_take(category)),
        )

    @property
    def asks_again(self) -> bool:
        """True if the playbook of any rule asks customers again, and the settings let it."""
        return self.settings.surveys != "off" and any(self.playbooks[rule.playbook].survey for rule in self.rules)

    def _lines(self) -> Iterable[tuple[str, Line]]:
        for entry in (*in_force(self.ignore), *in_force(self.rules)):
            yield from entry.when.every_line("when")
            yield from entry.unless.every_line("unless") if entry.unless else ()

    def _could_take(self, category: Category) -> bool:
        branches = (branch for rule in in_force(self.rules) for branch in rule.when.branches())
        return any(_allows(branch.get("category"), category) for branch in branches if not is_of_requests(branch))

    def names(self) -> list[NamedPlace]:
        """Return every group and agent of the helpdesk that the file names, with line and column."""
        found = (name for name in names(self.document.data) if name.kind in ("group", "agent"))
        return [(name.kind, name.text, name.spot.line, name.spot.column) for name in found]

    def unknown_names(self, directories: Mapping[str, Directory]) -> list[Problem]:
        """Return a problem for every group and agent that exists on none of the accounts, as their directories say.

        An agent of `away` or `hours` who is none any more is only a warning: people leave.
        """
        report = Reporter(self.path, self.text)
        report_unknown(self.document.data, directories, report)
        return report.problems


def _trace(entry: Ignore, kind: Literal["ignore", "rule"], facts: Facts) -> RuleTrace:
    blocks = [("when", entry.when)] + ([("unless", entry.unless)] if entry.unless else [])
    lines = tuple(
        LineTrace(part, line.field, line.wanted, line.seen(facts), line.holds(facts))
        for name, block in blocks
        for part, line in block.every_line(name)
        if not line.is_implied or line.holds(facts) is False
    )
    return RuleTrace(kind, entry.name, entry.takes(facts), lines, entry.disabled)


def in_force(entries: Iterable[E]) -> list[E]:
    """Return the entries of `ignore` or `rules` that are not switched off."""
    return [entry for entry in entries if not entry.disabled]


def _asks_language(condition: Condition) -> bool:
    if isinstance(condition, Comment):
        return any(words.per_language for words in condition.mentions)
    return condition.subject == "language"


def is_of_requests(branch: Mapping[str, Condition]) -> bool:
    """True if only an agent's request can match a branch, never a rating."""
    requested = branch.get("requested")
    return isinstance(requested, Choice) and requested.yes == frozenset({"true"})


def _allows(condition: Condition | None, category: Category) -> bool:
    return not isinstance(condition, Choice) or condition.yes is None or category.value in condition.yes


def whose(entry: OwnHours) -> tuple[str, str]:
    """Return whose hours an entry of `hours` holds: the kind, and the folded name."""
    kind, name = next((kind, name) for kind, name in entry if kind in ("account", "group", "agent") and name)
    return kind, fold(name)


def folded(name: str | None) -> str | None:
    """Return a name in the form in which names are compared; None for none or an empty one."""
    return fold(name or "") or None


def _widening(language: str | None) -> Iterator[str]:
    """Yield a language tag, then what it is a special form of: de-at, de."""
    tag = fold_language(language or "")
    while tag:
        yield tag
        tag = tag.rpartition("-")[0]
