"""Mistakes of real admins, planted into the sample: each is caught on its line, and said what to write instead."""

from __future__ import annotations

import random
import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.errors import RulesError
from bridge.rules import check, load
from bridge.rules.document import MAX_SIZE
from tests.bridge.test_rules_check import SAMPLE, SMALL

KEY = "aB3dE5fG7hI9jK1lM3nO5pQ7rS9tU1vW3xY5zA7b"  # as long as an API token of Zendesk

BAD = "when: {rating: bad}"
RULE = "  - name: Abusive customer"
WHEN = "    when: {rating: bad, customer_tags: {has: abusive}}"
LADDER = "assign_to_first_available: [original_agent, same_team, leads]"
FIRST = "{within: 30m, until: acknowledged, otherwise: {remind: assignee}}"
GREETING = "{customer_first_name|The customer} rated"
NOTIFY = 'notify: "#recovery-leads"'
URL = "url: https://acme.zendesk.com"
FRIDAY = "mon-fri: 09:00-18:00"

# what stands in the sample, what is written instead, where the caret stands, what the message says; with a word or
# text to write in its place unless the last is False
MISTAKES: list[tuple[str, str, str, str, bool]] = [
    # words and signs of other languages
    (BAD, "when: {rating: <= 2}", "<= 2", "write {at_most: 2}", True),
    (BAD, "when: {rating: '< 3'}", "'< 3'", "write {at_most: 2}", True),
    (BAD, "when: {rating: {lt: 3}}", "lt", 'did you mean "at_most"?', True),
    (BAD, "when: {rating: negative}", "negative", 'did you mean "bad"?', True),
    (BAD, "when: {rating: 1 star}", "1 star", "there are: bad, good, neutral", True),
    (BAD, "when: {rating is bad}", "rating is", "with a colon and a space: rating: bad", True),
    (BAD, "when: {rating:bad}", "rating:bad", "with a colon and a space: rating: bad", True),
    (BAD, "when: rating = bad", "rating =", "like {rating: bad}", True),
    (BAD, "when: {and: [{rating: bad}]}", "and", "write them one below the other", True),
    (BAD, "when: {or: [{rating: bad}]}", "or: [", "write any: with a list", True),
    (BAD, "when: {not: {channel: chat}}", "not", "below unless:, beside when", True),
    (BAD, "when: {rating: bad, unless: {channel: chat}}", "unless", "write it beside when, not inside it", True),
    (BAD, "when: {rating: 'bad,neutral'}", "'bad,neutral'", "as a list: [bad, neutral]", True),
    (BAD, "when: {rating: bad, tags: {has: vip, enterprise}}", "enterprise", "several are written as a list", True),
    (BAD, "when: {rating: bad, priority: medium}", "medium", 'did you mean "normal"?', True),
    (BAD, "when: {rating: bad, rated: {older_than: 2 weeks}}", "2 weeks", "write 14d", True),
    (BAD, "when: {rating: bad, rated: 14d}", "14d", "write {older_than: 14d}", True),
    (BAD, "when: {rating: bad, reopens: '> 2'}", "'> 2'", "write {at_least: 3}", True),
    (BAD, "when: {rating: bad, comment: refund}", "refund}", "{mentions: [refund, still broken]}", True),
    (BAD, "when: {rating: bad, comment: {contains: [refund]}}", "contains", 'did you mean "mentions"?', True),
    (BAD, "when: {rating: bad, comment: {mentions: [refund.*]}}", "refund", "write each form", True),
    ("[cancel, refund, lawyer]", "[/cancel|refund/i]", "/cancel", "not as patterns", True),
    (BAD, "when: {rating: bad, comment: {present: yes}}", "yes", "write true or false", True),
    (BAD, "when: {ticket.rating: bad}", "ticket.rating", 'did you mean "rating"?', True),
    (BAD, "if: {rating: bad}", "if", 'did you mean "when"?', True),
    # keys that belong elsewhere, or are missing
    (BAD, "rating: bad", "rating", "write it inside when", True),
    (f"    {BAD}\n", "    when:\n    rating: bad\n", "\n    rating: bad", "indent its lines further", False),
    ("    when: {rating: bad}\n", "    when:\n      - rating: bad\n", "- rating", "without dashes", False),
    ("    severity: critical\n", "    priority: urgent\n", "priority", "into a playbook (playbooks)", True),
    ("    severity: critical\n", "    note: severe\n", "note", "into a playbook (playbooks)", True),
    ("    severity: critical\n", "    enabled: false\n", "enabled", "write disabled: with the reason", True),
    ("    severity: critical\n", "    severity: urgent\n", "urgent", 'did you mean "critical"?', True),
    ("    playbook: urgent", "    do: urgent", "do", 'did you mean "playbook"?', True),
    ("    playbook: urgent", "    playbook: [urgent, standard]", "[urgent", "like the name of a playbook", False),
    ("playbooks:\n", "timezone: Europe/Berlin\nplaybooks:\n", "timezone", "write it into settings", True),
    # playbooks
    (LADDER, "assign_to: original_agent", "assign_to", 'did you mean "assign_to_first_available"?', True),
    (LADDER, "assign_to_first_available: [Ana Archer]", "Ana", "there are: coaches, leads, original_agent", True),
    (LADDER, "assign_to_first_available: leads", "leads", "like [leads]", True),
    (FIRST, "{within: 30m, until: acknowledged}", "{within", "write it like otherwise: {assign: leads}", True),
    (FIRST, "{within: 30m, until: seen, otherwise: {remind: assignee}}", "seen", 'did you mean "acknowledged"?', True),
    (FIRST, "{within: 30, until: acknowledged, otherwise: {remind: assignee}}", "30", "its unit, like 30m", True),
    (FIRST, "{within: 30m, until: acknowledged, then: {remind: assignee}}", "then", 'did you mean "otherwise"?', True),
    (FIRST, "{within: 30m, until: acknowledged, otherwise: remind}", "remind", "like otherwise: {assign: leads}", True),
    ("{remind: assignee}", "{remind: agent}", "agent}", 'did you mean "assignee"?', True),
    ("like: standard  ", "extends: standard  ", "extends", 'did you mean "like"?', True),
    ("like: standard  ", "like: Standard  ", "Standard", 'did you mean "standard"?', True),
    ("    priority: high\n", "    priority: critical\n", "critical", 'did you mean "urgent"?', True),
    ("[csat-recovery]", "csat-recovery, vip", "csat", "like [csat-recovery, vip]", True),
    # times, money, addresses
    ("after: 2d ", "after: 2 days ", "2 days", "write 2d", True),
    ("mode: shadow ", "mode: dry-run ", "dry-run", 'did you mean "shadow"?', True),
    ("surveys: off ", "surveys: on ", "on ", 'did you mean "everyone"?', True),
    ("timezone: Europe/Berlin", "timezone: CEST", "CEST", "write it like Europe/Berlin", True),
    (FRIDAY, "mon-fri: 9am-6pm", "9am", "write 09:00-18:00", True),
    (FRIDAY, "mon\u2013fri: 09:00-18:00", "mon\u2013fri", "write mon-fri", True),
    (FRIDAY, "monday-friday: 09:00-18:00", "monday", "write mon-fri", True),
    ("quiet_hours: 21:00-08:00", "quiet_hours: 9 pm to 8 am", "9 pm", "write 21:00-08:00", True),
    ("tickets_per_hour: 50 ", "tickets_per_hour: 50/h ", "50/h", "write 50", True),
    ("tickets_per_hour: 50 ", "tickets_per_hour: unlimited ", "unlimited", "delete the line for no limit", True),
    ("share_of_rated: 50%", "share_of_rated: 50", "50", "write 50%", True),
    ("goodwill_per_ticket: 50 EUR", "goodwill_per_ticket: \u20ac50", "\u20ac50", "write 50 EUR", True),
    ("120 EUR in 90d", "120 EUR per 90 days", "120 EUR per", "write 120 EUR in 90d", True),
    ("surveys_per_customer: 1 in 30d", "surveys_per_customer: 1/month", "1/month", "write 1 in 30d", True),
    ("from: 2026-12-20", "from: 12/20/2026", "12/20", "write 2026-12-20", True),
    ("holidays: DE-BE", "holidays: [24.12.2026]", "24.12.2026", "write 2026-12-24", True),
    ("- language: de\n", "- language: German\n", "German", "write de", True),
    (NOTIFY, "notify: recovery-leads", "recovery-leads", 'for a channel write "#recovery-leads"', True),
    (NOTIFY, "notify: @leads", "@leads", "put such text in quotes", True),
    (NOTIFY, "notify: \u201c#recovery-leads\u201d", "\u201c", 'write straight ones: "', True),
    (URL, "url: acme.zendesk.com", "acme.zendesk", "like https://acme.zendesk.com", True),
    (URL, "url: https://acme.zendesk.com/api/v2", "https", "only the host belongs here: https://acme", True),
    ("shop: {connector: freshdesk, url: https://shop.freshdesk.com}", "shop: {connector: zendesk, " + URL + "}",
     "https", "is the account in line", False),
    # secrets
    (URL, f"{URL}, api_token: {KEY}", KEY, "the environment, as BRIDGE_<ACCOUNT>_API_TOKEN", True),
    (URL, f"{URL}, api_key: x", "api_key", "put it into the environment", True),
    ("settings:\n", f"# token = {KEY}\nsettings:\n", KEY, "no secret belongs in this file", True),
    (NOTIFY, "notify: https://hooks.slack.com/services/T0/B0/abc", "hooks", "as BRIDGE_SLACK_WEBHOOK", True),
    # notes
    (GREETING, "{{customer_first_name}} rated", "{{customer", "write {customer_first_name}", True),
    (GREETING, "${customer_first_name} rated", "${", "without $", True),
    (GREETING, "{customer_first_name rated", "{customer", "a placeholder is written {customer_name|fallback}", True),
    (GREETING, "{name} rated", "{name", 'did you mean "customer_name"?', True),
    ("note: unhappy", "note: Please call", "Please", "there are: asked, severe, unhappy", True),
    # YAML
    (RULE, "  - name:Abusive customer", ":Abusive", "put a space after the colon", True),
    (RULE, "  -name: Abusive customer", "-name", 'begin it with "- "', True),
    (RULE, "  - name:\u00a0Abusive customer", "\u00a0", "type a plain one over it", True),
    (RULE, "  - name: 'Don't'", "t'", "quote text that has quotes", True),
    (RULE, "  - name: 100% angry: yes", ": yes", "put the text in quotes", True),
    (RULE, "  - Name: Abusive customer", "Name", 'did you mean "name"?', True),
    (WHEN, f"\u00a0{WHEN[1:]}", "\u00a0", "type a plain one over it", True),
    (WHEN, f"\t{WHEN.strip()}", "\t", "indent with spaces", True),
    (WHEN, WHEN[1:], "when", "check the indentation", True),
    ("    They wrote:", "  They wrote:", 'Earlier', "check the indentation", True),
    ("settings:\n", "settings\n", "settings", "write a colon and a space after the key", True),
    ("rules:\n", "rules: []\nrules:\n", "[]", "at least one is wanted here", False),
    ("rules:\n", "---\nrules:\n", "---", "delete the ---", True),
    ("version: 1\n", 'version: "1"\n', '"1"', "write 1 without quotes", True),
    ("playbooks:\n", "<<<<<<< HEAD\nplaybooks:\n=======\nbooks:\n>>>>>>> main\n", "<<<<<<<", "keep one", True),
]  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES, ids=[repr(mistake[1][:40]) for mistake in MISTAKES])
def test_a_planted_mistake_is_caught_where_it_is(mistake: tuple[str, str, str, str, bool]) -> None:
    right, wrong, caret, advice, _ = mistake
    assert right in SAMPLE
    text = SAMPLE.replace(right, wrong, 1)

    rules, problems = check(text)

    assert rules is None
    found = {(one.line, one.column): one.message for one in problems}
    assert advice in found[place_of_mistake(text, right, wrong, caret)], found


