"""The reference of rules.yaml: one text and one example for each key, condition and word; editors, `fields` and README
all take theirs from here. Texts of conditions stand in `fields`, those of placeholders in `notes`.

Each example is the value of its key as it is written in the file; the tests load every one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, get_origin
from zoneinfo import ZoneInfo

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from bridge.hours import ALL_DAY, show_duration
from bridge.rules.fields import FIELDS
from bridge.rules.notes import PLACEHOLDERS, SURVEY_PLACEHOLDERS
from bridge.rules.schema import Part, parts
from bridge.rules.values import CountWithin

Said = tuple[str, str]  # what it means, and an example of its value

KEYS: Mapping[str, Said] = {  # by the class that defines it
    "RulesFile.version": ("the version of this language", "1"),
    "RulesFile.needs": ("the oldest program that understands the file", '"1.0"'),
    "RulesFile.accounts": (
        "your helpdesks, each by a name of yours",
        "{acme: {connector: zendesk, url: https://acme.zendesk.com}}",
    ),
    "RulesFile.settings": ("how the bridge behaves as a whole", "{mode: shadow, timezone: Europe/Berlin}"),
    "RulesFile.limits": ("what holds for new recoveries, whatever a rule says", "{tickets_per_hour: 50}"),
    "RulesFile.people": (
        "names used below, and who they are in the helpdesk",
        '{leads: {group: Team Leads, notify: "#recovery-leads"}}',
    ),
    "RulesFile.hours": (
        "who works at other hours than the settings say",
        "[{group: Team Leads, working_hours: {mon-sat: 08:00-20:00}}]",
    ),
    "RulesFile.away": (
        "who is away, besides what the helpdesk knows",
        "[{agent: ana@example.com, from: 2026-12-20, to: 2027-01-06}]",
    ),
    "RulesFile.notes": (
        "private notes that agents read, by name, with `{field|what to write if there is none}` filled in",
        "{unhappy: 'Please reply to {customer_first_name|the customer} by {reply_by}.'}",
    ),
    "RulesFile.survey_texts": (
        "what customers read who are asked again: the one for their brand and language, else the one for all",
        "[{subject: Is it right now?, text: 'Please tell us until {answer_by}. {link}'}]",
    ),
    "RulesFile.goodwill": (
        "what agents may offer: the first line that fits",
        '{version: "2026-03", lines: [{up_to: 20 EUR}]}',
    ),
    "RulesFile.causes": ("why customers are let down, by name", "{Too slow: {tag: cause-slow, party: service}}"),
    "RulesFile.playbooks": ("what happens, by name", "{standard: {priority: high}}"),
    "RulesFile.ignore": (
        "which ratings are left alone, looked at before the rules",
        "[{name: Spam, when: {tags: {has: spam}}}]",
    ),
    "RulesFile.rules": (
        "which ratings are recovered, from top to bottom: the first match wins",
        "[{name: Low rating, when: {rating: bad}, playbook: standard}]",
    ),
    "Account.connector": ("zendesk or freshdesk", "zendesk"),
    "Account.url": ("the address of the helpdesk, the host alone", "https://acme.zendesk.com"),
    "Account.asks_on_solve": ("true if the helpdesk sends its own survey at every solution", "true"),
    "Settings.mode": ("shadow decides and writes it down, live acts", "live"),
    "Settings.surveys": ("who may be asked again: off, listed or everyone", "everyone"),
    "Settings.survey_list": ("the addresses that `surveys: listed` asks", "[test@example.com]"),
    "Settings.survey_mail": ("who brings our words to customers: helpdesk or smtp", "smtp"),
    "Settings.survey_page": ("where our own question is answered, once it is served", "https://recovery.example.com"),
    "Settings.served_at": (
        "where helpdesks and staff find `serve`, the host alone: for webhooks and links",
        "https://recovery.example.com",
    ),
    "Settings.allow_rerating": ("a second rating in the helpdesk may overwrite the first", "true"),
    "Settings.confidential": ("no names of customers in notes and messages", "true"),
    "Settings.ticket_fields": (
        "fields of yours that agents fill: a Zendesk id, or a Freshdesk name (cf_...)",
        "{cause: cf_cause}",
    ),
    "Settings.timezone": ("the time zone of all times here", "Europe/Berlin"),
    "Settings.working_hours": (
        "when people work, by day",
        '{mon-fri: "09:00-12:30, 13:30-18:00", sat: 10:00-14:00}',
    ),
    "Settings.holidays": ("a country or region, or a list of dates", "DE-BE"),
    "Settings.quiet_hours": ("when nobody is messaged", "21:00-08:00"),
    "Settings.daily_report": ("a message a day that says what was done", '{to: leads, at: "08:30"}'),
    "Settings.confirm_after": ("how long a bad rating without a word is doubted", "15m"),
    "Settings.max_open": ("how many recoveries an agent has at most before a colleague gets the next", "3"),
    "Settings.absent_after": ("working time without presence that counts as absence", "8h"),
    "Settings.settle": ("the wait before a write of unknown fate is repeated", "10m"),
    "Settings.rate_share": ("our share of the helpdesk's rate limit", "25%"),
    "Settings.directory_age": ("how long groups and agents are remembered", "1h"),
    "Settings.out_of_office": ("tags or user fields of agents that mean absent", "[agent_ooo]"),
    "DailyReport.to": ("who gets it: a name of people", "leads"),
    "DailyReport.at": ("when, in the time zone of the settings", "08:30"),
    "TicketFields.cause": ("where agents say why", "360001234567"),
    "TicketFields.remedy": ("where agents say what was done", "cf_remedy"),
    "TicketFields.promised_by": ("a date: until when something was promised", "cf_promised_by"),
    "Limits.tickets_per_hour": ("new recoveries of an account in an hour: more of them wait, and a lead is told", "50"),
    "Limits.tickets_per_day": ("the same in a day", "200"),
    "Limits.share_of_rated": ("the share of a day's ratings, counted from 30", "50%"),
    "Limits.writes_per_ticket_per_day": ("our writes to one ticket in a day", "6"),
    "Limits.recoveries_per_ticket": ("recoveries of one ticket, ever", "2"),
    "Limits.recoveries_per_customer": ("recoveries of one customer in so long", "4 in 90d"),
    "Limits.give_up_after": ("when a case ends that is not solved", "30d"),
    "Limits.surveys_per_customer": ("how often one customer is asked again, in so long", "1 in 30d"),
    "Limits.goodwill_per_ticket": ("the most for one ticket", "50 EUR"),
    "Limits.goodwill_per_customer": ("the most for one customer, in so long", "120 EUR in 90d"),
    "PersonVariant.group": ("the group that tickets are assigned to", "Team Leads"),
    "PersonVariant.agent": ("the agent that tickets are assigned to", "ana@example.com"),
    "PersonVariant.notify": (
        'where they are told: an e-mail address, "#channel" or https address',
        '"#recovery-leads"',
    ),
    "PersonEntry.digest": ("messages of low and normal severity wait for this time of day", "16:00"),
    "PersonEntry.per_group": ("who else it is for tickets of a group", "{Sales: {group: Sales Leads}}"),
    "PersonEntry.per_brand": ("the same for a brand", '{Acme Pro: {notify: "#pro"}}'),
    "PersonEntry.per_reason": ("the same for the reason that the customer picked", "{Too slow: {group: Dispatch}}"),
    "OwnHours.account": ("whose hours these are: an account", "acme"),
    "OwnHours.group": ("or a group", "Team Leads"),
    "OwnHours.agent": ("or an agent", "ana@example.com"),
    "OwnHours.timezone": ("as in `settings`, where it differs", "America/New_York"),
    "OwnHours.working_hours": ("as in `settings`, where it differs", "{mon-sat: 08:00-20:00}"),
    "OwnHours.holidays": ("as in `settings`, where it differs", "[2026-12-24, 2026-12-31]"),
    "OwnHours.quiet_hours": ("as in `settings`, where it differs", "22:00-07:00"),
    "Away.agent": ("who is away", "ana@example.com"),
    "Away.from": ("the first day", "2026-12-20"),
    "Away.to": ("the last day", "2027-01-06"),
    "Goodwill.up_to": ("the most that may be offered", "50 EUR"),
    "Goodwill.approval_above": ("from which amount on somebody must agree", "20 EUR"),
    "Goodwill.approved_by": ("who agrees: a name of people", "leads"),
    "GoodwillLine.severity": ("for cases of these severities", "[high, critical]"),
    "GoodwillLine.customer_tags": ("for customers with one of these tags", "[vip, enterprise]"),
    "GoodwillTable.version": ("which table it is, shown in notes as `{goodwill_policy}`", '"2026-03"'),
    "GoodwillTable.lines": ("the first line that fits counts", "[{up_to: 20 EUR}]"),
    "Cause.tag": ("the tag by which agents say it", "cause-slow"),
    "Cause.party": ("whose fault it is: service, product, policy or third_party", "product"),
    "SurveyText.brand": ("for customers of this brand", "Acme Pro"),
    "SurveyText.language": ("for customers of this language (de is also for de-at)", "de"),
    "SurveyText.sender": ("the sender of our own mail", "Acme Care <care@acme.example>"),
    "SurveyText.subject": ("the subject of our own mail", "Did we make it right?"),
    "SurveyText.text": ("the question", "'Is it right now? Please tell us until {answer_by}. {link}'"),
    "Playbook.like": ("takes every key from that playbook that does not stand here", "standard"),
    "Playbook.ticket": ("reopen, follow_up (a linked ticket) or note_only", "follow_up"),
    "Playbook.archived": ("what becomes of one that nobody can write to any more: alert or new_ticket", "new_ticket"),
    "Playbook.assign_to_first_available": (
        "who gets it: original_agent, same_team or names of people",
        "[original_agent, same_team, leads]",
    ),
    "Playbook.priority": ("the ticket's new priority: low, normal, high or urgent", "high"),
    "Playbook.tags": ("tags that the ticket gets", "[csat-recovery]"),
    "Playbook.note": ("the private note: a name of notes", "unhappy"),
    "Playbook.notify": ("who hears of each case: a name of people", "leads"),
    "Playbook.goodwill": ("what may be offered, instead of the table", "{up_to: 20 EUR}"),
    "Playbook.deadlines": (
        "what happens if nothing happens, in working time",
        "[{within: 30m, until: acknowledged, otherwise: {remind: assignee}}]",
    ),
    "Playbook.remind_if_silent": ("working time without a word to the customer, then the owner is reminded", "8h"),
    "Playbook.abusive": ("who takes over when an agent adds the tag sr_abusive", "leads"),
    "Playbook.check_in": ("a task for the owner: does the solution hold?", "{after: 1d}"),
    "Playbook.survey": ("asks the customer again", "{after: 2d, answer_within: 7d}"),
    "Deadline.within": ("the working time that there is", "2h"),
    "Deadline.until": ("what ends it: acknowledged, replied or solved", "replied"),
    "Deadline.otherwise": ("what happens else", "{assign: leads}"),
    "Otherwise.remind": ("reminds the assignee in a private note", "assignee"),
    "Otherwise.assign": ("gives the case to this person", "leads"),
    "Otherwise.notify": ("tells this person", "leads"),
    "CheckIn.after": ("the time after the solution", "1d"),
    "Survey.after": ("the time after the solution", "2d"),
    "Survey.answer_within": ("how long an answer is waited for", "7d"),
    "Survey.by": ("auto, helpdesk (its own survey) or link (our question)", "helpdesk"),
    "Survey.reopen": ("auto, always or never solves the ticket once more, so that it closes later", "never"),
    "Survey.remind_after": ("one reminder, if there is no answer", "3d"),
    "Survey.if_still_bad": ("one further attempt by somebody else", "{assign: leads}"),
    "AssignTo.assign": ("who gets the case: a name of people", "leads"),
    "Ignore.name": ("how reports call it", "Angry VIP"),
    "Ignore.disabled": ("why it is switched off: with this it matches nothing", "The outage is over"),
    "Ignore.when": ("conditions that must all hold", "{rating: bad, tags: {has: vip}}"),
    "Ignore.unless": ("conditions that take out again what they all hold for", "{channel: chat}"),
    "Rule.severity": ("low, normal, high or critical", "high"),
    "Rule.playbook": ("what happens: a name of playbooks", "standard"),
    "Rule.incident": ("its cases are one incident: what leads are told comes as one list", "Outage in March"),
}

WORDS: Mapping[str, Said] = {  # of conditions; the example is a whole condition
    "any_of": ("is one of these", "reason: {any_of: [Too slow, Rude]}"),
    "none_of": ("is none of these; what is not known does not match", "channel: {none_of: [chat]}"),
    "at_least": ("is this number or more", "bad_ratings_90d: {at_least: 3}"),
    "at_most": ("is this number or less", "rating: {at_most: 2}"),
    "older_than": ("was longer ago", "rated: {older_than: 14d}"),
    "newer_than": ("was less long ago", "rated: {newer_than: 2d}"),
    "has": ("has this tag", "tags: {has: vip}"),
    "has_any": ("has one of these tags", "tags: {has_any: [vip, enterprise]}"),
    "has_all": ("has all these tags", "tags: {has_all: [vip, churn-risk]}"),
    "has_none": ("has none of these tags", "tags: {has_none: [internal]}"),
    "present": ("there is a comment, or with false there is none", "comment: {present: true}"),
    "mentions": (
        "one of these words or phrases stands in it, whole and in any letter case; lists per language are possible",
        "comment: {mentions: {en: [refund], de: [Anwalt, kündigen]}}",
    ),
    "any": ("one of these blocks is enough", "any: [{tags: {has: churn-risk}}, {comment: {mentions: [refund]}}]"),
}
RUNGS: Mapping[str, str] = {
    "original_agent": "who held the ticket when it was rated",
    "same_team": "the member of that agent's group with the fewest open recoveries",
}


@dataclass(frozen=True)
class Entry:
    """One thing that can be written into rules.yaml."""

    kind: str  # key, condition, word, rung or placeholder
    name: str
    path: str  # the part that it stands in
    means: str
    example: str  # as it would be written
    default: str | None = None

    @property
    def place(self) -> str:
        """Where it stands, as `fields` takes it: playbooks.survey.after."""
        return f"{self.path}.{self.name}".lstrip(".")

    def as_dict(self) -> dict[str, Any]:
        """Return the entry for `--json`."""
        return {"name": self.place, **{key: getattr(self, key) for key in ("kind", "means", "example", "default")}}


def entries() -> list[Entry]:
    """Return everything that can be written into rules.yaml: keys part by part, then conditions and their words."""
    found = [entry for path, part in parts() for entry in _keys(path, part)]
    found += [Entry("condition", name, "when", one.help, f"{name}: {one.example}") for name, one in FIELDS.items()]
    found += [Entry("word", name, "when", means, example) for name, (means, example) in WORDS.items()]
    found += [
        Entry("rung", name, "assign_to_first_available", means, f"assign_to_first_available: [{name}, leads]")
        for name, means in RUNGS.items()
    ]
    for path, placeholders in (("notes", PLACEHOLDERS), ("survey_texts", SURVEY_PLACEHOLDERS)):
        found += [Entry("placeholder", name, path, means, f"{{{name}|none}}") for name, means in placeholders.items()]
    return found


def _keys(path: str, part: type[Part]) -> Iterator[Entry]:
    for name, info in part.model_fields.items():
        key = info.alias or name
        means, example = said(part, key)
        yield Entry("key", key, path, means, f"{key}: {example}", _default(info))


def said(part: type[BaseModel], key: str) -> Said:
    """Return what a key of a part means, and an example of its value."""
    names = (f"{owner.__name__}.{key}" for owner in part.__mro__)
    return KEYS[next((name for name in names if name in KEYS), f"{part.__name__}.{key}")]


def _default(info: FieldInfo) -> str | None:
    """Return the value that counts where a key is not written, or None if there is none worth naming."""
    value = None if info.is_required() else info.get_default(call_default_factory=True)
    written: list[tuple[type | tuple[type, ...], Callable[[Any], str]]] = [
        (bool, lambda one: str(one).lower()),
        (timedelta, show_duration),
        (CountWithin, lambda one: f"{one.count} in {show_duration(one.within)}"),
        (float, "{:.0%}".format),
        (tuple, lambda one: "always" if one == (ALL_DAY,) * 7 else ", ".join(one)),
        ((str, int, ZoneInfo), str),
    ]
    return next((write(value) or None for kind, write in written if isinstance(value, kind)), None)


def named(name: str) -> list[Entry]:
    """Return the entries that a name stands for: the last word, or the place of one, in any letter case."""
    wanted = name.strip().casefold().strip("{}")
    return [one for one in entries() if wanted in (one.name, one.place, one.path) or one.place.endswith(f".{wanted}")]


# ------------------------------------------------------------------ for the README
def markdown() -> Mapping[str, str]:
    """Return the tables of the README, by the name of their place in it."""
    return {"conditions": _conditions(), "keys": _key_table()}


def _conditions() -> str:
    rows = [f"| `{name}` | {one.help} | {_code(f'{name}: {one.example}')} |" for name, one in FIELDS.items()]
    rows += [f"| `{name}` | {means} | {_code(example)} |" for name, (means, example) in WORDS.items()]
    return "\n".join(["| condition | means | for example |", "|---|---|---|", *rows])


def _key_table() -> str:
    rows = ["| part | keys |", "|---|---|"]
    done: dict[str, list[str]] = {}  # what is said of a part -> its paths
    for path, part in parts():
        keys = "; ".join(map(_in_short, _keys(path, part))) + _placeholders(path, SURVEY_PLACEHOLDERS, "survey_texts")
        done.setdefault(_by_name(path) + keys.replace("|", "\\|"), []).append(f"`{path or 'rules.yaml'}`")
    done["by name, the text" + _placeholders("notes", PLACEHOLDERS, "notes")] = ["`notes`"]
    return "\n".join([*rows, *(f"| {', '.join(paths)} | {keys} |" for keys, paths in done.items())])


def _in_short(entry: Entry) -> str:
    return f"`{entry.name}` {entry.means}" + (f" ({entry.default})" if entry.default else "")


def _placeholders(path: str, placeholders: Mapping[str, str], wanted: str) -> str:
    names = ", ".join(f"`{{{name}}}`" for name in placeholders)
    return f", with the placeholders {names}" if path == wanted else ""


def _by_name(path: str) -> str:
    """Return how the row of a part begins whose entries have names of their own."""
    above = dict(parts()).get(path.rpartition(".")[0])
    info = above.model_fields.get(path.rpartition(".")[2]) if above and path else None
    return "by name: " if info and get_origin(info.annotation) is dict else ""


def _code(example: str) -> str:
    return f"`{example}`".replace("|", "\\|")
