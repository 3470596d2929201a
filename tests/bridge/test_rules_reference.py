"""The reference: every example loads, the JSON Schema agrees with the loader, the README says what the program says."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from bridge.rules import check
from bridge.rules.document import Map, compose
from bridge.rules.fields import FIELDS
from bridge.rules.json_schema import json_schema
from bridge.rules.problems import Reporter
from bridge.rules.reference import KEYS, WORDS, Entry, entries, markdown, named
from bridge.rules.schema import keys_of, parts
from tests.bridge import test_rules_check, test_rules_mistakes
from tests.bridge.test_rules_check import SAMPLE, SMALL

ROOT = Path(__file__).parents[2]
VALIDATOR = Draft202012Validator(json_schema())
COMPANY = (ROOT / "connectors/sandbox/company_rules.yaml").read_text(encoding="utf-8")
COMPANY = COMPANY.replace("ZENDESK_URL", "https://acme.zendesk.com").replace("FRESHDESK_URL", "http://127.0.0.1:1")

WHOLE: dict[str, Any] = {  # a file in which every example finds what it refers to
    "version": 1,
    "accounts": {"acme": {"connector": "zendesk", "url": "https://acme.zendesk.com"}},
    "people": {"leads": {"group": "Team Leads", "notify": "leads@example.com"}},
    "notes": {"unhappy": "Please reply"},
    "playbooks": {"standard": {}, "other": {}},
    "rules": [{"name": "Low rating", "when": {"rating": "bad"}, "playbook": "standard"}],
}
PARTS: dict[str, tuple[tuple[str | int, ...], Any]] = {  # where an example of a part stands, and what it stands beside
    "": ((), {}),
    "accounts": (("accounts", "acme"), WHOLE["accounts"]["acme"]),
    "settings": (("settings",), {"survey_list": ["test@example.com"]}),
    "settings.daily_report": (("settings", "daily_report"), {"to": "leads"}),
    "settings.ticket_fields": (("settings", "ticket_fields"), {}),
    "limits": (("limits",), {}),
    "people": (("people", "leads"), {"group": "Team Leads"}),
    "people.per_group": (("people", "leads", "per_group", "Sales"), {}),
    "people.per_brand": (("people", "leads", "per_brand", "Acme Pro"), {}),
    "people.per_reason": (("people", "leads", "per_reason", "Too slow"), {}),
    "hours": (("hours", 0), {"timezone": "UTC"}),
    "away": (("away", 0), {"agent": "ben@example.com", "from": "2026-01-01", "to": "2027-12-31"}),
    "survey_texts": (("survey_texts", 0), {"subject": "a", "text": "b"}),
    "goodwill": (("goodwill",), {"version": "1", "lines": [{"up_to": "1 EUR"}]}),
    "goodwill.lines": (("goodwill",), {"version": "1", "lines": [{"up_to": "20 EUR", "approved_by": "leads"}]}),
    "causes": (("causes", "Slow"), {}),
    "playbooks": (("playbooks", "other"), {}),
    "playbooks.goodwill": (("playbooks", "other", "goodwill"), {"up_to": "20 EUR", "approved_by": "leads"}),
    "playbooks.deadlines": (
        ("playbooks", "other", "deadlines", 0),
        {"within": "1h", "until": "solved", "otherwise": {"remind": "assignee"}},
    ),
    "playbooks.deadlines.otherwise": (
        ("playbooks", "other", "deadlines", 0),
        {"within": "1h", "until": "solved"},
    ),
    "playbooks.check_in": (("playbooks", "other", "check_in"), {}),
    "playbooks.survey": (("playbooks", "other", "survey"), {"after": "2d"}),
    "playbooks.survey.if_still_bad": (("playbooks", "other", "survey"), {"after": "2d"}),
    "ignore": (("ignore", 0), {"name": "Nothing", "when": {"rating": "good"}}),
    "rules": (("rules", 0), WHOLE["rules"][0]),
}


def data_of(text: str) -> Any:
    document = compose(text, Reporter("x", text))
    assert document is not None
    return document.data


def put(whole: Any, place: tuple[str | int, ...], value: Any) -> Any:
    """Return a copy of *whole* with a value at a place."""
    if not place:
        return {**whole, **value}
    step, rest = place[0], place[1:]
    if isinstance(step, int):
        return [put({}, rest, value)]
    return {**whole, step: put(whole.get(step, {}) if rest or isinstance(value, dict) else {}, rest, value)}


def file_with(entry: Entry) -> str:
    """Return a rules file, in JSON, in which the example of an entry stands."""
    example = data_of(entry.example)
    if entry.kind in ("condition", "word"):
        return json.dumps({**WHOLE, "rules": [{**WHOLE["rules"][0], "when": example}]})
    if entry.kind == "rung":
        return json.dumps(put(WHOLE, ("playbooks", "other"), example))
    if entry.kind == "placeholder":
        texts = {"notes": {"unhappy": entry.example}}
        asked = {"survey_texts": [{"subject": "a", "text": entry.example}]}
        return json.dumps({**WHOLE, **(texts if entry.path == "notes" else asked)})
    place, beside = PARTS[entry.path]
    if entry.path == "goodwill.lines":
        example = {"lines": [{**beside["lines"][0], **example}]}
    if entry.path == "hours" and entry.name not in ("account", "group", "agent"):
        example = {"account": "acme", **example}
    if entry.path in ("playbooks.deadlines.otherwise", "playbooks.survey.if_still_bad"):
        example = {entry.path.rpartition(".")[2]: example}
    if entry.path == "people" and entry.name == "agent":
        place, beside = ("people", "ana"), {}
    return json.dumps(put(WHOLE, place, {**beside, **example}))


# ------------------------------------------------------------------ the texts
@pytest.mark.parametrize("entry", entries(), ids=[f"{one.kind} {one.place}" for one in entries()])
def test_every_example_loads_and_the_schema_takes_it(entry: Entry) -> None:
    text = file_with(entry)

    rules, problems = check(text)

    assert rules is not None, [problem.headline for problem in problems]
    assert [error.message for error in VALIDATOR.iter_errors(data_of(text))] == []


def test_there_is_a_text_for_everything_and_none_for_what_is_gone() -> None:
    keys = {f"{owner.__name__}.{key}" for _, part in parts() for owner in part.__mro__ for key in keys_of(part)}
    words = set(re.findall(r'"(\w+)"', json.dumps([field.form for field in FIELDS.values()]))) & set(WORDS)

    assert set(KEYS) <= keys
    assert len(entries()) == len({(one.kind, one.place) for one in entries()})
    assert words | {"any"} == set(WORDS)


def test_a_name_stands_for_every_place_where_it_is_written() -> None:
    assert {one.place for one in named("remind_after")} == {"playbooks.survey.remind_after"}
    assert {one.place for one in named("Group")} >= {"people.group", "hours.group", "when.group"}
    assert {one.place for one in named("playbooks.check_in")} == {"playbooks.check_in", "playbooks.check_in.after"}
    assert [one.example for one in named("{reply_by}")] == ["{reply_by|none}"]
    assert named("nonsense") == []


@pytest.mark.parametrize("name", list(markdown()))
def test_the_readme_says_what_the_program_says(name: str) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    written = re.search(rf"<!-- begin: {name} -->\n\n(.*?)\n\n<!-- end: {name} -->", readme, re.DOTALL)

    assert written is not None, f"README.md has no place for {name}"
    assert written[1] == markdown()[name], "run `recovery-bridge fields --markdown` and paste it between the markers"


# ------------------------------------------------------------------ the schema
def test_the_schema_beside_rules_yaml_is_the_one_that_the_program_prints() -> None:
    kept = (ROOT / "rules.schema.json").read_text(encoding="utf-8")

    assert json.loads(kept) == json_schema(), "run: recovery-bridge schema > rules.schema.json"
    assert SAMPLE.splitlines()[0] == "# yaml-language-server: $schema=rules.schema.json"


def test_the_schema_is_one_in_words_that_every_editor_knows() -> None:
    Draft202012Validator.check_schema(json_schema())

    assert words_of(json_schema()) <= {
        *("$schema", "$ref", "$defs", "title", "description", "examples", "type", "properties", "required", "enum"),
        *("additionalProperties", "patternProperties", "propertyNames", "items", "minItems", "anyOf", "allOf", "not"),
        *("pattern", "maxLength", "minimum", "maximum", "exclusiveMinimum", "minProperties", "maxProperties"),
    }


def words_of(form: Any) -> set[str]:
    """Return the keywords of a schema; what stands below names and in examples is none."""
    if isinstance(form, list):
        return set().union(*map(words_of, form))
    if not isinstance(form, dict):
        return set()
    found = set(form)
    for word, inner in form.items():
        if word in ("properties", "patternProperties", "$defs"):
            found |= words_of(list(inner.values()))
        elif word not in ("examples", "enum", "required"):
            found |= words_of(inner)
    return found


SHORT_FORMS = [
    "when: {rating: bad, channel: email}",
    "when: {rating: [bad, neutral], channel: [chat, EMAIL]}",
    "when: {rating: {at_most: 2.5}, channel: {none_of: chat}}",
    "when: {rating: {any_of: bad, none_of: [good]}, bad_ratings_365d: {at_least: 2}}",
    "when: {comment: {mentions: {de: [kaputt], pt-br: [lixo]}}, language: {any_of: [de, en-us]}}",
    "when: {requested: true, any: [{tags: {has: a}}, {reopens: {at_least: 1}}]}",
    "when: {rating: bad}, unless: {rated: {older_than: 1d 12h}}",
]
SECTIONS = [
    "settings: {rate_share: 25%, holidays: DE, working_hours: {Mon-Fri: '9:00 - 12:00,13:00-17:00', sun: 22:00-02:00}}",
    "settings: {rate_share: 0.25, holidays: [2026-12-24], ticket_fields: {cause: 360001, remedy: cf_remedy}}",
    "settings: {working_hours: {mon-sun: 00:00-24:00}, quiet_hours: 9:00-9:30, survey_list: []}",
    "limits: {surveys_per_customer: 2  in  30d, goodwill_per_customer: 12.50 EUR in 90d, give_up_after: 2h30m}",
    "people: {leads: {group: A, per_brand: {'Acme, Pro': {notify: https://example.com/hook?x=1}}}}",
    "people:\nnotes:\nlimits:\nsettings:\nignore:\naway:\nhours:\ngoodwill:\ncauses:\nsurvey_texts:\nneeds:",
    "survey_texts: [{sender: Acme Care <care@acme.example>, subject: A, text: B, language: de_AT}]",
]


@pytest.mark.parametrize("good", [*SHORT_FORMS, *SECTIONS])
def test_short_forms_are_fine_for_both(good: str) -> None:
    text = SMALL.replace("when: {rating: bad}", good.replace(", unless", "\n    unless"))
    text = text if good in SHORT_FORMS else f"{SMALL}{good}\n"
    assert text != SMALL

    rules, problems = check(text)

    assert rules is not None, [problem.headline for problem in problems]
    assert [error.message for error in VALIDATOR.iter_errors(data_of(text))] == []


@pytest.mark.parametrize("text", [SAMPLE, COMPANY, SMALL], ids=["sample", "company", "small"])
def test_the_schema_takes_every_file_that_is_shipped(text: str) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(data_of(text))] == []


# What only `check` can know: what names stand elsewhere, what lines agree on, what is in the calendar or in a text.
BEYOND = re.compile(
    r'unknown (person|note|playbook|timezone|placeholder|account) "|time zone that knows|placeholder|on its own|'
    r"needs version|needs the addresses|no public holidays|not in the calendar|is before from|currenc|is like itself|"
    r"assigns tickets|already|means the cause|adds the tag|looked for as they stand|secret|whoever has this may"
)
ALL = (test_rules_check.MISTAKES, test_rules_check.ADVICE, test_rules_mistakes.MISTAKES)
MISTAKES = [mistake[:2] for corpus in ALL for mistake in corpus]


@pytest.mark.parametrize(("right", "wrong"), MISTAKES, ids=[repr(wrong[:40]) for _, wrong in MISTAKES])
def test_the_schema_sees_each_mistake_that_one_place_shows(right: str, wrong: str) -> None:
    text = SAMPLE.replace(right, wrong, 1)
    report = Reporter("x", text)
    document = compose(text, report)
    if document is None or report.has_errors:
        return  # no YAML, or none that means to others what it means here: editors have their own words for that

    problems = check(text)[1]

    seen = not VALIDATOR.is_valid(document.data)
    assert seen or all(BEYOND.search(problem.message) for problem in problems), problems[0].headline


SOME = f"""{SMALL}settings: {{mode: live, rate_share: 0.5, quiet_hours: 21:00-08:00, holidays: DE, max_open: 3}}
people: {{leads: {{group: A, notify: a@example.com}}}}
ignore: [{{name: I, when: {{tags: {{has: a}}}}}}]
causes: {{Slow: {{tag: slow, party: service}}}}
goodwill: {{version: "1", lines: [{{up_to: 5 EUR, severity: [low]}}]}}
"""
ODD = [None, True, 5, 0.5, "", "a b", "30m", "50%", "bad", [], ["a"], {}, {"has": "a"}, {"at_least": 1}, {"any_of": []}]


def test_the_schema_refuses_nothing_that_the_loader_takes() -> None:
    chance = random.Random(9)
    taken = 0
    for _ in range(250):
        data = data_of(SOME)
        holder = chance.choice(maps(data))
        key = chance.choice(list(holder))
        holder[key] = chance.choice(ODD)
        text = json.dumps(data)
        if check(text)[0] is not None:
            taken += 1
            assert [error.message for error in VALIDATOR.iter_errors(data_of(text))] == [], (key, holder[key])
    assert taken > 10


def maps(data: Any) -> list[Map]:
    """Return all mappings of a document."""
    found = [data] if isinstance(data, Map) and data else []
    inner = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return found + [one for value in inner for one in maps(value)]
