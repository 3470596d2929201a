"""The shape of rules.yaml as pydantic models: every key, its type and its default.

A key that is not here is a mistake. The models are frozen and are what the rest of the program reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import time, timedelta
from functools import cached_property
from typing import Any, Literal, Self, get_args
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationInfo, model_validator

from bridge.hours import ALL_DAY
from bridge.model import Severity
from bridge.rules.document import Map
from bridge.rules.facts import Facts, fold
from bridge.rules.values import (
    AccountName,
    Clock,
    Conditions,
    CountWithin,
    Day,
    Duration,
    Email,
    FieldName,
    Holidays,
    HostUrl,
    IgnoreConditions,
    LanguageTag,
    MoneyLimit,
    MoneyText,
    Name,
    NeededVersion,
    NoteName,
    NoteText,
    NotifyTarget,
    PageUrl,
    PersonName,
    PlaybookName,
    QuietHours,
    RateLimit,
    RuleConditions,
    Rung,
    Sender,
    Share,
    SurveyNoteText,
    Tag,
    WeekHours,
    WholeNumber,
    Zone,
    wrong,
)

_NESTED = frozenset({"when", "unless", "deadlines", "otherwise", "survey", "check_in", "working_hours", "lines"})
ACCOUNT_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,30}")


class Part(BaseModel):
    """A part of rules.yaml: frozen, and no key but its own."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)  # built once, inside RulesFile

    @model_validator(mode="before")
    @classmethod
    def _refuse_nothing(cls, value: Any, info: ValidationInfo) -> Any:
        """Report keys without a value: after `notify: #leads`, where # begins a comment, there is nothing to read."""
        if isinstance(value, Map) and None in value.values():
            keys = {field.alias or name for name, field in cls.model_fields.items()}
            for key in keys & {key for key in value if value[key] is None}:
                todo = "indent its lines further" if key in _NESTED else "put text that begins with # in quotes"
                advice = f"{key}: a value is missing here; delete the key, or {todo}"
                info.context.report.error(value.value_spots[key], advice)  # type: ignore[union-attr]
        return value


# ------------------------------------------------------------------ the basics
class Account(Part):
    """One helpdesk."""

    connector: Name
    url: HostUrl
    asks_on_solve: StrictBool | None = None  # a survey of its own at each solution: then ours is not sent


class TicketFields(Part):
    """Fields of the account's own that agents fill: a Zendesk id, or a Freshdesk name such as cf_cause."""

    cause: FieldName | None = None
    remedy: FieldName | None = None
    promised_by: FieldName | None = None  # a date: until when something was promised

    @property
    def named(self) -> Mapping[str, str]:
        """The fields that are named, by what they mean."""
        return {meaning: name for meaning, name in self if name}


class DailyReport(Part):
    """A message a day that says what the bridge did, so that its silence is noticed."""

    to: PersonName
    at: Clock = time(8, 30)


class Settings(Part):
    """How the bridge behaves as a whole."""

    mode: Literal["shadow", "live"] = "shadow"
    surveys: Literal["off", "listed", "everyone"] = "off"
    survey_list: tuple[Email, ...] = ()
    survey_mail: Literal["helpdesk", "smtp"] = "helpdesk"  # who brings our words to the customer
    survey_page: PageUrl | None = None  # where our own question is answered
    served_at: HostUrl | None = None  # where the world finds `serve`
    allow_rerating: StrictBool = False  # a second rating in the helpdesk may overwrite the first
    confidential: StrictBool = False  # no names in notes and messages
    ticket_fields: TicketFields = Field(default_factory=TicketFields)
    timezone: Zone = Field(default_factory=lambda: ZoneInfo("UTC"))
    working_hours: WeekHours = (ALL_DAY,) * 7
    holidays: Holidays = frozenset()
    quiet_hours: QuietHours | None = None
    daily_report: DailyReport | None = None
    confirm_after: Duration = timedelta(minutes=15)  # a bad rating without a word stays unconfirmed for so long
    max_open: WholeNumber = 5  # recoveries per agent
    absent_after: Duration = timedelta(hours=8)  # of working time, with presence unchanged
    settle: Duration = timedelta(minutes=10)
    rate_share: Share = 0.5  # of the helpdesk's rate limit
    directory_age: Duration = timedelta(hours=1)
    out_of_office: tuple[Name, ...] = ("agent_ooo",)  # tags or user fields of agents that mean absent

    @model_validator(mode="after")
    def _listed_needs_a_list(self) -> Self:
        if self.surveys == "listed" and not self.survey_list:
            raise wrong("listed needs the addresses: write survey_list: [test@example.com]", key="surveys")
        return self

    def hooks_at(self, account: str) -> str | None:
        """Return the address to which the helpdesk of an account sends its webhooks; None if it cannot find us."""
        return f"{self.served_at}/hooks/{account}" if self.served_at else None