def place_of_mistake(text: str, right: str, wrong: str, caret: str) -> tuple[int, int]:
    """Where the caret stands; the text around the mistake tells it from others that look the same."""
    begins = SAMPLE.index(right)
    line = text.rfind("\n", 0, begins) + 1
    found = text.index(caret, line if caret not in wrong else begins)
    return text.count("\n", 0, found) + 1, found - text.rfind("\n", 0, found)


def test_nine_in_ten_messages_say_what_to_write() -> None:
    told = [mistake for mistake in MISTAKES if mistake[4]]

    assert len(MISTAKES) >= 60
    assert len(told) >= 0.9 * len(MISTAKES)


TWELVE = [
    ("mode: shadow ", "mode: dry-run "), ("timezone: Europe/Berlin", "timezone: Berlin"),
    ("tickets_per_hour: 50 ", "tickets_per_hour: 50/h "), ("from: 2026-12-20", "from: 20.12.2026"),
    (GREETING, "{name} rated"), ("version: \"2026-03\"", "version: 2026"), ("party: product", "party: produkt"),
    (FIRST, "{within: 30, until: seen}"), ("like: standard  ", "extends: standard  "),
    ("- name: Old rating", "- name: SPAM and tests"), ("{at_least: 3}", "'>= 3'"),
    (BAD, "when: {rating is bad}"),
]  # fmt: skip


