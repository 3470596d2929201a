"""What rules.yaml means: playbooks that are like others, people, absences, names of the helpdesk, and what it needs."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from bridge.connector import Needs
from bridge.model import Agent, Category, Directory, Severity
from bridge.rules import Person, Problem, Rules, check, load

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 3, 9, 10, tzinfo=UTC)
FILE = """\
version: 1
accounts:
  acme: {connector: zendesk, url: http://127.0.0.1:8080/}
playbooks:
  standard: {priority: high}
rules:
  - {name: Low rating, when: {rating: bad}, playbook: standard}
"""


def rules_of(text: str) -> Rules:
    found, problems = check(text)
    assert found is not None, [problem.headline for problem in problems]
    return found


def errors_of(text: str) -> list[Problem]:
    return [problem for problem in check(text)[1] if not problem.is_warning]


@pytest.fixture(scope="module")
def sample() -> Rules:
    return load(ROOT / "rules.yaml")


# ------------------------------------------------------------------ the sample and the defaults
def test_the_sample_means_what_its_comments_say(sample: Rules) -> None:
    assert list(sample.accounts) == ["acme", "shop"]
    assert sample.accounts["shop"].connector == "freshdesk"
    assert (sample.settings.mode, sample.settings.surveys) == ("shadow", "off")
    assert sample.rules[0].name == "Let down again"
    assert sample.rules[0].severity is Severity.CRITICAL
    assert sample.playbooks["standard"].deadlines[1].within == timedelta(hours=2)
    assert sample.playbooks["standard"].deadlines[1].otherwise.assign == "leads"


def test_the_hash_tells_files_apart(sample: Rules) -> None:
    assert len(sample.hash) == 12
    assert rules_of(FILE).hash != rules_of(FILE + "# changed\n").hash == rules_of(FILE + "# changed\n").hash


def test_limits_are_counts_and_money(sample: Rules) -> None:
    limits = sample.limits
    assert limits.surveys_per_customer is not None
    assert limits.goodwill_per_customer is not None

    assert (limits.surveys_per_customer.count, limits.surveys_per_customer.within) == (1, timedelta(days=30))
    assert limits.goodwill_per_customer.money.amount == Decimal(120)
    assert str(limits.goodwill_per_ticket) == "50 EUR"


def test_settings_have_safe_defaults() -> None:
    settings = rules_of(FILE).settings

    assert (settings.mode, settings.surveys, settings.survey_list) == ("shadow", "off", ())
    assert settings.timezone == ZoneInfo("UTC")
    assert (settings.confirm_after, settings.settle) == (timedelta(minutes=15), timedelta(minutes=10))
    assert (settings.absent_after, settings.directory_age) == (timedelta(hours=8), timedelta(hours=1))
    assert (settings.max_open, settings.rate_share) == (5, 0.5)
    assert settings.out_of_office == ("agent_ooo",)


def test_a_playbook_has_safe_defaults() -> None:
    playbook = rules_of(FILE).playbooks["standard"]

    assert (playbook.ticket, playbook.archived) == ("reopen", "alert")
    assert playbook.assign_to_first_available == ("original_agent", "same_team")
    assert (playbook.tags, playbook.note, playbook.notify, playbook.deadlines) == ((), None, None, ())


@pytest.mark.parametrize("share", ["0.25", "25%", '"25 %"'])
def test_a_share_is_a_number_or_a_percentage(share: str) -> None:
    assert rules_of(FILE + f"settings: {{rate_share: {share}}}\n").settings.rate_share == 0.25


@pytest.mark.parametrize("share", ["0", "50", "-1", "150%", "half", "true"])
def test_any_other_share_is_refused(share: str) -> None:
    [problem] = errors_of(FILE + f"settings: {{rate_share: {share}}}\n")

    assert "like 0.5 or 50%" in problem.message


def test_rules_cannot_be_changed_once_loaded(sample: Rules) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        sample.settings.mode = "live"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("ftp://acme.zendesk.com", "write an https address"),
        ("http://10.0.0.1", "write an https address"),
        ("acme.zendesk.com", "this is not an address"),
        ("https://", "this is not an address"),
        ("https://acme.zendesk.com:x", "this is not an address"),
        ("https://acme.zendesk.com/?a=1", "only the host belongs here"),
    ],
)
def test_an_account_has_an_https_address_or_one_on_loopback(url: str, advice: str) -> None:
    assert rules_of(FILE).accounts["acme"].url == "http://127.0.0.1:8080"
    [problem] = errors_of(FILE.replace("http://127.0.0.1:8080/", f'"{url}"'))
    assert advice in problem.message


# ------------------------------------------------------------------ like
def test_a_playbook_takes_whole_keys_from_the_one_it_is_like(sample: Rules) -> None:
    standard, urgent, supervisor = (sample.playbooks[name] for name in ("standard", "urgent", "supervisor"))

    assert (urgent.priority, urgent.note, urgent.tags) == ("urgent", "unhappy", ("csat-recovery",))
    assert urgent.goodwill == standard.goodwill
    assert supervisor.priority == urgent.priority
    assert len({standard.deadlines, urgent.deadlines, supervisor.deadlines}) == 3
    assert supervisor.assign_to_first_available == ("supervisors",)
    assert supervisor.survey == standard.survey


def test_the_order_of_playbooks_in_the_file_does_not_matter() -> None:
    text = FILE.replace("playbooks:\n", "playbooks:\n  first: {like: second}\n  second: {like: standard, tags: [a]}\n")

    first = rules_of(text).playbooks["first"]

    assert (first.priority, first.tags) == ("high", ("a",))


@pytest.mark.parametrize("like", ["standard", "b"])
def test_a_circle_of_likes_is_refused(like: str) -> None:
    books = f"  standard: {{like: {like}}}\n  b: {{like: standard}}\n  c: {{like: b}}\n"

    problems = errors_of(FILE.replace("  standard: {priority: high}\n", books))

    assert all("is like itself" in problem.message for problem in problems)
    assert len(problems) == (1 if like == "standard" else 2)


# ------------------------------------------------------------------ people and absences
PEOPLE = """\
people:
  leads:
    group: Team Leads
    notify: "#leads"
    per_group: {Sales: {agent: sam@example.com}}
    per_brand: {Acme Pro: {group: Pro Leads, notify: pro@example.com}}
    per_reason: {Product defect: {notify: "https://hooks.example.com/x"}}
"""


def test_a_person_is_the_plain_entry_unless_group_brand_or_reason_say_otherwise() -> None:
    person = rules_of(FILE + PEOPLE).person

    assert person("leads") == Person("leads", group="Team Leads", notify="#leads")
    assert person("leads", group="SALES") == Person("leads", agent="sam@example.com", notify="#leads")
    assert person("leads", group="Sales", brand="acme pro") == Person(
        "leads", group="Pro Leads", notify="pro@example.com"
    )
    assert person("leads", brand="Acme Pro", reason="Product defect") == Person(
        "leads", group="Pro Leads", notify="https://hooks.example.com/x"
    )


@pytest.mark.parametrize(
    ("entry", "advice"),
    [
        ("{group: A, agent: a@example.com}", "write group or agent, not both"),
        ("{}", "nobody is named here"),
        ("{notify: somebody}", "cannot be notified"),
        ("{notify: http://hooks.example.com}", "write an https address"),
        ("{agent: Ana}", "not an e-mail address"),
        ("{group: A, per_grup: {}}", 'did you mean "per_group"?'),
        ("{group: A, per_brand: {X: {}}}", "nobody is named here"),
    ],
)
def test_a_person_is_a_group_or_an_agent_and_can_be_told(entry: str, advice: str) -> None:
    [problem] = errors_of(FILE + f"people:\n  leads: {entry}\n")

    assert advice in problem.message


def test_an_agent_is_away_on_the_listed_days_both_included(sample: Rules) -> None:
    berlin = ZoneInfo("Europe/Berlin")

    assert sample.is_away("ANA@example.com", datetime(2026, 12, 20, 0, 0, tzinfo=berlin)) == (
        "away from 2026-12-20 to 2027-01-06"
    )
    assert sample.is_away("ana@example.com", datetime(2027, 1, 6, 23, 59, tzinfo=berlin))
    assert sample.is_away("ana@example.com", datetime(2027, 1, 7, tzinfo=berlin)) is None
    assert sample.is_away("ana@example.com", datetime(2026, 12, 19, 22, 30, tzinfo=UTC)) is None
    assert sample.is_away("ben@example.com", datetime(2026, 12, 24, tzinfo=berlin)) is None


# ------------------------------------------------------------------ hours
def test_the_calendar_of_the_sample_follows_its_settings(sample: Rules) -> None:
    calendar = sample.calendar()

    assert calendar.timezone == ZoneInfo("Europe/Berlin")
    assert calendar.weekly[0] == ((time(9), time(18)),)
    assert calendar.weekly[5] == ((time(10), time(14)),)
    assert calendar.weekly[6] == ()
    assert calendar.quiet == (time(21), time(8))
    assert date(2026, 5, 1) in calendar.holidays


def test_without_working_hours_the_calendar_is_always_open() -> None:
    assert rules_of(FILE).calendar().is_open(datetime(2026, 3, 8, 3, tzinfo=UTC))


def test_hours_may_have_a_break_and_go_past_midnight() -> None:
    text = "settings: {working_hours: {fri-sat: '09:00-12:00, 22:00-02:00', mon: 00:00-24:00}}\n"

    weekly = rules_of(FILE + text).settings.working_hours

    assert weekly[0] == ((time(), time()),)
    assert weekly[4] == ((time(9), time(12)), (time(22), time()))
    assert weekly[5] == ((time(), time(2)), (time(9), time(12)), (time(22), time()))
    assert weekly[6] == ((time(), time(2)),)


@pytest.mark.parametrize(
    ("hours", "advice"),
    [
        ("{}", "no day is ever open"),
        ("{mon: 09:00-12:00, mon-tue: 11:00-13:00}", "the hours of mon overlap"),
        ("{mon: 22:00-02:00, tue: 01:00-03:00}", "the hours of tue overlap"),
        ("{mon: 09:00-09:00}", "for the whole day write 00:00-24:00"),
        ("{monday: 09:00-10:00}", 'did you mean "mon"?'),
        ("{mon: 25:00-26:00}", "not a time of day"),
        ("09:00-18:00", "days with hours are wanted here"),
    ],
)
def test_hours_that_make_no_sense_are_refused(hours: str, advice: str) -> None:
    [problem] = errors_of(FILE + f"settings: {{working_hours: {hours}}}\n")

    assert advice in problem.message


def test_holidays_may_be_a_list_of_dates() -> None:
    rules = rules_of(FILE + "settings: {holidays: [2026-12-24, 2026-12-31]}\n")

    assert rules.settings.holidays == {date(2026, 12, 24), date(2026, 12, 31)}


# ------------------------------------------------------------------ names of the helpdesk
NAMES = """\
version: 1
accounts:
  acme: {connector: zendesk, url: https://acme.zendesk.com}
people:
  leads: {group: Team Leads, per_group: {Sales: {agent: sam@example.com}}, notify: a@example.com}
away:
  - {agent: ana@example.com, from: 2026-12-20, to: 2027-01-06}
playbooks:
  standard: {assign_to_first_available: [leads]}
ignore:
  - {name: I, when: {group: {none_of: [Support]}}}
rules:
  - {name: A, when: {rating: bad, any: [{group: Billing}, {group: [Tech]}]}, playbook: standard}
  - {name: B, when: {rating: bad}, unless: {group: Legal}, playbook: standard}
"""


def test_every_group_and_agent_of_the_file_is_listed_with_its_place() -> None:
    found = {(kind, name): (line, column) for kind, name, line, column in rules_of(NAMES).names()}

    assert set(found) == {
        *(("group", name) for name in ("Team Leads", "Sales", "Support", "Billing", "Tech", "Legal")),
        *(("agent", name) for name in ("ana@example.com", "sam@example.com")),
    }
    lines = NAMES.splitlines()
    assert all(lines[line - 1][column - 1 :].startswith(name) for (_, name), (line, column) in found.items())


def directory(*groups: str, agents: tuple[str, ...] = ()) -> Directory:
    people = {mail: Agent(mail, mail, email=mail) for mail in agents}
    return Directory(NOW, people, dict(enumerate_ids(groups)))


def enumerate_ids(names: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(f"g{number}", name) for number, name in enumerate(names)]


def test_names_that_no_account_knows_are_problems_with_suggestions() -> None:
    acme = directory("team leads", "Sales", "Suport", agents=("ANA@example.com",))
    shop = directory("Billing", "Tech", "Legal", agents=("sem@example.com",))

    problems = rules_of(NAMES).unknown_names({"acme": acme, "shop": shop})

    assert [(problem.line, problem.suggestion) for problem in problems] == [(5, "sem@example.com"), (11, "Suport")]
    assert 'unknown group of the helpdesk "Support", did you mean "Suport"?' in str(problems[1])


def test_without_a_directory_no_name_is_doubted() -> None:
    assert rules_of(NAMES).unknown_names({}) == []


# ------------------------------------------------------------------ what the rules need
def test_rules_need_only_what_they_ask_for() -> None:
    assert rules_of(FILE).needs() == Needs(categories=frozenset({Category.BAD}))


@pytest.mark.parametrize(
    ("when", "needs"),
    [
        ("{rating: [bad, neutral], customer_tags: {has_any: [Vip, gold]}}", Needs(frozenset({"vip", "gold"}))),
        ("{rating: bad, organization_tags: {has_none: [trial]}}", Needs(frozenset({"trial"}))),
        ("{rating: bad, language: de}", Needs(language=True)),
        ("{rating: bad, comment: {mentions: {de: [geld]}}}", Needs(language=True)),
        ("{rating: bad, comment: {mentions: [geld]}}", Needs()),
    ],
)
def test_customer_tags_and_language_are_needed_if_any_condition_names_them(when: str, needs: Needs) -> None:
    found = rules_of(FILE.replace("{rating: bad}", when)).needs()

    assert (found.customer_tags, found.language) == (needs.customer_tags, needs.language)


@pytest.mark.parametrize(
    ("when", "categories"),
    [
        ("{rating: [bad, neutral]}", "bad neutral"),
        ("{rating: {none_of: [bad]}}", "good neutral"),
        ("{rating: {at_most: 2}}", "bad good neutral"),
        ("{tags: {has: x}}", "bad good neutral"),
        ("{any: [{rating: bad}, {rating: good}]}", "bad good"),
    ],
)
def test_all_categories_that_a_rule_could_match_are_needed(when: str, categories: str) -> None:
    found = rules_of(FILE.replace("{rating: bad}", when)).needs().categories

    assert " ".join(sorted(found)) == categories
