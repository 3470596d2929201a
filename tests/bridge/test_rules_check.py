"""`check`: each mistake of an admin is found on its line, with what to write instead; no text crashes the program."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
import yaml

from bridge.errors import RulesError
from bridge.rules import check, load
from bridge.rules.document import MAX_DEPTH, compose
from bridge.rules.problems import Reporter

SAMPLE = (Path(__file__).parents[2] / "rules.yaml").read_text(encoding="utf-8")
SMALL = """\
version: 1
accounts:
  acme: {connector: zendesk, url: https://acme.zendesk.com}
playbooks:
  standard: {priority: high}
rules:
  - name: Low rating
    when: {rating: bad}
    playbook: standard
"""

# what stands in the sample, what a tired admin writes instead, where the caret stands, what is suggested
MISTAKES = [
    ("connector: zendesk", "conector: zendesk", "conector", "connector"),
    ("mode: shadow ", "mode: shaddow ", "shaddow", "shadow"),
    ("timezone: Europe/Berlin", "timezone: Europe/Berlinn", "Europe/Berlinn", "Europe/Berlin"),
    ("mon-fri: 09", "mon-fry: 09", "mon-fry", "fri"),
    ("tickets_per_hour", "ticket_per_hour", "ticket_per_hour", "tickets_per_hour"),
    ("{group: Team Leads", "{grup: Team Leads", "grup", "group"),
    ("away:", "avay:", "avay", "away"),
    ("{rating_text}", "{rating_txt}", "{rating_txt}", "rating_text"),
    ("{reply_by}. Any", "{replyby}. Any", "{replyby}", "reply_by"),
    ("ticket: reopen ", "ticket: reopn ", "reopn", "reopen"),
    ("[original_agent", "[orginal_agent", "orginal_agent", "original_agent"),
    ("same_team, leads]", "same_team, lead]", "lead]", "leads"),
    ("priority: high", "priority: hihg", "hihg", "high"),
    ("[csat-recovery]", "[csat recovery]", "csat recovery]", "csat-recovery"),
    ("note: unhappy", "note: unhapy", "unhapy", "unhappy"),
    ("approved_by: leads", "approved_by: leeds", "leeds", "leads"),
    ("until: replied,", "until: repleid,", "repleid", "replied"),
    ("{assign: leads}}", "{asign: leads}}", "asign", "assign"),
    ("if_still_bad:", "if_stil_bad:", "if_stil_bad", "if_still_bad"),
    ("like: standard  ", "like: standart  ", "standart", "standard"),
    ("when: {rating: bad}", "wen: {rating: bad}", "wen", "when"),
    ("when: {rating: bad}", "when: {ratting: bad}", "ratting", "rating"),
    ("rating: [bad, neutral]", "rating: [bad, nuetral]", "nuetral", "neutral"),
    ("{has_any: [vip", "{has_anny: [vip", "has_anny", "has_any"),
    ("bad_ratings_90d: {at", "bad_rating_30d: {at", "bad_rating_30d", "bad_ratings_30d"),
    ("{at_least: 3}", "{at_last: 3}", "at_last", "at_least"),
    ("{mentions: [cancel", "{mention: [cancel", "mention", "mentions"),
    ("{older_than: 14d}", "{oldr_than: 14d}", "oldr_than", "older_than"),
    ("channel: chat", "channel: chatt", "chatt", "chat"),
    ("severity: critical", "severity: crtical", "crtical", "critical"),
    ("playbook: supervisor\n", "playbook: supervisors\n", "supervisors", "supervisor"),
    ("- name: Angry VIP", "- nmae: Angry VIP", "nmae", "name"),
    ("survey_mail:", "survey_mails:", "survey_mails", "survey_mail"),
    ("survey_mail: helpdesk", "survey_mail: helpdsk", "helpdsk", "helpdesk"),
    ("share_of_rated:", "share_of_ratings:", "share_of_ratings", "share_of_rated"),
    ("digest: 16:00", "digst: 16:00", "digst", "digest"),
    ("{group: Supervisors, working_hours", "{group: Supervisors, work_hours", "work_hours", "working_hours"),
    ("until {answer_by}", "until {answer_til}", "{answer_til}", "answer_by"),
    ("- language: de", "- langauge: de", "langauge", "language"),
    ("severity: [critical]", "severity: [critcal]", "critcal", "critical"),
    ("party: third_party", "party: third_paty", "third_paty", "third_party"),
    ("remind_if_silent:", "remind_silent:", "remind_silent", "remind_if_silent"),
    ("abusive: leads", "abusive: laeds", "laeds", "leads"),
    ("by: auto", "by: atuo", "atuo", "auto"),
    ("remind_after:", "remnd_after:", "remnd_after", "remind_after"),
    ("incident:", "incidnet:", "incidnet", "incident"),
    ("{requested: true}", "{request: true}", "request", "requested"),
]
# mistakes that no similar word can mend: the message says how it is written
ADVICE = [
    ("version: 1", "version: 2", "2", "write 1"),
    ('needs: "1.0"', "needs: 1.0", "1.0", 'put it in quotes: "1.0"'),
    ('needs: "1.0"', 'needs: "99.0"', '"99.0"', "update it"),
    ("https://acme", "http://acme", "http://", "write an https address"),
    ("surveys: off", "surveys: false", "false", "write off or listed or everyone"),
    ("surveys: off", "surveys: listed", "listed", "survey_list"),
    ("09:00-18:00", "9-18", "9-18", "write 09:00-18:00"),
    ("DE-BE", "Germany", "Germany", "write DE"),
    ("DE-BE", "DE-XX", "DE-XX", "write a code like DE or DE-BE"),
    ("tickets_per_hour: 50", "tickets_per_hour: fifty", "fifty", "a whole number from 1"),
    ("tickets_per_hour: 50", "tickets_per_hour: true", "true", "a whole number from 1"),
    ("1 in 30d", "once a month", "once", "write it like 1 in 30d"),
    ("50 EUR\n", "50EUR\n", "50EUR", "write 50 EUR"),
    ("oncall@example.com", "oncall", "oncall", 'an e-mail address, "#channel" or an https address'),
    ('notify: "#recovery-leads"', "notify: #recovery-leads", "{group", "what follows a # is a comment"),
    ("from: 2026-12-20", "from: 20.12.2026", "20.12.2026", "write 2026-12-20"),
    ("from: 2026-12-20", "from: 2026-02-30", "2026-02-30", "not in the calendar"),
    ("from: 2026-12-20", "from: 2027-12-20", "2027-01-06", "to is before from"),
    ("{reply_by}. Any", "{{ticket.id}}. Any", "{{ticket", "single braces"),
    ("{comment|no comment}", "{comment|no comment", "{comment|no", "a { on its own"),
    ("tags: [csat-recovery]", "tags: csat-recovery", "csat-recovery", "a list is wanted here"),
    ("[csat-recovery]", "[sr_mine]", "sr_mine", "the bridge's own"),
    ("[csat-recovery]", f"[{'x' * 33}]", "xxx", "at most 32"),
    ("above: 10 EUR", "above: 10 USD", "10 USD", "two currencies"),
    ("within: 30m,", "within: 30 minutes,", "30 minutes", "write 30m"),
    ("within: 30m,", "within:30m,", "within:30m", "put a space after the colon"),
    ("{remind: assignee}", "{remind: leads}", "leads", "write one of: assignee"),
    ("like: standard  ", "like: supervisor  ", "supervisor", "is like itself"),
    ("{assign: supervisors}", "{assign: product}", None, 'to "product": write a group or an agent'),
    ("when: {rating: bad}", "when: {rating: 2}", "2}", "write {at_most: 2}"),
    ("when: {rating: bad}", "when: {}", "{}", "at least one condition"),
    ("when: {rating: bad}", "when: bad", "bad", "conditions are wanted here"),
    ("customer_tags: {has_any: [vip, enterprise]}", "customer_tags: vip", "vip", "write {has: vip}"),
    ("has_any: [vip, enterprise]", "has_any: vip", "vip", "like [vip]"),
    ("has_any: [vip, enterprise]", "has_any: []", "[]", "name at least one"),
    ("has: churn-risk", "has: 2024", "2024", 'put it in quotes: "2024"'),
    ("bad_ratings_90d: {at_least: 3}", "bad_ratings_90d: 3", "3", "write {at_least: 3}"),
    ("name: Angry VIP", "name: LET DOWN again", "LET DOWN again", "give this one another name"),
    ("    playbook: supervisor\n", "", "name: About the agent", 'the key "playbook" is missing here'),
    ("{any_of: [Missing feature, Product defect]}", "{any_of: [Too slow}", "[Too", "this [ is not closed"),
    ("when: {tags: {", "when: {reason: Slow, rude staff, tags: {", "rude staff", "put text that has a comma in quotes"),
    ("  - name: Angry VIP", "\t- name: Angry VIP", "\t", "indent with spaces"),
    ("name: Angry VIP", "name: Angry: VIP", ": VIP", "put the text in quotes"),
    ("name: Angry VIP", 'name: "Angry VIP', '"Angry', "close it where the text ends"),
    ("name: Angry VIP", "name: *vip", "*vip", "aliases"),
    ("name: Angry VIP", "name: &vip Angry VIP", "&vip", "anchors"),
    ("name: Angry VIP", "name: !vip Angry VIP", "!vip", "tags (!vip)"),
    ("like: standard  ", "<<: standard  ", "<<", "merge keys"),
    ("severity: critical", "severity: critical\n    severity: low", "severity: low", "stands here twice"),
    ("mode: shadow", "mode: shadow\x07", "\x07", "control character U+0007"),
    ("      rating: bad\n      customer", "      severity: low\n      customer", "severity", "write it beside when"),
    ("  acme: {", "  ac-me: {", "ac-me", "letters, digits and _ only"),
    ("zendesk.com}", "zendesk.com/agent}", "https://acme", "only the host belongs here"),
    ("survey_mail: helpdesk", "confidential: yes", "yes", "write true or false"),
    ("https://shop", "http://shop", "http://", "write an https address"),
    ("share_of_rated: 50%", "share_of_rated: 50", "50", "like 0.5 or 50%"),
    ("digest: 16:00", "digest: 4 pm", "4 pm", "write 16:00"),
    ("- {group: Supervisors, working", "- {working", "{working", "write one of account, group or agent"),
    (
        "{group: Supervisors, working_hours: {mon-sat: 08:00-20:00}}",
        "{group: Supervisors}",
        "{group",
        "nothing differs",
    ),
    ("mon-sat: 08:00-20:00", "mon-sat: 08:00-8pm", "08:00-8pm", "write 08:00-20:00"),
    ("- language: de", "- language: German!", "German!", "write it like de or pt-br"),
    ("- language: de", "- sender: Acme Care", "Acme Care", "write it like Acme Care <care@acme.example>"),
    ("- language: de\n    ", "- ", "subject: Ist", "for any brand and language in line"),
    ("until {answer_by}", "until {{ticket.link}}", "{{ticket", "single braces"),
    ('version: "2026-03"', "version: 2026", "2026", 'put it in quotes: "2026"'),
    ("{up_to: 20 EUR,", "{up_to: 20 USD,", "10 EUR", "two currencies"),
    (
        "{up_to: 20 EUR, approval_above: 10 EUR, approved_by: leads}",
        "{up_to: 20 USD}",
        "20 USD",
        "use one for goodwill",
    ),
    ("approval_above: 0 EUR, approved_by: supervisors", "approval_above: 0 EUR", "0 EUR}", "needs approved_by"),
    ("answer: {tag: cause-wrong", "answer: {tag: cause-slow", "cause-slow", "means the cause in line"),
    ("cause-wrong", "csat-recovery", "csat-recovery", 'playbook "standard" adds the tag'),
    ("  Wrong answer:", "  too SLOW:", "too SLOW", "give this one another name"),
    ("remind_if_silent: 8h", "remind_if_silent: 8 hours", "8 hours", "write 8h"),
    ("abusive: leads", "abusive: coaches", None, 'assigns tickets to "coaches"'),
    ("{requested: true}", "{requested: sr_request}", "sr_request}", "write true"),
    ("    incident: Outage", "    incident: 2026 #", "2026", "put it in quotes"),
]


def place_of(text: str, wrong: str, caret: str) -> tuple[int, int]:
    """Where *caret* stands, looking from the beginning of the line with the mistake."""
    line = text.rfind("\n", 0, text.index(wrong) + 1) + 1 if wrong else 0
    found = text.index(caret, line)
    return text.count("\n", 0, found) + 1, found - text.rfind("\n", 0, found)


@pytest.mark.parametrize(("right", "wrong", "caret", "suggestion"), MISTAKES, ids=[m[1] for m in MISTAKES])
def test_a_misspelt_word_is_found_and_the_right_one_suggested(
    right: str, wrong: str, caret: str, suggestion: str
) -> None:
    text = SAMPLE.replace(right, wrong, 1)
    assert text != SAMPLE

    rules, problems = check(text)

    assert rules is None
    found = [(problem.line, problem.column, problem.suggestion) for problem in problems if not problem.is_warning]
    assert found[0] == (*place_of(text, wrong, caret), suggestion)
    assert f'did you mean "{suggestion}"?' in str(problems[0]) or f'write "{suggestion}"' in str(problems[0])


@pytest.mark.parametrize(("right", "wrong", "caret", "advice"), ADVICE, ids=[repr(a[1][:30]) for a in ADVICE])
def test_any_other_mistake_says_what_to_write(right: str, wrong: str, caret: str | None, advice: str) -> None:
    text = SAMPLE.replace(right, wrong, 1)
    assert text != SAMPLE

    rules, problems = check(text)

    assert rules is None
    assert any(advice in problem.message for problem in problems), [problem.headline for problem in problems]
    if caret is not None:
        places = [(problem.line, problem.column) for problem in problems if advice in problem.message]
        assert places[0] == place_of(text, wrong, caret)


def test_there_is_one_problem_for_each_mistake_and_no_noise() -> None:
    for right, wrong, *_ in MISTAKES:
        problems = [p for p in check(SAMPLE.replace(right, wrong, 1))[1] if not p.is_warning]
        assert len(problems) == 1, (wrong, [problem.headline for problem in problems])


def test_all_mistakes_of_a_file_are_found_in_one_run() -> None:
    text = SAMPLE
    planted = [m for m in MISTAKES if m[0] in text and m[1] not in ("avay:", "wen: {rating: bad}", "{at_last: 3}")]
    for right, wrong, *_ in planted:
        text = text.replace(right, wrong, 1)

    suggestions = [problem.suggestion for problem in check(text)[1]]

    missing = [m[3] for m in planted if m[1] in text and m[3] not in suggestions]
    assert len(suggestions) >= 25
    assert missing == []


def test_a_problem_shows_its_lines_and_a_caret() -> None:
    _, problems = check(SMALL.replace("priority: high", "priority: hihg"))

    assert str(problems[0]) == (
        'rules.yaml:5:24: unknown priority "hihg", did you mean "high"?\n'
        "     4 | playbooks:\n"
        "     5 |   standard: {priority: hihg}\n"
        "       |                        ^^^^\n"
        "     6 | rules:"
    )


def test_a_problem_for_json_has_its_place() -> None:
    _, problems = check(SMALL.replace("priority: high", "priority: hihg"), "my.yaml")

    assert problems[0].as_dict() == {
        "path": "my.yaml",
        "line": 5,
        "column": 24,
        "end_column": 28,
        "severity": "error",
        "message": 'unknown priority "hihg", did you mean "high"?',
        "suggestion": "high",
    }


def test_no_secret_of_an_address_is_repeated() -> None:
    _, problems = check(SMALL.replace("https://acme", "https://me:hunter2@acme"))

    assert "no secret belongs in this file" in problems[0].headline
    assert "hunter2" not in problems[0].headline


def test_the_small_file_and_the_sample_have_no_problems() -> None:
    assert check(SMALL)[1] == []
    assert check(SAMPLE)[1] == []


def test_words_that_other_yaml_readers_twist_stay_text() -> None:
    names = ["no", "on", "off", "010", "12:30", "2026-01-02", "1e3", "0x1F", "0b1", "1_000", ".5", "=", "True", "NULL"]
    document = compose("\n".join(f"- {name}" for name in names), Reporter("x", ""))

    assert document is not None
    assert document.data == names


def test_only_true_false_null_and_decimal_numbers_are_not_text() -> None:
    document = compose("[true, false, null, ~, 7, -3, 2.5, on: 1]".replace("on: 1", "{on: 1}"), Reporter("x", ""))

    assert document is not None
    assert document.data == [True, False, None, None, 7, -3, 2.5, {"on": 1}]


@pytest.mark.parametrize("parser", [yaml.BaseLoader, getattr(yaml, "CBaseLoader", yaml.BaseLoader)])
def test_both_parsers_give_the_same_values_and_places(parser: type) -> None:
    document = compose(SAMPLE, Reporter("x", SAMPLE), parser=parser)
    usual = compose(SAMPLE, Reporter("x", SAMPLE))

    assert document is not None
    assert usual is not None
    assert document.data == usual.data
    assert document.spot(("rules", 1, "when", "customer_tags")) == usual.spot(("rules", 1, "when", "customer_tags"))


@pytest.mark.parametrize("mistake", [a for a in ADVICE if "close" in a[3] or "colon" in a[3] or "quotes" in a[3]])
def test_without_libyaml_the_advice_on_syntax_is_the_same(mistake: tuple[str, str, str, str]) -> None:
    text = SAMPLE.replace(mistake[0], mistake[1], 1)
    reports = []
    for parser in (yaml.BaseLoader, getattr(yaml, "CBaseLoader", yaml.BaseLoader)):
        report = Reporter("x", text)
        compose(text, report, parser=parser)
        reports.append([(problem.line, problem.message) for problem in report.problems])

    assert reports[0] == reports[1]


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        "{a: " * 100_000,
        "- " * 100_000,
        "? " * 100_000,
        "\n".join(" " * depth + "a:" for depth in range(500)),
    ],
    ids=["lists", "braces", "dashes", "question marks", "indentation"],
)
def test_deep_nesting_is_refused_before_anything_recurses(text: str) -> None:
    rules, problems = check(text)

    assert rules is None
    assert "nested more than 50 deep" in problems[0].message or "a key is plain text" in problems[0].message


def test_nesting_as_deep_as_allowed_is_read() -> None:
    document = compose("[" * MAX_DEPTH + "]" * MAX_DEPTH, Reporter("x", ""))

    assert document is not None


def test_a_file_of_ten_megabytes_is_refused_and_not_read() -> None:
    _, problems = check("a: b\n" * 2_000_000)

    assert [problem.message for problem in problems] == [
        "the file has 10,000,000 characters; at most 1,000,000 are read"
    ]


HOPELESS = [
    *("", "\n", "---\n", "null", "7", "- a", "a: *a", "&a [*a]", "!!python/object:os.system {}", "\x00", "a: \ud800"),
    *("a: 1\n---\nb: 2", "%YAML 9", "{" * 9, "a\tb", '"' * 99_999, "k" * 99_999 + ": 1"),
    "rules:\n" + "- {}\n" * 3_000,
]


@pytest.mark.parametrize("text", HOPELESS, ids=[repr(text[:12]) for text in HOPELESS])
def test_no_text_crashes_and_none_is_accepted_silently(text: str) -> None:
    rules, problems = check(text)

    assert rules is None
    assert problems
    assert all(len(problem.headline) < 600 for problem in problems)


def test_random_damage_to_the_sample_never_crashes_and_is_never_half_accepted() -> None:
    chance = random.Random(1)
    pieces = re.findall(r"\w+|\s+|[^\w\s]", SAMPLE)
    scraps = [
        "",
        "null",
        "5",
        "[]",
        "{a: b}",
        "*x",
        "&y ",
        "!z ",
        '"',
        "#",
        ": ",
        "\n",
        "- ",
        "|",
        "{",
        "}",
        "\t",
        "\x85",
    ]
    for _ in range(150):
        damaged = list(pieces)
        damaged[chance.randrange(len(pieces))] = chance.choice(scraps)
        rules, problems = check("".join(damaged))
        assert (rules is None) == any(not problem.is_warning for problem in problems)
        assert all(str(problem) for problem in problems)


def test_of_very_many_problems_a_thousand_are_shown() -> None:
    _, problems = check(SMALL + "".join(f"key{number}: 1\n" for number in range(3_000)))

    assert len(problems) == 1_001
    assert problems[-1].message == "... and 2,000 more problems"


def test_a_file_written_on_windows_is_read() -> None:
    assert check("\ufeff" + SAMPLE.replace("\n", "\r\n"))[1] == []


def test_a_key_without_a_value_is_a_mistake_because_a_comment_may_have_eaten_it() -> None:
    _, problems = check(SMALL + "people:\n  leads:\n    group: Leads\n    notify: #leads\n")

    assert [problem.headline for problem in problems] == [
        "rules.yaml:13:12: notify: a value is missing here; delete the key, or put text that begins with # in quotes"
    ]


def test_a_misspelt_section_is_one_problem_not_one_for_each_use_of_its_names() -> None:
    for section in ("people", "notes", "playbooks"):
        errors = check(SAMPLE.replace(f"\n{section}:", f"\nx{section}:"))[1]
        assert [problem.suggestion for problem in errors if not problem.is_warning] == [section]


def test_empty_sections_count_as_left_out() -> None:
    assert check(SMALL + "people:\nnotes:\nignore:\nlimits:\nsettings:\naway:\n")[1] == []


def test_a_missing_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(RulesError, match=r"absent\.yaml: no such file; name it with --rules") as caught:
        load(tmp_path / "absent.yaml")

    assert caught.value.exit_code == 65
    assert "\n" not in str(caught.value)


def test_a_folder_and_text_in_another_encoding_are_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes("# first\n# M\u00fcller".encode("latin-1"))

    with pytest.raises(RulesError, match="cannot be read"):
        load(tmp_path)
    with pytest.raises(RulesError, match=r"latin\.yaml:2:1: this line is not UTF-8"):
        load(tmp_path / "latin.yaml")


def test_loading_raises_all_problems_at_once(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(SMALL.replace("priority: high", "priority: hihg").replace("when:", "wen:"), encoding="utf-8")

    with pytest.raises(RulesError) as caught:
        load(file)

    assert len(caught.value.problems) == 2
    assert f"{file}:5:24: unknown priority" in str(caught.value)