def test_twelve_mistakes_of_one_file_are_found_in_one_run_each_on_its_line() -> None:
    text = SAMPLE
    for right, wrong in TWELVE:
        text = text.replace(right, wrong, 1)

    rules, problems = check(text)

    lines = [text.count("\n", 0, text.index(wrong)) + 1 for _, wrong in TWELVE]
    assert rules is None
    assert {problem.line for problem in problems} == set(lines)


def test_what_two_parts_disagree_about_is_found_beside_a_misspelt_word() -> None:
    text = SAMPLE.replace("mode: shadow ", "mode: shaddow ").replace("cause-wrong", "cause-slow")

    problems = check(text)[1]

    assert [problem.suggestion for problem in problems] == ["shadow", None]
    assert "means the cause in line" in problems[1].message


# ------------------------------------------------------------------ secrets
@pytest.mark.parametrize(
    "line",
    [
        f"  acme: {{connector: zendesk, url: https://acme.zendesk.com, api_token: {KEY}}}",
        f"  acme: {{connector: zendesk, url: https://me:{KEY}@acme.zendesk.com}}",
        f"  acme: {{connector: {KEY}, url: https://acme.zendesk.com}}  # password: {KEY[:9]}",
        f"  acme: {{connector: zendesk, url: {KEY}}}",
        f"  acme: {{connector: zendesk, url: https://acme.zendesk.com, {KEY}: x}}",
    ],
)
def test_no_secret_is_printed_again(line: str) -> None:
    problems = check(SMALL.replace(SMALL.splitlines()[2], line), "rules.yaml")[1]

    assert problems
    printed = " ".join([str(one) + one.annotation + str(one.as_dict()) for one in problems])
    assert KEY[:9] not in printed


