"""`explain` for ratings that nobody gave, and for the last ones of an outcome."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from bridge.cli import cli
from bridge.model import Audit
from bridge.store import Store
from tests.bridge.people import NOW
from tests.commands import SINCE, Shell, shell_beside_a_company

SAMPLE = str(Path(__file__).parents[1] / "rules.yaml")


def explain(*words: str) -> str:
    return CliRunner().invoke(cli, ["explain", "--rules", SAMPLE, *words]).output


# ------------------------------------------------------------------ supposed
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rating", "1"], 'matched "Low rating": severity normal, playbook standard'),
        (["--rating", "bad", "--customer-tag", "vip"], 'matched "Angry VIP": severity high, playbook urgent'),
        (["--rating", "bad", "--bad-ratings", "3"], 'matched "Let down again"'),
        (["--rating", "bad", "--age", "20d"], 'ignored by "Old rating"'),
        (["--rating", "neutral", "--comment", "a refund please"], 'matched "Threatens to leave"'),
        (["--rating", "5 of 5"], "no rule matches"),
    ],
)
def test_a_rating_that_nobody_gave(words: list[str], said: str) -> None:
    assert explain(*words).startswith(said)


def test_what_was_not_said_is_not_known() -> None:
    said = explain("--rating", "bad")

    assert 'ignore "Spam and tests": cannot be told' in said
    assert "wanted has_any [spam, test, internal], saw not known" in said


@pytest.mark.parametrize(
    "words", [[], ["7", "--rating", "bad"], ["--rating", "9"], ["--rating", "bad", "--age", "soon"]]
)
def test_what_makes_no_sense_is_refused(words: list[str]) -> None:
    assert "Error: " in explain(*words)


# ------------------------------------------------------------------ the last ones
@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with shell_beside_a_company(tmp_path_factory.mktemp("latest")) as shell:
        shell.rate("acme", "good", "Thanks")
        shell.rate("acme", customer="Bo Berg")
        shell("run --once", *SINCE)
        yield shell


def test_the_last_ratings_of_an_outcome(shell: Shell) -> None:
    said = shell("explain --account acme --latest flagged")

    assert said.says("acme ticket ", ": bad, ", 'matched "Low rating"')
    assert len(said.out.splitlines()) == 1


def test_the_last_ratings_for_programs(shell: Shell) -> None:
    (row,) = shell("explain --account acme --latest flagged --json").json

    assert (row["account"], row["category"], row["outcome"]) == ("acme", "bad", "flagged")


def test_an_outcome_that_nothing_came_to(shell: Shell) -> None:
    assert shell("explain --account acme --latest lost").says(
        "no rating came to 'lost'; there are: flagged 1, no_rule 1"
    )


# ------------------------------------------------------------------ how long
def test_each_outcome_has_its_own_share_of_memory(store: Store) -> None:
    for number, what in enumerate(["no_rule"] * 5 + ["ignored"]):
        audit = Audit(NOW + timedelta(minutes=number), "acme", "7", what, "why", facts={"category": "bad"})
        _put(store, audit)

    store.forget_facts("acme", 2)

    kept = [(audit.what, bool(audit.facts)) for audit in store.audits("acme")]
    assert kept == [("no_rule", False)] * 3 + [("no_rule", True)] * 2 + [("ignored", True)]


def _put(store: Store, audit: Audit) -> None:
    from bridge.model import Decision

    store.save(Decision(audit))
