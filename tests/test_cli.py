"""The commands when all is well: real processes, real HTTP, and what their readers see."""

from __future__ import annotations

import functools
import json
import os
import re
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from commands import API_KEY, CANARY, SINCE, Said, Shell, shell_beside_a_company

from bridge.cli import cli
from connectors.sandbox.world import Fault

CASE_KEYS = (
    "case_id", "account", "ticket_id", "rating_id", "rating", "scale_max", "rule", "playbook", "severity", "stage",
    "outcome", "flagged_at", "rated_at", "due_at", "original_agent_id", "assignee_id", "survey_ticket_id", "reason",
    "asked_at", "answer", "cause",
)  # fmt: skip


OF_OTHERS = {"in use", "by hand", "absent", "stays on tickets"}  # states of what setup does not create


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with shell_beside_a_company(tmp_path) as found:
        yield found


class Story:
    """A day with two bad ratings, one that is spam and a good one; what commands say about it, asked once each."""

    run: Said

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        self.refund = shell.rate("acme", comment="I want a refund")
        self.parcel = shell.rate("shop")
        self.spam = shell.rate("acme", customer="Sam Spam", tags=["spam"])
        self.praise = shell.rate("shop", "good", "Thank you", customer="Gil Gut")
        self.look: Callable[[str], Said] = functools.cache(shell)


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """The day before the first run."""
    with shell_beside_a_company(tmp_path_factory.mktemp("before")) as shell:
        yield Story(shell)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """The day after a live run that acted on it."""
    with shell_beside_a_company(tmp_path_factory.mktemp("story")) as shell:
        day = Story(shell)
        day.run = shell("run --once --json", *SINCE)
        yield day


# ------------------------------------------------------------------ plan
def test_before_the_first_run_a_plan_acts_on_nothing_past(before: Story) -> None:
    assert before.look("plan").out == "0 changes; nothing was written\n"


def test_a_plan_shows_each_ticket_as_it_is_and_would_be(before: Story) -> None:
    plan = before.look("plan --since 2020-01-01")

    assert plan.says(f"acme ticket {before.refund}: high", "status    solved -> open", "tags      + sr_flagged")
    assert plan.says(f"shop ticket {before.parcel}: normal", "priority  low -> high", "2 changes;")


def test_a_plan_writes_nothing_anywhere(before: Story) -> None:
    first, second = before.look("plan --since 2020-01-01"), before.shell("plan --since 2020-01-01")

    assert second.out == first.out
    assert before.shell.written() == 0
    assert before.look("cases --json").json == []


def test_a_plan_for_programs_names_the_changes(before: Story) -> None:
    first = before.look("plan --since 2020-01-01 --json").json[0]

    assert first["changes"][0] == "reopen"
    assert (first["account"], first["step"], first["shadow"]) == ("acme", "flag", False)


# ------------------------------------------------------------------ run
def test_a_run_prints_the_promised_object(story: Story) -> None:
    report = story.run.json

    assert list(report) == ["ratings_seen", "cases_opened", "effects", "requests", "mode", "duration_s"]
    assert list(report["effects"]) == ["planned", "applied", "adopted", "refused", "parked"]
    assert (report["cases_opened"], report["effects"]["applied"], report["mode"]) == (2, 2, "live")
    assert set(report["requests"]) == {"acme", "shop"}


def test_results_go_to_stdout_and_logs_to_stderr(story: Story) -> None:
    assert "importing the ratings of 90 days as memory" in story.run.err
    assert "importing" not in story.run.out


def test_an_idle_run_says_so_in_one_line(story: Story) -> None:
    run = story.look("run --once")

    assert len(run.out.splitlines()) == 1
    assert "0 cases opened; effects: 0 applied, 0 adopted, 0 refused, 0 parked; API calls: acme " in run.out


def test_a_run_names_the_cases_that_it_opened_and_why(shell: Shell) -> None:
    ticket_id = shell.rate("acme")

    run = shell("run --once", *SINCE)

    assert (
        f'  acme ticket {ticket_id}, normal: matched "Low rating"; Ana held the ticket when it was rated\n' in run.out
    )


