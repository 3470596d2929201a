"""What rules.yaml means: playbooks that are like others, people, absences, names of the helpdesk, and what it needs."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from bridge.connector import Needs
from bridge.errors import RulesError
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
    assert [rule.severity for rule in sample.rules if rule.name == "Let down again"] == [Severity.CRITICAL]
    assert sample.playbooks["standard"].deadlines[1].within == timedelta(hours=2)
    assert sample.playbooks["standard"].deadlines[1].otherwise.assign == "leads"


def test_the_made_up_company_has_the_shipped_rules_live() -> None:
    company = (ROOT / "connectors/sandbox/company_rules.yaml").read_text(encoding="utf-8")
    company = company.replace("ZENDESK_URL", "https://acme.zendesk.com").replace("FRESHDESK_URL", "http://127.0.0.1")
    shipped, live = load(ROOT / "rules.yaml"), rules_of(company)

    assert (live.settings.mode, live.settings.surveys, live.settings.survey_mail) == ("live", "everyone", "helpdesk")
    assert live.playbooks == shipped.playbooks
    assert (live.rules, live.ignore, live.limits) == (shipped.rules, shipped.ignore, shipped.limits)
    assert (live.goodwill, live.causes, live.survey_texts) == (shipped.goodwill, shipped.causes, shipped.survey_texts)


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


def test_the_survey_page_may_stand_below_a_path() -> None:
    below = rules_of(FILE + "settings: {survey_page: https://acme.example/recovery/}\n").settings
    [asked] = errors_of(FILE + 'settings: {survey_page: "https://acme.example/?a=1"}\n')

    assert below.survey_page == "https://acme.example/recovery"
    assert "paths are added to this address" in asked.message


def test_serve_has_a_host_of_its_own() -> None:
    [below] = errors_of(FILE + "settings: {served_at: https://acme.example/recovery/}\n")
    [plain] = errors_of(FILE + "settings: {served_at: http://acme.example}\n")

    assert "only the host belongs here: https://acme.example" in below.message
    assert "write an https address" in plain.message


def test_webhooks_of_an_account_come_in_below_the_address_at_which_we_are_served() -> None:
    served = rules_of(FILE + "settings: {served_at: http://127.0.0.1:8080}\n")

    assert served.settings.hooks_at("acme") == "http://127.0.0.1:8080/hooks/acme"
    assert rules_of(FILE).settings.hooks_at("acme") is None


# ------------------------------------------------------------------ like
def test_a_playbook_takes_whole_keys_from_the_one_it_is_like(sample: Rules) -> None:
    standard, urgent, supervisor = (sample.playbooks[name] for name in ("standard", "urgent", "supervisor"))

    assert (urgent.priority, urgent.note, urgent.tags) == ("urgent", "unhappy", ("csat-recovery",))
    assert urgent.survey == standard.survey
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
        ("{monday: 09:00-10:00}", "write mon"),
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


OWN_HOURS = """\
settings: {timezone: Europe/Berlin, working_hours: {mon-fri: 09:00-18:00}, holidays: DE, quiet_hours: 21:00-08:00}
hours:
  - {account: acme, timezone: Europe/London, quiet_hours: 22:00-07:00}
  - {group: Night Shift, working_hours: {mon-sun: 22:00-06:00}, holidays: []}
  - {agent: Ana@example.com, timezone: Asia/Manila}
