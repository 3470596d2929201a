"""`init`: a few answers become a rules.yaml and tests that pass."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bridge.cli import cli
from bridge.errors import SettingsError
from bridge.rehearsal import play, read_script
from bridge.rules import check, load
from bridge.starter import Answers, address, problems, text_of_rules, text_of_tests
from connectors.sandbox.company import Company, company
from tests.bridge.stories import MONDAY

ACME = {"acme": ("zendesk", "https://acme.zendesk.com")}
STRANGE = ("Leads: the #1", "- dash", "yes", "1.10", "Überblick [neu]", "it's", "{braces}", "a, b")


def init(folder: Path, *words: str, typed: str = "", env: dict[str, str] | None = None) -> Result:
    path = str(folder / "rules.yaml")
    return CliRunner().invoke(cli, ["init", "--rules", path, *words], input=typed, env={"TZ": None, **(env or {})})


def test_without_questions_both_files_are_written_and_pass(tmp_path: Path) -> None:
    said = init(tmp_path, "--zendesk", "acme", "--yes").output

    assert "4 rules, mode shadow: ready" in said
    assert "rules_test.yaml: 11 passed" in said
    assert "BRIDGE_ACME_CLIENT_ID" in said
    assert load(tmp_path / "rules.yaml").settings.mode == "shadow"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rules.schema.json", "rules.yaml", "rules_test.yaml"]


def test_what_does_not_work_is_asked_again(tmp_path: Path) -> None:
    typed = "freshdesk\nshop\nEurope/Berlim\nEurope/Berlin\nmon-sat 10:00-20:00\nXX-9\nDE\nChiefs\n#chiefs\n-\n"

    said = init(tmp_path, typed=typed).output

    rules = load(tmp_path / "rules.yaml")
    assert 'did you mean "Europe/Berlin"?' in said
    assert (str(rules.settings.timezone), rules.people["leads"].group) == ("Europe/Berlin", "Chiefs")
    assert rules.accounts["shop"].url == "https://shop.freshdesk.com"
    assert [rule.name for rule in rules.rules] == ["Let down again", "Threatens to leave", "Low rating"]


def test_with_credentials_the_groups_of_the_account_are_suggested(tmp_path: Path) -> None:
    with company(MONDAY, tmp_path / "state") as firm:
        url = firm.urls["acme"]
        env = _for_account("zendesk", firm)
        said = init(tmp_path, "--zendesk", url, typed="\n" * 6, env=env).output

    assert "Groups in the helpdesk: Care, " in said
    assert load(tmp_path / "rules.yaml").people["leads"].group == "Team Leads"


def _for_account(name: str, firm: Company) -> dict[str, str]:
    """Return the secrets of the stand-in Zendesk under the name that `init` gives the account."""
    return {key.replace("ACME", name.upper()): value for key, value in firm.env.items()}


def test_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text("mine")

    said = init(tmp_path, "--zendesk", "acme", "--yes")

    assert isinstance(said.exception, SettingsError)
    assert (tmp_path / "rules.yaml").read_text() == "mine"
    assert init(tmp_path, "--zendesk", "acme", "--yes", "--force").exit_code == 0


@pytest.mark.parametrize("name", STRANGE)
def test_any_name_that_people_type_is_read_back_as_it_is(name: str) -> None:
    answers = Answers(ACME, leads=name, important=(name,))

    rules, found = check(text_of_rules(answers))

    assert rules, found
    assert rules.people["leads"].group == name
    assert play(read_script(text_of_tests(answers), rules), rules).passed


def test_wrong_answers_are_found() -> None:
    assert "timezone" in str(problems(Answers(ACME, timezone="Mars"))[0])
    assert problems(Answers(ACME)) == []


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("acme", ("acme", "https://acme.zendesk.com")),
        ("acme.zendesk.com", ("acme", "https://acme.zendesk.com")),
        ("https://my-shop.zendesk.com/", ("my_shop", "https://my-shop.zendesk.com")),
        ("http://127.0.0.1:8080", ("zendesk", "http://127.0.0.1:8080")),
    ],
)
def test_an_address_may_be_short(typed: str, expected: tuple[str, str]) -> None:
    assert address("zendesk", typed) == expected