SHARE_COUNTS_FROM = 30  # ratings of a day; fewer say nothing about a share


class Limits(Part):
    """What always holds for new recoveries; None is no limit."""

    tickets_per_hour: WholeNumber | None = None
    tickets_per_day: WholeNumber | None = None
    share_of_rated: Share | None = None  # of the ratings of a day
    writes_per_ticket_per_day: WholeNumber | None = None
    recoveries_per_ticket: WholeNumber | None = None
    recoveries_per_customer: RateLimit | None = None
    give_up_after: Duration = timedelta(days=30)  # since a case was flagged, if it is not solved by then
    surveys_per_customer: RateLimit = CountWithin(1, timedelta(days=30))
    goodwill_per_ticket: MoneyText | None = None
    goodwill_per_customer: MoneyLimit | None = None


# ------------------------------------------------------------------ people and notes
class PersonVariant(Part):
    """Who a name stands for, for one group, brand or reason; what is left out stays as it is."""

    group: Name | None = None
    agent: Email | None = None
    notify: NotifyTarget | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.group and self.agent:
            raise wrong("write group or agent, not both", key="agent")
        if not self.model_fields_set:
            raise wrong("nobody is named here; write a group, an agent or notify")
        return self


class PersonEntry(PersonVariant):
    """Who a name of rules.yaml is in the helpdesk, and where to tell them.

    With *digest*, a time of day, messages about cases of low or normal severity wait for it and come as one.
    """

    digest: Clock | None = None

    per_group: dict[Name, PersonVariant] = {}
    per_brand: dict[Name, PersonVariant] = {}
    per_reason: dict[Name, PersonVariant] = {}

    @property
    def can_be_assigned(self) -> bool:
        """True if there is a group or an agent, at least for some tickets."""
        return any(entry.group or entry.agent for entry in self.variants)

    @property
    def can_be_told(self) -> bool:
        """True if there is somewhere to tell them, at least for some tickets."""
        return any(entry.notify or entry.agent for entry in self.variants)

    @property
    def variants(self) -> list[PersonVariant]:
        """The entry itself and all its variants."""
        return [self, *self.per_group.values(), *self.per_brand.values(), *self.per_reason.values()]


class OwnHours(Part):
    """Where an account, a group or an agent differs from the settings; what is left out stays as it is there."""

    account: AccountName | None = None
    group: Name | None = None
    agent: Email | None = None
    timezone: Zone | None = None
    working_hours: WeekHours | None = None
    holidays: Holidays | None = None
    quiet_hours: QuietHours | None = None

    @model_validator(mode="after")
    def _of_one(self) -> Self:
        if len(self.model_fields_set & {"account", "group", "agent"}) != 1:
            raise wrong("say whose hours these are: write one of account, group or agent")
        if not self.model_fields_set & {"timezone", "working_hours", "holidays", "quiet_hours"}:
            raise wrong("nothing differs here; write a timezone, working_hours, holidays or quiet_hours")
        return self


class Away(Part):
    """An agent is away from the first to the last day, both included."""

    agent: Email
    first: Day = Field(alias="from")
    last: Day = Field(alias="to")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.last < self.first:
            raise wrong("to is before from", key="to")
        return self


# ------------------------------------------------------------------ playbooks
class Goodwill(Part):
    """What an agent may offer, and from which amount on whose approval is needed."""

    up_to: MoneyText
    approval_above: MoneyText | None = None
    approved_by: PersonName | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.approval_above is None:
            return self
        if self.approved_by is None:
            raise wrong("approval_above needs approved_by, with a name of people", key="approval_above")
        if self.approval_above.currency != self.up_to.currency:
            raise wrong("up_to and approval_above are in two currencies; use one", key="approval_above")
        return self


class GoodwillLine(Goodwill):
    """One line of the goodwill table: for these severities and customers."""

    severity: tuple[Severity, ...] = ()  # of any, if empty
    customer_tags: tuple[Name, ...] = ()  # one of them is enough; everybody, if empty

    @cached_property
    def tags(self) -> frozenset[str]:
        """The customer tags in the form in which they are compared."""
        return frozenset(map(fold, self.customer_tags))


class GoodwillTable(Part):
    """What may be offered, by severity and customer value: the first line that fits."""

    version: Name  # shown in each note, so that it is known later by which policy something was granted
    lines: tuple[GoodwillLine, ...] = Field(min_length=1)


class Cause(Part):
    """A reason why customers were let down; *tag* is how agents say so on the ticket."""

    tag: Tag | None = None
    party: Literal["service", "product", "policy", "third_party"] | None = None


class SurveyText(Part):
    """What a customer reads who is asked again, for one brand and language; the most special one is taken."""

    brand: Name | None = None
    language: LanguageTag | None = None  # of the requester; de is also for de-at, if that has none of its own
    sender: Sender | None = None  # of our own mail: Acme Care <care@acme.example>
    subject: Name
    text: SurveyNoteText