"""


@pytest.mark.parametrize(
    ("whose", "zone", "opens", "quiet"),
    [
        ({}, "Europe/Berlin", 9, 21),
        ({"account": "shop", "group": "Care", "agent": "cem@example.com"}, "Europe/Berlin", 9, 21),
        ({"account": "acme"}, "Europe/London", 9, 22),
        ({"account": "acme", "group": "night  shift"}, "Europe/London", 0, 22),
        ({"group": "Night Shift", "agent": "ana@EXAMPLE.com"}, "Asia/Manila", 0, 21),
        ({"account": "acme", "group": "Night Shift", "agent": "ana@example.com"}, "Asia/Manila", 0, 22),
    ],
)
def test_hours_of_an_agent_win_over_those_of_the_group_and_the_account(
    whose: dict[str, str], zone: str, opens: int, quiet: int
) -> None:
    calendar = rules_of(FILE + OWN_HOURS).calendar(**whose)

    assert (calendar.timezone, calendar.quiet and calendar.quiet[0]) == (ZoneInfo(zone), time(quiet))
    assert calendar.weekly[0][0][0] == time(opens)
    assert (date(2026, 12, 25) in calendar.holidays) is (opens == 9)


def test_the_same_hours_are_the_same_object_and_public_holidays_are_shared() -> None:
    rules = rules_of(FILE + OWN_HOURS)

    assert rules.calendar(agent="ana@example.com") is rules.calendar("shop", "Care", "ANA@example.com")
    assert rules.calendar() is rules.calendar("shop", "Care", "cem@example.com")
    assert rules.calendar("acme").holidays is rules.calendar().holidays


def test_without_hours_of_anybody_there_is_one_calendar() -> None:
    rules = rules_of(FILE)

    assert rules.calendar("acme", "Care", "ana@example.com") is rules.calendar()


def test_an_agent_is_away_on_days_of_their_own_time_zone() -> None:
    away = "away:\n  - {agent: ana@example.com, from: 2026-03-10, to: 2026-03-10}\n"
    rules = rules_of(FILE + OWN_HOURS + away)

    assert rules.is_away("ana@example.com", datetime(2026, 3, 9, 17, tzinfo=UTC))  # 01:00 of the next day in Manila
    assert rules.is_away("ana@example.com", datetime(2026, 3, 10, 17, tzinfo=UTC)) is None


# ------------------------------------------------------------------ goodwill, causes, words to customers
GOODWILL = """\
people: {leads: {group: Leads, notify: leads@example.com}}
goodwill:
  version: "7"
  lines:
    - {severity: [critical], up_to: 50 EUR, approval_above: 0 EUR, approved_by: leads}
    - {customer_tags: [VIP, gold], up_to: 40 EUR}
    - {severity: [normal, high], up_to: 20 EUR}
"""


@pytest.mark.parametrize(
    ("severity", "customer_tags", "up_to"),
    [
        (Severity.CRITICAL, {"vip"}, "50 EUR"),
        (Severity.NORMAL, {"a", "vip"}, "40 EUR"),
        (Severity.LOW, {"Gold"}, "40 EUR"),
        (Severity.NORMAL, {"a"}, "20 EUR"),
        (Severity.HIGH, (), "20 EUR"),
        (Severity.LOW, (), "None"),
    ],
)
def test_the_first_line_of_the_table_that_fits_says_what_may_be_offered(
    severity: Severity, customer_tags: set[str], up_to: str
) -> None:
    rules = rules_of(FILE + GOODWILL)
    found = rules.goodwill_for(rules.playbooks["standard"], severity, customer_tags)

    assert str(found and found.up_to) == up_to


def test_the_goodwill_of_a_playbook_wins_over_the_table_even_if_it_comes_from_the_one_it_is_like() -> None:
    books = "playbooks:\n  like: {like: own}\n  own: {goodwill: {up_to: 5 EUR}}\n"
    text = FILE.replace("playbooks:\n", books).replace("playbook: standard", "playbook: like")

    for rules in (rules_of(text), rules_of(text + GOODWILL)):
        found = rules.goodwill_for(rules.playbooks["like"], Severity.CRITICAL, {"vip"})
        assert str(found and found.up_to) == "5 EUR"


def test_without_a_table_nothing_may_be_offered_and_there_is_no_policy() -> None:
    rules = rules_of(FILE)

    assert rules.goodwill_for(rules.playbooks["standard"], Severity.CRITICAL, ()) is None
    assert rules.goodwill_policy is None
    assert rules_of(FILE + GOODWILL).goodwill_policy == "7"


CAUSES = """\
causes:
  Too slow: {tag: cause-slow, party: service}
  Defect: {tag: Cause-Defect, party: product}
  Carrier: {party: third_party}