def test_a_shadow_run_decides_and_writes_nothing(shell: Shell) -> None:
    shell.rules(mode="shadow")
    shell.rate("shop")

    run, cases = shell("run --once", *SINCE), shell("cases --json")

    assert run.says("shadow:", "1 case opened; effects: decided only, nothing is sent")
    assert [(case["outcome"], case["stage"]) for case in cases.json] == [("dismissed", "ended")]
    assert shell.written() == 0


def test_python_m_bridge_is_the_same_command() -> None:
    script = Path(sys.executable).with_name("recovery-bridge")

    said = [
        subprocess.check_output([*how, "--version"], text=True) for how in ([script], [sys.executable, "-m", "bridge"])
    ]

    assert said[0] == said[1]
    assert said[0].startswith("recovery-bridge, version ")


# ------------------------------------------------------------------ looking
def test_cases_are_printed_with_the_promised_keys(story: Story) -> None:
    for case in story.look("cases --json").json:
        assert tuple(case) == CASE_KEYS


def test_the_table_of_cases_shows_who_has_it_and_why(story: Story) -> None:
    lines = story.look("cases").out.splitlines()

    assert " ".join(lines[0].split()) == "case account ticket rating severity stage with next due why"
    assert all("assigned  Ana   acknowledged  in " in line and "Ana held the ticket" in line for line in lines[1:])
    assert "high" in lines[1]  # its deadline comes first


def first_case(story: Story) -> str:
    return str(story.look("cases --json").json[0]["case_id"])


def test_a_case_tells_who_was_asked_and_what_happened(story: Story) -> None:
    told = story.look(f"case {first_case(story)}")

    assert told.says("rated bad (1 of 2)", "original_agent: Ana held the ticket when it was rated")
    assert told.says("flagged: matched", "next: acknowledged, by ")


def test_people_read_times_in_the_zone_of_the_rules(story: Story) -> None:
    assert re.search(r"\d\d:\d\d CES?T", story.look(f"case {first_case(story)}").out)


def test_programs_read_times_in_utc(story: Story) -> None:
    case = story.look(f"case {first_case(story)} --json").json

    assert all(case[key].endswith("Z") for key in ("flagged_at", "rated_at", "due_at"))
    assert all(audit["at"].endswith("Z") for audit in case["audits"])


def test_a_case_for_programs_has_its_ladder_audits_and_effects(story: Story) -> None:
    case = story.look(f"case {first_case(story)} --json").json

    assert [step["rung"] for step in case["ladder"]] == ["original_agent"]
    assert [audit["what"] for audit in case["audits"]] == ["flagged", "applied"]
    assert [effect["state"] for effect in case["effects"]] == ["applied"]


def test_explain_names_the_rule_that_counted_and_the_values_seen(story: Story) -> None:
    told = story.look(f"explain {story.refund}")

    assert told.says(
        'rule "Threatens to leave": matches: this one counts', "yes when rating: wanted [bad, neutral], saw bad"
    )
    assert told.says('rule "Low rating": matches too, but one above counts')
    assert told.says(
        'rule "Angry VIP": does not match', "no  when customer_tags: wanted has_any [vip, enterprise], saw none"
    )


def test_explain_shows_the_customers_words_to_whoever_asks(story: Story) -> None:
    assert CANARY in story.look(f"explain {story.refund}").out


def test_explain_says_why_a_rating_was_left_alone(story: Story) -> None:
    told = story.look(f"explain {story.spam}")

    assert told.says('outcome: ignored: ignored by "Spam and tests"', "wanted has_any [spam, test, internal], saw spam")


def test_explain_shows_the_rules_even_where_no_ticket_was_read(story: Story) -> None:
    told = story.look(f"explain {story.praise}")

    assert told.says("outcome: no_rule:", 'rule "Low rating": does not match', "no  when rating: wanted bad, saw good")


def test_explain_for_programs_has_every_condition(story: Story) -> None:
    (told,) = story.look(f"explain {story.refund} --json").json

    winner = next(rule for rule in told["trace"] if rule["matches"])
    assert winner["name"] == "Threatens to leave"
    assert {"part", "field", "wanted", "seen", "holds"} == set(winner["lines"][0])


def test_a_ticket_without_a_rating_is_no_error(story: Story) -> None:
    told = story.look("explain 4711")

    assert told.code == 0
    assert told.says("no rating of ticket 4711 has been seen")