@pytest.mark.parametrize(
    "words",
    ["https://docs.example.com/d/1AbC2dEfGh3IjKlMn4OpQrSt5", "Kundenzufriedenheitsumfrage", "360001234567890123456789"],
)
def test_an_address_a_long_word_or_a_number_is_no_secret(words: str) -> None:
    note = f"notes: {{kind: See {words}}}\n"

    assert check(SMALL.replace("{priority: high}", "{note: kind}") + note)[1] == []


def test_what_looks_like_a_key_is_only_doubted() -> None:
    rules, problems = check(SMALL + f"# {KEY}\n")

    assert rules is not None
    assert [problem.headline for problem in problems] == [
        "rules.yaml:10:3: warning: this looks like a key; if it is one: delete it and make a new one, for this file is "
        "read by many; it belongs into the environment, as BRIDGE_<ACCOUNT>_API_KEY or the like"
    ]


# ------------------------------------------------------------------ files that are none
def test_a_file_of_ten_megabytes_in_any_letters_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("# x\u20ac" + "\u20ac" * 3_400_000, encoding="utf-8")

    with pytest.raises(RulesError, match="characters; at most 1,000,000 are read"):
        load(file)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ('{"tickets": [{"id": 1}]}', 'unknown key "tickets"'),
        ("a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n", "anchors (&a) are not used here"),
        ("rules\n", "a rules file consists of sections"),
        ("<html><body>404</body></html>", "a rules file consists of sections"),
        ("\U0001f600: 1\n", "unknown key"),
        ("version: 1\r\nrulez: 1\rx: 2\n", 'unknown key "rulez", did you mean "rules"?'),
    ],
)
def test_what_was_never_a_rules_file_is_refused(text: str, advice: str) -> None:
    rules, problems = check(text)

    assert rules is None
    assert any(advice in problem.message for problem in problems)


def test_json_is_read_like_yaml() -> None:
    text = """{"version": 1, "accounts": {"acme": {"connector": "zendesk", "url": "https://acme.zendesk.com"}},
    "playbooks": {"standard": {}}, "rules": [{"name": "A", "when": {"rating": "bad"}, "playbook": "standard"}]}"""

    assert check(text)[1] == []


# ------------------------------------------------------------------ whatever is typed
SCRAPS = [*string.printable, "\ufeff", "\u00a0", "\u201c", "\U0001f600", "\x85", "\u2028", "\x00"]
SCRAPS += ["<<<<<<<", "&a ", "*a", "!!", "- ", ": ", "{{"]


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=200), st.sampled_from(["%s", SMALL + "%s", SMALL.replace("zendesk, ", "%s")]))
def test_no_text_at_all_makes_it_raise(text: str, around: str) -> None:
    rules, problems = check(around % text)

    assert (rules is None) == any(not problem.is_warning for problem in problems)


def test_no_slip_of_the_fingers_makes_it_raise() -> None:
    chance = random.Random(3)
    for _ in range(60):
        text = list(SAMPLE)
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(text))
            text[place : place + chance.choice([0, 1, 1, 8])] = chance.choice(SCRAPS)
        rules, problems = check("".join(text))
        assert (rules is None) == any(not problem.is_warning for problem in problems)
        assert all(str(problem) and problem.annotation for problem in problems)
    assert len(SAMPLE) < MAX_SIZE