"""


@pytest.mark.parametrize(
    ("tags", "field", "cause", "party"),
    [
        ((), "Too slow", "Too slow", "service"),
        ((), " too  SLOW", "Too slow", "service"),
        ((), "cause-defect", "Defect", "product"),
        (("cause-slow",), "carrier", "Carrier", "third_party"),
        (("x", "CAUSE-DEFECT"), None, "Defect", "product"),
        (("cause-defect", "cause-slow"), "", "Too slow", "service"),
        (("cause-slow",), "something else", "Too slow", "service"),
        ((), "something else", None, None),
        (("carrier",), " ", None, None),
    ],
)
def test_the_cause_is_what_the_field_says_else_the_first_whose_tag_is_on_the_ticket(
    tags: tuple[str, ...], field: str | None, cause: str | None, party: str | None
) -> None:
    rules = rules_of(FILE + CAUSES)

    assert rules.cause_of(tags, field) == cause
    assert rules.party_of(cause) == party


def test_without_causes_in_the_file_the_field_is_taken_as_it_is() -> None:
    rules = rules_of(FILE)

    assert (rules.cause_of(("cause-slow",), "Late parcel"), rules.party_of("Late parcel")) == ("Late parcel", None)
    assert (rules.cause_of(("cause-slow",), None), rules.cause_of((), "")) == (None, None)


TEXTS = """\
survey_texts:
  - {brand: Acme Pro, language: de-AT, subject: Pro de-at, text: x}
  - {brand: Acme Pro, language: de, subject: Pro de, text: x}
  - {brand: acme pro, subject: Pro, text: x}
  - {language: zh_hant, subject: zh-hant, text: x}
  - {language: de, subject: de, text: x}
  - {subject: all, text: x}
