"""`check`, `schema`, `fields`, `test` and `disable` as their readers see them: text, JSON, annotations, XML."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from commands import Shell, shell_beside_a_company

from bridge.cli import cli


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with shell_beside_a_company(tmp_path_factory.mktemp("rules")) as found:
        yield found


@pytest.fixture
def again(shell: Shell) -> Iterator[Shell]:
    """The shell, whose rules.yaml is put back afterwards."""
    text = shell.rules_file.read_text(encoding="utf-8")
    yield shell
    shell.rules_file.write_text(text, encoding="utf-8")


def test_before_the_first_run_names_are_not_compared_and_nothing_is_made(again: Shell) -> None:
    again.edit(("{group: Team Leads,", "{group: Team Leds,"))

    said = again("check")

    assert (said.code, again.state.exists()) == (0, False)
    assert said.out.endswith("ready; no run has read the names of groups and agents yet, so they are not compared\n")


def test_after_a_run_names_are_compared_with_what_it_saw(again: Shell) -> None:
    again("run --once")
    requests = len(again.firm.zendesk.requests)
    again.edit(("{group: Team Leads,", "{group: Team Leds,"))

    said = again("check")

    assert said.code == 0
    assert re.search(r'warning: unknown group "Team Leds" in acme and shop \(as of 0m ago\), did you mean', said.out)
    assert said.out.endswith("1 warning, ready; groups and agents as of 0m ago\n")
    assert len(again.firm.zendesk.requests) == requests


def test_a_workflow_gets_annotations_with_their_places(again: Shell) -> None:
    again.edit(("mode: live", "mode: lief"), ("{rating: bad, tags: {has: outage-march}}", "{rating: bad, a%b: c}"))

    said = again("check --format github")

    first, second = said.out.splitlines()
    file = str(again.rules_file).replace(":", "%3A")
    assert said.code == 65
    assert re.fullmatch(
        rf'::error file={file},line=\d+,col=9,endColumn=13,title=did you mean live\?::unknown mode "lief", did.*', first
    )
    assert 'unknown field "a%25b"' in second


def test_programs_get_json_even_of_a_file_that_is_none(again: Shell) -> None:
    again.rules_file.unlink()

    said = again("check --json")

    [problem] = said.json
    assert (said.code, problem["line"], problem["severity"]) == (65, 1, "error")
    assert "no such file" in problem["message"]


def said_by(*words: str) -> Result:
    return CliRunner().invoke(cli, words, prog_name="recovery-bridge")


def test_the_schema_is_printed_as_json() -> None:
    assert json.loads(said_by("schema").stdout)["title"] == "rules.yaml"


def test_a_field_is_shown_with_an_example() -> None:
    assert said_by("fields", "remind_after").stdout == (
        "playbooks.survey.remind_after (key)\n  one reminder, if there is no answer.\n\n    remind_after: 3d\n"
    )
    assert "has_any" in said_by("fields").stdout
    assert json.loads(said_by("fields", "mode", "--json").stdout)[0]["default"] == "shadow"


def test_an_unknown_field_is_refused_with_the_nearest() -> None:
    said = said_by("fields", "ratting")

    assert said.exit_code == 2
    assert 'unknown name "ratting", did you mean "rating"?' in said.stderr


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what `init` wrote."""
    monkeypatch.chdir(tmp_path)
    assert said_by("init", "--zendesk", "acme", "--yes").exit_code == 0
    return tmp_path


def test_a_ci_server_gets_the_results_of_the_tests(begun: Path) -> None:
    assert said_by("test", "--junit", "results.xml").exit_code == 0
    assert 'tests="11" failures="0"' in (begun / "results.xml").read_text(encoding="utf-8")


@pytest.mark.usefixtures("begun")
def test_results_that_cannot_be_written_are_no_bug() -> None:
    said = CliRunner().invoke(cli, ["test", "--junit", "nowhere/results.xml"])

    assert "nowhere/results.xml: cannot be written" in f"{said.exception}"