def test_status_says_what_is_open_and_which_rules_are_quiet(story: Story) -> None:
    told = story.look("status")

    assert told.says(
        "acme: live, read 0m ago", "1 open case, 0 overdue; 0 effects waiting, 0 parked; 0 ratings to decide"
    )
    assert "rules without a case in the last 30d: " in told.out
    assert "Angry VIP, About the product, " in told.out.splitlines()[-1]


def test_status_for_programs_has_figures_for_each_account(story: Story) -> None:
    acme, shop = story.look("status --json").json

    assert (acme["account"], acme["cases_open"], acme["effects"], acme["late"]) == ("acme", 1, {"applied": 1}, False)
    assert shop["succeeded_at"].endswith("Z")


def test_looking_needs_no_credentials(shell: Shell) -> None:
    del shell.env["BRIDGE_SHOP_API_KEY"]

    codes = [shell(command).code for command in ("cases", "explain 1", "status", "retry --list")]

    assert codes == [0, 0, 0, 0]


def test_without_cases_the_list_says_so(shell: Shell) -> None:
    assert shell("cases").out == "no open cases; --all shows those that have ended\n"


# ------------------------------------------------------------------ the helpdesk's side
def test_doctor_tells_each_account_and_this_machine_apart(story: Story) -> None:
    told = story.look("doctor")

    assert told.says("here: ok       the database is sound", "acme: ok       we are Recovery Bridge, an admin")
    assert told.out.count("leads cannot be told anything\n         -> set BRIDGE_SLACK_WEBHOOK") == 1
    assert told.says("shop: ok       the API key is accepted")


def test_doctor_for_programs_says_what_to_do(story: Story) -> None:
    findings = story.look("doctor --json").json

    assert {finding["account"] for finding in findings} == {None, "acme", "shop"}
    assert all(finding["todo"] for finding in findings if finding["level"] in ("warning", "fail"))


def test_setup_says_first_what_it_would_create_then_creates_it_once(shell: Shell) -> None:
    steps = ("setup --dry-run", "setup", "setup", "setup --remove")

    states = [{step["state"] for step in shell(f"{command} --json").json} - OF_OTHERS for command in steps]

    assert states == [{"missing"}, {"created"}, {"present"}, {"removed"}]


def test_setup_says_what_each_tag_is_for(story: Story) -> None:
    assert story.look("setup --dry-run").says("acme: in use           tag sr_reopened: tickets that we reopened, to be")


# ------------------------------------------------------------------ waiting
def test_long_work_shows_on_a_terminal_how_far_it_is(shell: Shell) -> None:
    master, terminal = os.openpty()
    asked, answer = threading.Event(), threading.Event()
    shell.firm.zendesk.faults.append(Fault("slow", path="/satisfaction_ratings"))
    shell.firm.zendesk.sleep = lambda _seconds: (asked.set(), answer.wait(30))  # type: ignore[assignment,return-value]

    run = shell.start("run --once", stderr=terminal)
    assert asked.wait(30)
    shown = ""
    while "0 ratings read" not in shown and select.select([master], [], [], 30)[0]:
        shown += os.read(master, 1000).decode()
    answer.set()

    run.communicate(timeout=30)
    os.close(terminal)
    os.close(master)
    assert "\r0 ratings read, 0 cases opened" in shown


# ------------------------------------------------------------------ ending
def test_ctrl_c_ends_the_loop_with_130(shell: Shell) -> None:
    loop = shell.start("run --every 3600")
    assert loop.stdout
    loop.stdout.readline()

    loop.send_signal(signal.SIGINT)

    said = shell.wait(loop)
    assert (said.code, "finishing the item in hand" in said.err) == (130, True)


def test_sigterm_ends_the_loop_of_a_service_without_complaint(shell: Shell) -> None:
    loop = shell.start("run --every 3600")
    assert loop.stdout
    loop.stdout.readline()

    loop.send_signal(signal.SIGTERM)

    assert shell.wait(loop).code == 0