"""


@pytest.mark.parametrize(
    ("brand", "language", "subject"),
    [
        ("Acme Pro", "de-at", "Pro de-at"),
        ("ACME  PRO", "de_AT", "Pro de-at"),
        ("Acme Pro", "de-ch", "Pro de"),
        ("Acme Pro", "DE", "Pro de"),
        ("Acme Pro", "fr", "Pro"),
        ("Acme Pro", None, "Pro"),
        ("Other", "de-ch", "de"),
        (None, "de", "de"),
        (None, "zh-Hant-TW", "zh-hant"),
        (None, "zh", "all"),
        ("Other", "fr", "all"),
        ("", "", "all"),
        (None, None, "all"),
    ],
)
def test_a_customer_reads_the_most_special_text(brand: str | None, language: str | None, subject: str) -> None:
    text = rules_of(FILE + TEXTS).survey_text(brand, language)

    assert text is not None
    assert text.subject == subject


def test_where_no_text_fits_there_is_none() -> None:
    only_german = TEXTS.replace("  - {subject: all, text: x}\n", "")

    assert rules_of(FILE + only_german).survey_text(None, "en") is None
    assert rules_of(FILE).survey_text("Acme Pro", "de") is None


# ------------------------------------------------------------------ what the parts of a file must agree about
@pytest.mark.parametrize(
    ("lines", "advice"),
    [
        (
            "hours:\n  - {group: Night, timezone: UTC}\n  - {group: NIGHT, timezone: UTC}\n",
            "the hours of group night stand in line 9 already",
        ),
        (
            "hours:\n  - {agent: a@x.example, timezone: UTC}\n  - {agent: A@x.example, quiet_hours: 21:00-08:00}\n",
            "the hours of agent a@x.example stand in line 9 already",
        ),
        (
            "hours:\n  - {account: acme, timezone: UTC}\n  - {account: acme, timezone: UTC}\n",
            "the hours of account acme stand in line 9 already",
        ),
        ("limits:\n  goodwill_per_ticket: 5 EUR\n  goodwill_per_customer: 9 USD in 9d\n", "9 USD is another currency"),
        (
            "limits: {goodwill_per_ticket: 5 EUR}\ngoodwill: {version: a, lines: [{up_to: 5 USD}]}\n",
            "than 5 EUR in line 8",
        ),
        (
            "survey_texts:\n  - {brand: A, language: de, subject: a, text: b}\n"
            "  - {brand: a, language: DE, subject: a, text: b}\n",
            'there is a text for brand "a" and language "de" in line 9 already',
        ),
        ("causes: {Late: {tag: a}, late: {tag: b}}\n", 'the cause "late" stands in line 8 already'),
        ("causes: {Late: {tag: a}, Rude: {tag: A}}\n", 'the tag "a" means the cause in line 8 already'),
    ],
)
def test_what_stands_twice_or_cannot_be_compared_is_refused_even_where_nobody_checks(
    lines: str, advice: str, tmp_path: Path
) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(FILE + lines, encoding="utf-8")

    with pytest.raises(RulesError) as caught:
        load(file)

    assert advice in str(caught.value)


def test_account_group_and_agent_of_one_name_are_three_places() -> None:
    lines = "hours:\n  - {account: acme, timezone: UTC}\n  - {group: acme, timezone: UTC}\n"

    assert len(rules_of(FILE + lines).hours) == 2


# ------------------------------------------------------------------ names of the helpdesk
NAMES = """\
version: 1
accounts:
  acme: {connector: zendesk, url: https://acme.zendesk.com}
people:
  leads: {group: Team Leads, per_group: {Sales: {agent: sam@example.com}}, notify: a@example.com}
away:
  - {agent: ana@example.com, from: 2026-12-20, to: 2027-01-06}
hours:
  - {group: Night Shift, timezone: Asia/Manila}
  - {agent: tim@example.com, timezone: Asia/Manila}
  - {account: acme, timezone: Asia/Manila}
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
        *(("group", name) for name in ("Team Leads", "Sales", "Support", "Billing", "Tech", "Legal", "Night Shift")),
        *(("agent", name) for name in ("ana@example.com", "sam@example.com", "tim@example.com")),
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
    shop = directory("Billing", "Tech", "Legal", "Nightshift", agents=("sem@example.com", "TIM@example.com"))

    problems = rules_of(NAMES).unknown_names({"acme": acme, "shop": shop})

    assert [(problem.line, problem.suggestion) for problem in problems] == [
        (5, "sem@example.com"),
        (9, "Nightshift"),
        (15, "Suport"),
    ]
    assert 'unknown group "Support" in acme and shop, did you mean "Suport"?' in str(problems[2])


def test_people_who_have_left_are_only_warnings_where_nothing_depends_on_them() -> None:
    groups = directory("Team Leads", "Sales", "Support", "Billing", "Tech", "Legal", "Night Shift")

    problems = rules_of(NAMES).unknown_names({"acme": groups})

    assert [(problem.line, problem.is_warning) for problem in problems] == [(5, False), (7, True), (10, True)]


def test_without_a_directory_no_name_is_doubted() -> None:
    assert rules_of(NAMES).unknown_names({}) == []


# ------------------------------------------------------------------ what the rules need
def test_rules_need_only_what_they_ask_for() -> None:
    assert rules_of(FILE).needs() == Needs(survey_mail=True, categories=frozenset({Category.BAD}))


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


def test_an_agents_request_is_looked_for_only_if_a_rule_asks_for_it_and_costs_no_other_ratings() -> None:
    asked = "  - {name: Asked, when: {requested: true, tags: {has: a}}, playbook: standard}\n"

    assert rules_of(FILE).needs().requests is False
    assert rules_of(FILE + asked).needs().requests is True
    assert rules_of(FILE + asked).needs().categories == {Category.BAD}
    assert rules_of(FILE.replace("{rating: bad}", "{rating: bad, requested: false}")).needs().requests is False


@pytest.mark.parametrize(
    ("settings", "surveys"),
    [
        ("surveys: everyone", True),
        ("surveys: listed, survey_list: [a@example.com]", True),
        ("surveys: off", False),
    ],
)
def test_whether_customers_are_asked_again_says_the_setting(settings: str, surveys: bool) -> None:
    text = FILE.replace("{priority: high}", "{survey: {after: 2d}}") + TEXTS

    assert rules_of(f"{text}settings: {{{settings}}}\n").needs().surveys is surveys


def test_texts_in_several_languages_make_no_ticket_dearer_the_language_is_asked_for_with_the_question() -> None:
    text = FILE.replace("{priority: high}", "{survey: {after: 2d}}") + TEXTS

    assert rules_of(text + "settings: {surveys: everyone}\n").needs().language is False


def test_nobody_is_asked_again_if_no_rule_follows_a_playbook_with_a_survey() -> None:
    books = "playbooks:\n  unused: {survey: {after: 2d}}\n"

    assert not rules_of(FILE.replace("playbooks:\n", books) + "settings: {surveys: everyone}\n").needs().surveys


def test_the_settings_say_who_mails_and_what_may_be_overwritten() -> None:
    needs = rules_of(FILE + "settings: {surveys: everyone, survey_mail: smtp, allow_rerating: true}\n").needs()

    assert (needs.survey_mail, needs.rerating) == (False, True)


def test_the_fields_that_agents_fill_and_the_tags_of_the_goodwill_table_are_needed() -> None:
    settings = "settings: {ticket_fields: {cause: 360001234567, remedy: cf_goodwill}}\n"

    needs = rules_of(FILE + settings + GOODWILL).needs()

    assert needs.fields == {"360001234567", "cf_goodwill"}
    assert needs.customer_tags == {"vip", "gold"}