class AssignTo(Part):
    """Whom the ticket goes to."""

    assign: PersonName


class Otherwise(Part):
    """What happens when a deadline passes: exactly one of these."""

    remind: Literal["assignee"] | None = None
    assign: PersonName | None = None
    notify: PersonName | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise wrong("write one of: {remind: assignee}, {assign: NAME}, {notify: NAME}")
        return self


class Deadline(Part):
    """Within so much working time until something happened, otherwise this."""

    within: Duration
    until: Literal["acknowledged", "replied", "solved"]
    otherwise: Otherwise


class CheckIn(Part):
    """A task for the owner, so long after the recovery is solved."""

    after: Duration


class Survey(Part):
    """The second question."""

    after: Duration  # from the day the recovery is solved
    answer_within: Duration = timedelta(days=7)
    by: Literal["auto", "helpdesk", "link"] = "auto"
    reopen: Literal["auto", "always", "never"] = "auto"  # solved again at once, so that it closes later
    remind_after: Duration | None = None  # once, if there is no answer
    if_still_bad: AssignTo | None = None


class Playbook(Part):
    """How it is made right."""

    like: str | None = None
    ticket: Literal["reopen", "follow_up", "note_only"] = "reopen"
    archived: Literal["alert", "new_ticket"] = "alert"
    assign_to_first_available: tuple[Rung, ...] = ("original_agent", "same_team")
    priority: Literal["low", "normal", "high", "urgent"] | None = None
    tags: tuple[Tag, ...] = ()
    note: NoteName | None = None
    notify: PersonName | None = None
    goodwill: Goodwill | None = None
    deadlines: tuple[Deadline, ...] = ()
    remind_if_silent: Duration | None = None  # of working time without a word to the customer
    abusive: PersonName | None = None  # who takes over when an agent adds the tag sr_abusive
    check_in: CheckIn | None = None
    survey: Survey | None = None

    @property
    def people(self) -> list[tuple[str, str]]:
        """The people that it names, each with what for: assign, notify or approve."""
        found: list[tuple[str | None, str]] = [(rung, "assign") for rung in self.assign_to_first_available]
        for deadline in self.deadlines:
            found += [(deadline.otherwise.assign, "assign"), (deadline.otherwise.notify, "notify")]
        found.append((self.notify, "notify"))
        found.append((self.abusive, "assign"))
        if self.goodwill:
            found.append((self.goodwill.approved_by, "approve"))
        if self.survey and self.survey.if_still_bad:
            found.append((self.survey.if_still_bad.assign, "assign"))
        return [(name, what) for name, what in found if name]


# ------------------------------------------------------------------ which tickets
class Ignore(Part):
    """Ratings that are left alone."""

    name: Name
    disabled: Name | None = None  # why it is switched off
    when: IgnoreConditions
    unless: Conditions | None = None

    def takes(self, facts: Facts) -> bool:
        """True if it is in force and the facts match it."""
        if self.disabled or not self.when.matches(facts):
            return False
        return self.unless is None or not self.unless.matches(facts)


class Rule(Ignore):
    """Which ratings are recovered, how seriously and by which playbook."""

    when: RuleConditions
    severity: Severity = Severity.NORMAL
    playbook: PlaybookName
    incident: Name | None = None  # its cases are one incident: what leads are told comes as one list


class RulesFile(Part):
    """The whole of rules.yaml."""

    version: Literal[1]
    needs: NeededVersion | None = None
    accounts: dict[Name, Account] = Field(min_length=1)
    settings: Settings = Field(default_factory=Settings)
    limits: Limits = Field(default_factory=Limits)
    people: dict[Name, PersonEntry] = {}
    hours: tuple[OwnHours, ...] = ()
    away: tuple[Away, ...] = ()
    notes: dict[Name, NoteText] = {}
    survey_texts: tuple[SurveyText, ...] = ()
    goodwill: GoodwillTable | None = None
    causes: dict[Name, Cause] = {}
    playbooks: dict[Name, Playbook] = {}
    ignore: tuple[Ignore, ...] = ()
    rules: tuple[Rule, ...] = Field(min_length=1)


def keys_of(part: type[BaseModel]) -> list[str]:
    """Return the keys of a part as they are written."""
    return [info.alias or name for name, info in part.model_fields.items()]


def parts(part: type[Part] = RulesFile, path: str = "") -> Iterator[tuple[str, type[Part]]]:
    """Yield a part of rules.yaml and all parts within it, each with its path; "" is the file itself."""
    yield path, part
    for name, info in part.model_fields.items():
        for inner in _parts_in(info.annotation):
            yield from parts(inner, f"{path}.{info.alias or name}".lstrip("."))


def _parts_in(annotation: Any) -> list[type[Part]]:
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return [annotation]
    return [found for one in get_args(annotation) for found in _parts_in(one)]