def test_a_stopped_run_finishes_the_ticket_in_hand_and_leaves_the_rest_to_the_next(shell: Shell) -> None:
    first, second = shell.rate("shop"), shell.rate("shop", customer="Tom Tanner")
    asked, answer = threading.Event(), threading.Event()
    desk = shell.firm.freshdesk
    desk.faults.append(Fault("slow", path=f"/tickets/{first}", method="PUT"))
    desk.sleep = lambda _seconds: (asked.set(), answer.wait(30))  # type: ignore[assignment,return-value]
    run = shell.start("run --once", *SINCE)
    assert asked.wait(30)

    run.send_signal(signal.SIGTERM)
    answer.set()
    shell.wait(run)

    assert notes(shell, first) == 1
    assert notes(shell, second) == 0
    shell("run --once", *SINCE)
    assert (notes(shell, first), notes(shell, second)) == (1, 1)


def test_whoever_asks_twice_leaves_at_once_and_nothing_happens_twice(shell: Shell) -> None:
    ticket_id = shell.rate("acme")
    asked, answer = threading.Event(), threading.Event()
    desk = shell.firm.zendesk
    desk.faults.append(Fault("slow", path=f"/tickets/{ticket_id}", method="PUT"))
    desk.sleep = lambda _seconds: (asked.set(), answer.wait(30))  # type: ignore[assignment,return-value]
    run = shell.start("run --once", *SINCE)
    assert asked.wait(30)

    run.send_signal(signal.SIGINT)
    assert run.stderr
    while "once more leaves at once" not in run.stderr.readline():
        pass
    run.send_signal(signal.SIGINT)

    assert shell.wait(run).code == 130
    answer.set()  # the write arrives, and nobody hears the answer
    shell("run --once", *SINCE)
    assert notes(shell, ticket_id) == 1


def notes(shell: Shell, ticket_id: str) -> int:
    """Count the private notes that programs wrote on a ticket."""
    ours = (entry for entry in shell.firm.world.ledger if entry.actor.startswith("api:"))
    return sum((entry.ticket_id, entry.what) == (ticket_id, "private_note") for entry in ours)


def test_a_reader_who_leaves_early_is_no_error(shell: Shell) -> None:
    reader, writer = os.pipe()
    os.close(reader)

    said = shell.wait(shell.start("check", stdout=writer))

    os.close(writer)
    assert (said.code, said.err) == (0, "")


# ------------------------------------------------------------------ help
def commands(group: click.Group, before: str = "") -> dict[str, click.Command]:
    """Return every command by the words that call it."""
    found = {}
    for name, command in group.commands.items():
        found[f"{before}{name}"] = command
        if isinstance(command, click.Group):
            found |= commands(command, f"{name} ")
    return found


COMMANDS = commands(cli)
# They need no rules, or print nothing for programs.
WITHOUT = {"demo", "case", "db", "disable", "enable", "fields", "init", "schema", "serve"}
WITHOUT |= {name for name in COMMANDS if name.startswith("login")}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_explains_itself_with_an_example(name: str) -> None:
    text = COMMANDS[name].get_help(click.Context(COMMANDS[name], info_name=name))

    assert f"recovery-bridge {name}" in text.partition("Example:")[2]


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - WITHOUT))
def test_every_command_takes_rules_and_json(name: str) -> None:
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}

    assert {"--rules", "--json"} <= options


def test_secrets_come_from_files_and_from_systemd_as_well(shell: Shell) -> None:
    credentials = shell.folder / "credentials"
    credentials.mkdir()
    for name, secret in (("shop_api_key", API_KEY), ("client", shell.env["BRIDGE_ACME_CLIENT_SECRET"])):
        (credentials / name).write_text(f"{secret}\n")
        (credentials / name).chmod(0o400)
    del shell.env["BRIDGE_SHOP_API_KEY"], shell.env["BRIDGE_ACME_CLIENT_SECRET"]
    shell.env |= {
        "CREDENTIALS_DIRECTORY": str(credentials),
        "BRIDGE_ACME_CLIENT_SECRET_FILE": str(credentials / "client"),
    }

    assert shell("run --once").code == 0


def test_the_log_can_be_json_lines(shell: Shell) -> None:
    shell.env["BRIDGE_LOG_JSON"] = "1"

    lines = [json.loads(line) for line in shell("run --once").err.splitlines()]

    assert {line["account"] for line in lines} == {"acme", "shop"}
    assert {"at", "level", "message"} <= set(lines[0])
