"""Warnings of `check` about what happens to a case: what never comes, whom nobody can reach, what nobody can ask."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from bridge.hours import show_duration
from bridge.rules import check

FILE = """\
version: 1
accounts: {acme: {connector: zendesk, url: https://acme.zendesk.com}}
people: {leads: {group: Leads, notify: leads@example.com}}
rules: [{name: A, when: {rating: bad}, playbook: standard}]
"""
LEADS = "assign_to_first_available: [original_agent, leads]"  # so that everybody of people is used
HOURS = "settings: {working_hours: {mon-fri: 09:00-17:00}}\n"  # 40 hours a week
ASKS = "survey: {after: 2d}"
NEUTRAL = "survey_texts: [{subject: a, text: b}]\n"


def warnings(text: str) -> list[tuple[str, str]]:
    """All warnings, each with the line from where its caret stands."""
    rules, problems = check(text)
    assert rules is not None, [problem.headline for problem in problems]
    assert all(problem.is_warning for problem in problems)
    lines = text.splitlines()
    return [(lines[problem.line - 1][problem.column - 1 :], problem.message) for problem in problems]


def of_playbook(*keys: str, more: str = "") -> list[tuple[str, str]]:
    """The warnings for a file whose playbook has these keys."""
    lines = "".join(f"    {key}\n" for key in (*keys, LEADS))
    return warnings(f"{FILE}playbooks:\n  standard:\n{lines}{more}")


def only(found: list[tuple[str, str]], at: str, words: str) -> None:
    """There is one warning: at this text, with these words."""
    [(there, message)] = found
    assert there.startswith(at)
    assert words in message


# ------------------------------------------------------------------ times that never come
DEADLINES = "deadlines: [{{within: {}, until: solved, otherwise: {{remind: assignee}}}}]"


@pytest.mark.parametrize(
    ("within", "more"),
    [
        ("30d", ""),
        ("40d", ""),
        ("2d", "limits: {give_up_after: 2d}\n"),
        ("10d", HOURS),  # 240 hours at 40 a week
        ("209h", HOURS),
    ],
)
def test_a_deadline_that_is_not_over_when_a_case_is_given_up_is_named(within: str, more: str) -> None:
    only(of_playbook(DEADLINES.format(within), more=more), within, "of working time never pass before a case is given")


@pytest.mark.parametrize(
    ("within", "more"),
    [
        ("29d", ""),
        ("100h", HOURS),
        ("170h", HOURS),
        ("20d", HOURS + "hours: [{group: Night, working_hours: {mon-sun: 00:00-24:00}}]\n"),
        ("40d", "limits: {give_up_after: 60d}\n"),
    ],
)
def test_a_deadline_that_may_come_is_not_named(within: str, more: str) -> None:
    assert of_playbook(DEADLINES.format(within), more=more) == []


def test_a_reminder_of_silence_that_never_comes_is_named() -> None:
    only(of_playbook("remind_if_silent: 10d", more=HOURS), "10d", "only open hours count")


SHIFTS = ["09:00-17:00", "'08:00-12:00, 13:00-20:00'", "00:00-06:00", "00:00-24:00"]
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def test_no_deadline_that_is_called_impossible_ever_comes() -> None:
    chance = random.Random(5)
    claimed = 0
    for _ in range(80):
        give_up, within = timedelta(days=chance.randint(1, 12)), timedelta(hours=chance.randint(5, 120))
        days = [f"{day}: {chance.choice(SHIFTS)}" for day in chance.sample(DAYS, chance.randint(1, 7))]
        text = f"settings: {{timezone: Europe/Berlin, working_hours: {{{', '.join(days)}}}}}\n"
        text += f"limits: {{give_up_after: {give_up.days}d}}\n"
        found = of_playbook(DEADLINES.format(show_duration(within)), more=text)
        if not any("never pass" in message for _, message in found):
            continue
        claimed += 1
        rules, _ = check(f"{FILE}playbooks: {{standard: {{{LEADS}}}}}\n{text}")
        assert rules
        for hour in range(0, 24 * 14, 7):
            begun = datetime(2026, 10, 18, tzinfo=UTC) + timedelta(hours=hour)
            assert rules.calendar().add(begun, within) >= begun + give_up, text

    assert 20 < claimed < 70


def test_deadlines_that_stand_in_another_order_than_they_come_are_named() -> None:
    found = of_playbook(
        "deadlines:",
        "  - {within: 4h, until: replied, otherwise: {notify: leads}}",
        "  - {within: 30m, until: acknowledged, otherwise: {remind: assignee}}",
        "  - {within: 4h, until: replied, otherwise: {notify: leads}}",
        "  - {within: 4h, until: replied, otherwise: {remind: assignee}}",
    )

    assert [(there[:4], message) for there, message in found] == [
        ("30m,", "30m stands below 4h, but the shortest deadline is acted on first; write them in that order"),
        ("4h, ", "this deadline stands in the list twice; delete one"),
    ]


@pytest.mark.parametrize(
    ("keys", "at", "words"),
    [
        (["survey: {after: 2d}", "check_in: {after: 3d}"], "3d}", "asked after 2d, before the owner looks"),
        (["survey: {after: 1d, answer_within: 3d, remind_after: 3d}"], "3d}", "answers are waited for only 3d"),
        (["survey: {after: 20d, answer_within: 9d}"], "9d}", "are 29d, but the helpdesks record no answers after 28d"),
        (["survey: {after: 22d}"], "{after: 22d}", "are 29d"),
    ],
)
def test_what_comes_too_late_after_the_solution_is_named(keys: list[str], at: str, words: str) -> None:
    only(of_playbook(*keys), at, words)


@pytest.mark.parametrize(
    "keys",
    [
        ["survey: {after: 2d}", "check_in: {after: 2d}"],
        ["check_in: {after: 30d}"],
        ["survey: {after: 21d}"],
        ["survey: {after: 21d, answer_within: 14d, by: link}"],
        ["survey: {after: 1d, remind_after: 6d}"],
    ],
)
def test_what_comes_in_time_after_the_solution_is_not_named(keys: list[str]) -> None:
    assert of_playbook(*keys) == []


def test_what_a_playbook_takes_from_another_is_named_once_and_where_it_stands() -> None:
    text = FILE.replace("playbook: standard", "playbook: child")
    books = "playbooks:\n  child: {like: standard, check_in: {after: 3d}}\n"
    books += f"  standard: {{survey: {{after: 2d, answer_within: 1d, remind_after: 1d}}, {LEADS}}}\n"

    found = warnings(text + books)

    assert [there.split("}")[0] for there, _ in found] == ["3d", "1d"]


# ------------------------------------------------------------------ people
def test_somebody_who_should_hear_of_something_and_cannot_is_named() -> None:
    people = "{leads: {group: Leads}, boss: {group: Bosses, digest: 16:00}, ceo: {agent: ceo@example.com}}"
    text = FILE.replace("{leads: {group: Leads, notify: leads@example.com}}", people)
    goodwill = "{up_to: 20 EUR, approval_above: 10 EUR, approved_by: boss}"
    books = f"playbooks: {{standard: {{notify: leads, abusive: ceo, goodwill: {goodwill}}}}}\n"

    assert [message for _, message in warnings(text + books)] == [
        '"leads" is notified, but there is no notify here: nobody hears of it',
        '"boss" approves goodwill, but there is no notify here: nobody can be asked',
        "there is no notify here, so there is nothing to collect; add one, or delete digest",
    ]


def test_somebody_who_approves_a_line_of_the_goodwill_table_must_be_reachable_and_counts_as_used() -> None:
    people = "{leads: {group: Leads, notify: leads@example.com}, boss: {group: Bosses}}"
    text = FILE.replace("{leads: {group: Leads, notify: leads@example.com}}", people)
    lines = "[{up_to: 20 EUR, approval_above: 0 EUR, approved_by: boss}]"

    found = warnings(f"{text}playbooks: {{standard: {{{LEADS}}}}}\ngoodwill: {{version: a, lines: {lines}}}\n")

    only(found, "boss", "nobody can be asked")


def test_a_playbook_for_nobody_of_which_nobody_can_be_told_is_named() -> None:
    nobody = "playbooks: {standard: {assign_to_first_available: []}}\n"
    without_people = FILE.replace("people: {leads: {group: Leads, notify: leads@example.com}}\n", "")

    only(warnings(without_people + nobody), "[]", "these cases would wait for ever")
    assert not any("wait for ever" in message for _, message in warnings(FILE + nobody))


# ------------------------------------------------------------------ the second question
LIVE = "settings: {surveys: everyone, %s}\n"


@pytest.mark.parametrize(
    ("key", "settings", "at", "words"),
    [
        ("survey: {after: 2d, by: link}", "mode: live", "link", "nobody is asked that way"),
        (ASKS, "survey_mail: smtp", "smtp", "whom the helpdesk's own survey cannot reach is not asked"),
    ],
)
def test_a_question_that_cannot_be_asked_without_a_page_is_named(key: str, settings: str, at: str, words: str) -> None:
    texts = NEUTRAL.replace("{", "{sender: care@example.com, ")
    with_page = f"{settings}, survey_page: https://x.example"

    only(of_playbook(key, more=f"{texts}{LIVE % settings}"), at, words)
    assert of_playbook(key, more=f"{texts}{LIVE % with_page}") == []


@pytest.mark.parametrize("key", [ASKS, "survey: {after: 2d, by: helpdesk}"])
def test_by_the_helpdesks_means_no_page_is_needed(key: str) -> None:
    assert of_playbook(key, more=NEUTRAL + LIVE % "mode: live") == []


def test_a_page_is_needed_by_playbooks_only_that_a_rule_follows() -> None:
    parent = "playbooks:\n  parent: {survey: {after: 2d, by: link}}\n"
    child = "  standard: {like: parent, survey: {after: 2d}, assign_to_first_available: [leads]}\n"

    assert warnings(FILE + parent + child + NEUTRAL + LIVE % "mode: live") == []


def test_rerating_without_surveys_is_named() -> None:
    only(of_playbook(ASKS, more="settings: {allow_rerating: true}\n"), "true", "while surveys are off")
    assert of_playbook(ASKS, more=NEUTRAL + LIVE % "allow_rerating: true") == []


@pytest.mark.parametrize(
    ("texts", "who"),
    [
        ("", "every customer"),
        ("survey_texts: [{language: de, subject: a, text: b}]\n", "a customer of another brand or language"),
        ("survey_texts: [{brand: X, subject: a, text: b}]\n", "a customer of another brand or language"),
    ],
)
def test_customers_who_would_read_the_built_in_text_are_named(texts: str, who: str) -> None:
    only(of_playbook(ASKS, more=LIVE % "mode: live" + texts), "everyone", f"{who} gets a built-in English text")
    assert of_playbook(ASKS, more=texts) == []


def test_texts_that_nobody_reads_are_named() -> None:
    only(of_playbook("check_in: {after: 1d}", more=NEUTRAL), "survey_texts", "nobody reads these")


MATRIX = """\
survey_texts:
  - {subject: all, text: a}
  - {language: de, subject: de, text: a}
  - {language: fr, subject: fr, text: a}
  - {brand: Acme Pro, language: fr, subject: pro fr, text: a}
  - {brand: acme pro, subject: pro, text: a}
"""


def test_a_brand_without_a_text_in_a_language_in_which_there_are_others_is_named() -> None:
    found = of_playbook(ASKS, more=MATRIX)

    only(found, "Acme Pro", 'brand "Acme Pro" has texts of its own, but none in de, in which there are others')


@pytest.mark.parametrize(
    "text",
    [
        "{brand: ACME PRO, language: de, subject: pro de, text: a}",
        "{brand: ACME PRO, language: DE, subject: pro de, text: a}",
    ],
)
def test_a_brand_with_a_text_in_each_language_is_not_named(text: str) -> None:
    assert of_playbook(ASKS, more=f"{MATRIX}  - {text}\n") == []


def test_a_text_in_the_main_language_is_enough() -> None:
    special = (
        MATRIX.replace("language: de", "language: de-at") + "  - {brand: Acme Pro, language: de, subject: a, text: a}\n"
    )

    assert of_playbook(ASKS, more=special) == []


def test_our_own_mail_without_a_sender_is_named() -> None:
    settings = LIVE % "survey_mail: smtp, survey_page: https://x.example"

    only(of_playbook(ASKS, more=NEUTRAL + settings), "{subject", "comes from BRIDGE_MAIL_FROM")


# ------------------------------------------------------------------ goodwill
def table(*lines: str) -> str:
    return "goodwill:\n  version: a\n  lines:\n" + "".join(f"    - {{{line}, up_to: 20 EUR}}\n" for line in lines)


@pytest.mark.parametrize(
    "lines",
    [
        ["severity: [low, high]", "severity: [high]"],
        ["customer_tags: [vip, gold]", "customer_tags: [VIP]"],
        ["customer_tags: [vip]", "customer_tags: [vip], severity: [low]"],
        ["severity: [low]", "severity: [low], customer_tags: [vip]"],
        ["severity: [low, normal]", "severity: [high, critical]", "customer_tags: [vip]"],
        ["severity: [low]", "customer_tags: [vip]", "severity: [low, normal], customer_tags: [vip]"],
    ],
)
def test_a_line_of_the_goodwill_table_that_is_never_reached_is_named(lines: list[str]) -> None:
    only(of_playbook(more=table(*lines)), f"{{{lines[-1]}", "this line is never reached")


@pytest.mark.parametrize(
    "lines",
    [
        ["severity: [high]", "severity: [low, high]"],
        ["customer_tags: [vip]", "customer_tags: [vip, gold]"],
        ["customer_tags: [vip], severity: [low]", "customer_tags: [vip]"],
        ["customer_tags: [vip]", "severity: [low]"],
        ["severity: [low, normal, high]", "customer_tags: [vip]"],
    ],
)
def test_a_line_of_the_goodwill_table_that_may_be_reached_is_not_named(lines: list[str]) -> None:
    assert of_playbook(more=table(*lines)) == []


def test_a_goodwill_table_that_no_rule_uses_is_named() -> None:
    only(
        of_playbook("goodwill: {up_to: 5 EUR}", more=table("severity: [low]")), "goodwill:", "this table is never used"
    )


def test_goodwill_above_the_limit_and_an_approval_that_nobody_needs_are_named() -> None:
    goodwill = "goodwill: {up_to: 60 EUR, approval_above: 60 EUR, approved_by: leads}"

    found = of_playbook(goodwill, more="limits: {goodwill_per_ticket: 50 EUR}\n")

    assert [message for _, message in found] == [
        "nobody may offer 60 EUR: limits.goodwill_per_ticket is 50 EUR",
        "nobody is ever asked: no more than 60 EUR may be offered at all (up_to)",
    ]


# ------------------------------------------------------------------ hours and incidents
@pytest.mark.parametrize(
    ("settings", "at"),
    [
        ("settings: {working_hours: {mon: 09:00-12:00}, quiet_hours: 09:00-12:00}", "09:00-12:00}"),
        ("settings: {working_hours: {mon-fri: 22:00-06:00}, quiet_hours: 21:00-08:00}", "21:00-08:00}"),
        ("settings: {working_hours: {mon-fri: 22:00-24:00}, quiet_hours: 22:00-24:00}", "22:00-24:00}"),
        ("settings: {quiet_hours: 00:00-24:00}", "00:00-24:00"),
        (
            "settings: {quiet_hours: 21:00-08:00}\nhours: [{group: Night, working_hours: {mon: 22:00-04:00}}]",
            "{mon: 22:00-04:00}}]",
        ),
        (
            "settings: {working_hours: {mon: 22:00-04:00}}\nhours: [{account: acme, quiet_hours: 21:00-08:00}]",
            "21:00-08:00}]",
        ),
    ],
)
def test_quiet_hours_that_leave_no_working_hour_are_named(settings: str, at: str) -> None:
    only(of_playbook(more=f"{settings}\n"), at, "the quiet hours take up all working hours")


@pytest.mark.parametrize(
    "settings",
    [
        "settings: {working_hours: {mon: 09:00-12:00}, quiet_hours: 09:00-11:59}",
        "settings: {working_hours: {mon: 22:00-06:00, tue: 09:00-10:00}, quiet_hours: 21:00-08:00}",
        "settings: {working_hours: {mon: 21:00-24:00}, quiet_hours: 09:00-23:00}",
        "settings: {quiet_hours: 21:00-08:00}\nhours: [{group: Night, timezone: Asia/Manila}]",
    ],
)
def test_quiet_hours_that_leave_a_working_hour_are_not_named(settings: str) -> None:
    assert of_playbook(more=f"{settings}\n") == []


def test_unknown_public_holidays_of_a_group_are_an_error() -> None:
    rules, problems = check(f"{FILE}playbooks: {{standard: {{{LEADS}}}}}\nhours: [{{group: Night, holidays: DE-XX}}]\n")

    assert rules is None
    assert [problem.headline for problem in problems] == [
        'rules.yaml:6:34: no public holidays are known for "DE-XX"; write a code like DE or DE-BE'
    ]


def test_one_incident_that_is_written_in_two_ways_is_named() -> None:
    rules = "".join(
        f"  - {{name: R{number}, when: {{tags: {{has: t{number}}}}}, playbook: standard, incident: {name}}}\n"
        for number, name in enumerate(["Outage", "Outage", "OUTAGE"])
    )
    text = FILE.replace("rules: [{", f"rules:\n{rules}  - {{").replace("standard}]", "standard}")

    only(
        warnings(f"{text}playbooks: {{standard: {{{LEADS}}}}}\n"), "OUTAGE", 'this and "Outage" above are two incidents'
    )
