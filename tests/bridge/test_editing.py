"""Switching rules off and on: one key comes and goes, everything else in the file stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.editing import disabled, enabled, replace_file
from bridge.errors import RulesError
from bridge.rules import Rules, check, facts_of
from tests.bridge.people import NOW, rating

SAMPLE = (Path(__file__).parents[2] / "rules.yaml").read_text(encoding="utf-8")
FLOW = """version: 1
accounts: {acme: {connector: zendesk, url: http://127.0.0.1:1}}
playbooks: {standard: {}}
rules: [{name: "One, two", when: {rating: bad}, playbook: standard}, {name: Other, when: {rating: good}, playbook: standard}]
"""  # noqa: E501


def read(text: str) -> Rules:
    rules, problems = check(text)
    assert rules, problems
    return rules


NAMES = [entry.name for entry in (*read(SAMPLE).ignore, *read(SAMPLE).rules)]


@pytest.mark.parametrize("name", NAMES)
def test_switching_off_and_on_leaves_the_file_as_it_was(name: str) -> None:
    off = disabled(read(SAMPLE), name, "2026-11-22: we look at it")

    assert sorted(off.splitlines()) == sorted([*SAMPLE.splitlines(), '    disabled: "2026-11-22: we look at it"'])
    assert enabled(read(off), name) == SAMPLE


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("name", ["One, two", "Other"])
def test_rules_in_braces_and_other_line_ends_too(name: str, ending: str) -> None:
    text = FLOW.replace("\n", ending)

    off = disabled(read(text), name, 'she said "no"')

    assert [rule.disabled for rule in read(off).rules if rule.name == name] == ['she said "no"']
    assert enabled(read(off), name) == text


def test_a_disabled_rule_takes_nothing_and_says_why() -> None:
    off = read(disabled(read(FLOW), "One, two", "too loud"))
    facts = facts_of(rating(), None, None, account="acme", bad_rated_at=(), now=NOW)

    assert off.decide(facts).kind == "no_rule"
    assert (off.trace(facts)[0].matches, off.trace(facts)[0].disabled) == (False, "too loud")
    assert not off.could_match(facts)


@pytest.mark.parametrize(
    ("name", "because", "said"),
    [
        ("Low ratings", "x", 'did you mean "Low rating"'),
        ("Low rating", "x" * 101, "at most 100 characters"),
        ("Low rating", "two\nlines", "one line"),
    ],
)
def test_what_cannot_be_is_refused(name: str, because: str, said: str) -> None:
    with pytest.raises(RulesError, match=said):
        disabled(read(SAMPLE), name, because)


def test_twice_is_once() -> None:
    off = read(disabled(read(SAMPLE), "Low rating", "x"))

    with pytest.raises(RulesError, match="is disabled already: x"):
        disabled(off, "Low rating", "y")
    with pytest.raises(RulesError, match="is not disabled"):
        enabled(off, "Angry VIP")


def test_a_file_keeps_its_permissions_and_its_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real.yaml", tmp_path / "rules.yaml"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real)

    replace_file(link, "new")

    assert (real.read_text(), link.is_symlink(), real.stat().st_mode & 0o777) == ("new", True, 0o640)
