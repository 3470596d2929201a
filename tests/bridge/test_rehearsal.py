"""Unit tests of rules: what a test file may say, what counts as a failure, and what breaking the rules shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.errors import RulesError
from bridge.rehearsal import Played, breakages, is_noticed, play, read_script
from bridge.rules import Rules, check

ROOT = Path(__file__).parents[2]
SAMPLE, SAMPLE_TESTS = (ROOT / name for name in ("rules.yaml", "rules_test.yaml"))
RULES = """
version: 1
accounts: {acme: {connector: zendesk, url: http://127.0.0.1:1}}
settings: {timezone: Europe/Berlin, working_hours: {mon-fri: 09:00-18:00}}
people:
  leads: {group: Team Leads, notify: "#leads"}
playbooks:
  standard:
    assign_to_first_available: [original_agent, same_team, leads]
    priority: high
    tags: [csat-recovery]
    check_in: {after: 1d}
    survey: {after: 2d, if_still_bad: {assign: leads}}
    deadlines:
      - {within: 30m, until: acknowledged, otherwise: {remind: assignee}}
      - {within: 2h, until: replied, otherwise: {assign: leads}}
ignore:
  - {name: Spam, when: {tags: {has: spam}}}
rules:
  - {name: Low rating, when: {rating: bad}, playbook: standard}
"""
TESTS = """
version: 1
now: 2026-03-09 10:00
agents:
  ana: {group: Care}
  cem: {group: Care}
  ben: {group: Team Leads}
ticket: {rating: bad, comment: Still broken, original_agent: ana}
tests:
  - {name: Spam is left alone, ticket: {tags: [spam]}, expect: {ignored_by: Spam}}
"""


def rules(*changes: tuple[str, str]) -> Rules:
    text = RULES
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    found, problems = check(text)
    assert found, problems
    return found


def played(*tests: str, by: Rules | None = None) -> Played:
    """Play TESTS with further tests, each in braces."""
    by = by or rules()
    return play(read_script(TESTS + "".join(f"  - {test}\n" for test in tests), by), by)


def failures(*tests: str, by: Rules | None = None) -> list[str]:
    return [failure for result in played(*tests, by=by).results for failure in result.failures]


def problems(*tests: str, text: str = TESTS) -> list[str]:
    with pytest.raises(RulesError) as caught:
        read_script(text + "".join(f"  - {test}\n" for test in tests), rules())
    return [str(problem) for problem in caught.value.problems]


# ------------------------------------------------------------------ the shipped sample
def test_the_shipped_tests_pass_and_reach_every_rule() -> None:
    sample, found = check(SAMPLE.read_text(encoding="utf-8"))
    assert sample, found

    done = play(read_script(SAMPLE_TESTS.read_text(encoding="utf-8"), sample), sample)

    assert done.passed, (done.unreached, [(one.name, one.failures) for one in done.results if not one.passed])


def test_the_shipped_tests_notice_at_least_95_of_100_breakages() -> None:
    sample, _ = check(SAMPLE.read_text(encoding="utf-8"))
    assert sample
    script = read_script(SAMPLE_TESTS.read_text(encoding="utf-8"), sample)

    noticed = [is_noticed(script, one.rules) for one in breakages(sample)]

    assert len(noticed) > 100
    assert sum(noticed) / len(noticed) >= 0.95


# ------------------------------------------------------------------ what is expected at first
HOLDS = {
    "rule": "{rule: Low rating}",
    "no rule": "{rule: none, ticket: nothing}",
    "owner": "{assign: ana}",
    "priority and tags": "{priority: high, tags: [csat-recovery]}",
    "what happens to the ticket": "{ticket: reopen, stage: assigned}",
    "words of the note": "{note_contains: [gave this ticket to Ana]}",
}


@pytest.mark.parametrize("what", HOLDS)
def test_what_holds_passes(what: str) -> None:
    rating = "good" if what == "no rule" else "bad"

    assert failures(f"{{name: x, ticket: {{rating: {rating}}}, expect: {HOLDS[what]}}}") == []


@pytest.mark.parametrize(
    ("expect", "said"),
    [
        ("{rule: none}", "expected rule: none, got Low rating"),
        ("{assign: cem}", "expected assign: cem, got ana"),
        ("{severity: critical}", "expected severity: critical, got normal"),
        ("{tags: []}", "expected tags: nothing, got csat-recovery"),
        ("{notify: leads}", "expected notify: leads, got nothing"),
        ("{ticket: follow_up}", "expected ticket: follow_up, got reopen"),
        ("{note_contains: Dear Mia}", "expected a note with Dear Mia, got Recovery Bridge gave this ticket to Ana"),
        ("{goodwill_up_to: 20 EUR}", "expected goodwill_up_to: 20 EUR, got none"),
    ],
)
def test_what_does_not_hold_says_what_was_expected_and_what_came(expect: str, said: str) -> None:
    (failure,) = failures(f"{{name: x, expect: {expect}}}")

    assert failure.startswith(said)


def test_a_failure_comes_with_what_each_rule_saw() -> None:
    (_, result) = played("{name: x, expect: {rule: none}}").results

    assert [(rule.name, rule.matches) for rule in result.trace] == [("Spam", False), ("Low rating", True)]


def test_a_failure_shows_the_ticket_as_it_was_before_we_wrote_to_it() -> None:
    (_, result) = played("{name: x, expect: {rule: none}}").results

    assert [line.seen for rule in result.trace for line in rule.lines if line.field == "tags"] == ["none"]


def test_a_scene_takes_from_the_top_what_it_leaves_out() -> None:
    assert failures("{name: x, agents: {ana: {available: false}}, expect: {assign: cem}}") == []


def test_each_variant_is_a_test_of_its_own() -> None:
    done = played("{name: x, each: [{rating: 2 of 5, expect: {assign: ana}}, {rating: 7 of 7, expect: {assign: ana}}]}")

    assert [(one.name, one.passed) for one in done.results[1:]] == [("x [1]", True), ("x [2]", False)]


# ------------------------------------------------------------------ steps
def steps(*lines: str) -> str:
    return f"{{name: x, steps: [{', '.join(lines)}]}}"


def test_deadlines_come_at_their_minute() -> None:
    story = steps(
        "{at: +29m, expect: nothing}", "{at: +30m, expect: {remind: ana}}", "{at: +2h, expect: {assign: ben}}"
    )

    assert failures(story) == []


def test_what_nobody_expected_is_a_failure() -> None:
    assert failures(steps("{at: +31m, expect: nothing}")) == ["Mon 09 Mar 10:31: expected remind: nothing, got ana"]


def test_what_was_expected_and_did_not_come_is_a_failure() -> None:
    assert failures(steps("{at: +29m, expect: {remind: ana}}")) == [
        "Mon 09 Mar 10:29: expected remind: ana, got nothing"
    ]


@pytest.mark.parametrize(
    ("deed", "expect"),
    [
        ("rated good", "{end: recovered}"),
        ("merged", "{end: dismissed}"),
        ("deleted", "{end: dismissed}"),
        ("ana leaves", "{assign: cem}"),
        ("ana is away", "{assign: cem}"),
        ("assigned to cem by a human", "nothing"),
        ("assigned to cem", "nothing"),
        ("acknowledged", "{stage: acknowledged}"),
        ("replied", "{stage: contacted}"),
        ("solved", "{stage: solved}"),
        ("closed", "{stage: solved}"),
        ("customer wrote", "nothing"),
        ("tagged cause-slow", "nothing"),
    ],
)
def test_people_act(deed: str, expect: str) -> None:
    assert failures(steps(f"{{at: +5m, do: {deed}, expect: {expect}}}")) == []


def test_a_ticket_that_is_opened_again_is_worked_on_again() -> None:
    story = steps("{at: +5m, do: solved}", "{at: +1h, do: reopened, expect: {stage: assigned, remind: ana}}")

    assert failures(story) == ["Mon 09 Mar 11:00: expected remind: ana, got nothing"]


def test_the_whole_way_to_a_second_bad_answer() -> None:
    story = steps(
        "{at: +1h, do: solved}",
        "{at: +1d 2h, expect: {task: ana}}",
        "{at: +2d 2h, expect: {send: survey}}",
        "{at: +3d, do: rated bad, expect: {assign: ben}}",
    )

    assert failures(story)[1:] == []


# ------------------------------------------------------------------ what cannot pass
MISTAKES = {
    "no test at all": ("", "tests: at least one is wanted here"),
    "a test without expectation": ("{name: x}", "this test expects nothing"),
    "an empty expectation": ("{name: x, expect: {}}", "this test expects nothing"),
    "an unknown rule": (
        "{name: x, expect: {rule: Low ratings}}",
        'unknown rule "Low ratings", did you mean "Low rating"?',
    ),
    "an unknown entry of ignore": ("{name: x, expect: {ignored_by: Span}}", 'did you mean "Spam"?'),
    "an unknown agent": ("{name: x, expect: {assign: bem}}", 'unknown agent "bem", did you mean'),
    "an unknown person": ("{name: x, expect: {notify: lead}}", 'unknown person "lead", did you mean "leads"?'),
    "an unknown field": ("{name: x, ticket: {ratting: bad}, expect: {rule: none}}", 'did you mean "rating"?'),
    "an unknown deed": ("{name: x, steps: [{at: +5m, do: shrugged}]}", '"shrugged" is nothing that anybody does'),
    "a stranger who leaves": ("{name: x, steps: [{at: +5m, do: anna leaves, expect: nothing}]}", 'did you mean "ana"?'),
    "a rating off the scale": ("{name: x, ticket: {rating: 7 of 5}, expect: {rule: none}}", '"7 of 5" is not a rating'),
    "a moment that is none": ("{name: x, steps: [{at: soon, expect: nothing}]}", '"soon" is not a moment'),
    "a day that is none": ("{name: x, now: 2026-02-30 10:00, expect: {rule: none}}", "not in the calendar"),
    "a step without anything": ("{name: x, steps: [{at: +5m}]}", "write do or expect"),
    "a name that stands twice": ("{name: Spam is left alone, expect: {rule: none}}", "there is a test"),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_is_told_with_its_place(what: str) -> None:
    test, advice = MISTAKES[what]
    text = TESTS if test else TESTS.partition("tests:")[0] + "tests: []\n"

    found = problems(*[test] * bool(test), text=text)

    line = len(text.splitlines()) + bool(test)
    assert any(advice in problem and f":{line}:" in problem for problem in found), found


def test_a_rule_that_no_test_reaches_is_a_failure() -> None:
    done = played()

    assert done.unreached == ("Low rating",)
    assert not done.passed


def test_a_selection_blames_no_rule() -> None:
    script = read_script(TESTS, rules())

    assert play(script, rules(), "spam").passed


# ------------------------------------------------------------------ breaking the rules
def test_a_breakage_that_no_test_notices_is_found() -> None:
    by = rules()
    script = read_script(TESTS + "  - {name: x, expect: {rule: Low rating}}\n", by)

    unnoticed = [one.what for one in breakages(by) if not is_noticed(script, one.rules)]

    assert "playbooks standard priority is urgent" in unnoticed
    assert '"Spam" left out' not in unnoticed


def test_breaking_leaves_the_rules_as_they_are() -> None:
    by = rules()
    before = by.decide.__self__.playbooks["standard"]

    assert len(list(breakages(by))) > 15
    assert rules().playbooks["standard"] == before
    assert by.document.data["playbooks"]["standard"]["priority"] == "high"


def test_rules_that_never_meet_are_not_exchanged() -> None:
    by = rules(
        ("  - {name: Low rating", "  - {name: Good, when: {rating: good}, playbook: standard}\n  - {name: Low rating")
    )

    assert not [one.what for one in breakages(by) if "moved above" in one.what]
