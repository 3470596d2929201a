"""The commands when something is wrong: what is said, which exit code comes of it, and that nothing is lost."""

from __future__ import annotations

import fcntl
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from commands import API_KEY, CANARY, SINCE, Said, Shell, shell_beside_a_company

from bridge.cli.shell import whoever
from connectors.sandbox.world import Fault

ALWAYS = 99  # times that a fault happens
NO_PAUSE = {"Retry-After": "0"}


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with shell_beside_a_company(tmp_path) as found:
        yield found


@pytest.fixture
def began(shell: Shell) -> Shell:
    """A shell in which the bridge has seen the accounts once."""
    assert shell("run --once").code == 0
    return shell


def failed(said: Said, code: int, *texts: str) -> bool:
    """True if a command ended with that code, printed no result, and said all of that on stderr."""
    assert (said.code, [text for text in texts if text not in said.err]) == (code, []), said
    return "Traceback" not in said.err


def cursors(shell: Shell) -> list[tuple[str, ...]]:
    return in_database(shell, "SELECT account, stream, value FROM cursor ORDER BY 1, 2")


def in_database(shell: Shell, sql: str) -> list[tuple[str, ...]]:
    connection = sqlite3.connect(shell.state / "bridge.db", isolation_level=None)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def line_of(shell: Shell, text: str) -> int:
    """Return the number of the first line of rules.yaml in which a text stands."""
    return shell.rules_file.read_text(encoding="utf-8").partition(text)[0].count("\n") + 1


# ------------------------------------------------------------------ rules.yaml
def test_without_rules_yaml_it_says_which_file_is_missing(shell: Shell) -> None:
    shell.rules_file.unlink()

    assert failed(shell("run --once"), 65, f"{shell.rules_file}: no such file", "--rules")


def test_rules_that_are_not_text_are_named_with_their_line(shell: Shell) -> None:
    shell.rules_file.write_bytes(b"version: 1\nname: \xff\xfe\n")

    assert failed(shell("run --once"), 65, "rules.yaml:2:1: this line is not UTF-8")


BROKEN = (
    ("mode: live", "mode: lief"),
    ("\n    tags: [csat-recovery]", "\n    tgas: [csat-recovery]"),
    ("severity: critical", "severity: crtical"),
)
ADVICE = (
    'unknown mode "lief", did you mean "live"?',
    'unknown key "tgas", did you mean "tags"?',
    'unknown severity "crtical", did you mean "critical"?',
)


def test_a_run_with_broken_rules_names_every_problem_and_does_nothing(shell: Shell) -> None:
    shell.edit(*BROKEN)

    assert failed(shell("run --once"), 65, *ADVICE, "^^^^")
    assert shell.firm.zendesk.requests == []


def test_check_names_every_problem_with_its_place(shell: Shell) -> None:
    shell.edit(*BROKEN)

    said = shell("check")

    assert said.code == 65
    assert len(re.findall(r"^\S+rules\.yaml:\d+:\d+: unknown ", said.out, re.MULTILINE)) == 3
    assert "3 problems; nothing would run" in said.err


def test_check_gives_programs_the_suggestions(shell: Shell) -> None:
    shell.edit(*BROKEN)

    said = shell("check --json")

    assert (said.code, [problem["suggestion"] for problem in said.json]) == (65, ["live", "tags", "critical"])


def test_an_unknown_connector_comes_with_the_list_of_those_that_exist(shell: Shell) -> None:
    shell.edit(("connector: zendesk", "connector: zendsk"))

    assert failed(shell("run --once"), 78, "no connector 'zendsk'; there are: freshdesk, zendesk")
    check = shell("check")
    assert check.code == 78
    assert check.says(':7:21: unknown connector "zendsk", did you mean "zendesk"?')


@pytest.mark.parametrize("command", ["run --once", "plan"])
def test_an_unknown_group_stops_everything_before_anything_is_written(shell: Shell, command: str) -> None:
    shell.rate("acme")
    shell.edit(("{group: Team Leads,", "{group: Team Leds,"))

    said = shell(command, *SINCE)

    problem = ':24: unknown group "Team Leds" in acme and shop, did you mean "Team Leads"?'
    assert failed(said, 65, f"rules.yaml:{line_of(shell, 'Team Leds')}{problem}")
    assert (said.out, shell.written(), cursors(shell)) == ("", 0, [])


def test_an_unknown_agent_is_named_as_well(shell: Shell) -> None:
    shell.edit(("{group: Supervisors,", "{agent: zoee@example.com,"))

    assert failed(shell("run --once"), 65, 'unknown agent "zoee@example.com" in acme and shop', '"zoe@example.com"?')


def test_an_absent_agent_who_has_left_is_only_a_warning(shell: Shell) -> None:
    shell.edit(("away: []", "away: [{agent: gone@example.com, from: 2026-01-01, to: 2026-01-02}]"))

    said = shell("run --once")

    assert (said.code, 'warning: unknown agent "gone@example.com" in acme and shop' in said.err) == (0, True)


# ------------------------------------------------------------------ accounts and credentials
@pytest.mark.parametrize("command", ["cases", "doctor", "setup", "explain 7"])
def test_an_unknown_account_comes_with_the_list_of_those_that_exist(shell: Shell, command: str) -> None:
    assert failed(shell(command, "--account", "acm"), 78, "rules.yaml: no account 'acm'; there are: acme, shop")


@pytest.mark.parametrize("variable", ["BRIDGE_ACME_CLIENT_SECRET", "BRIDGE_SHOP_API_KEY"])
def test_a_missing_secret_is_called_by_its_variable(shell: Shell, variable: str) -> None:
    del shell.env[variable]

    assert failed(shell("run --once"), 78, variable)


def test_wrong_secrets_end_with_77_and_the_way_to_mend_it(shell: Shell) -> None:
    shell.env |= {"BRIDGE_ACME_CLIENT_SECRET": "wrong-secret", "BRIDGE_SHOP_API_KEY": "wrong-secret"}

    said = shell("run --once")

    assert failed(said, 77, "acme: POST /oauth/tokens: 401", "shop: GET /api/v2/surveys/satisfaction_ratings: 401")
    assert "recovery-bridge doctor --account acme" in said.out


def test_doctor_ends_with_1_and_says_what_to_do_about_wrong_secrets(shell: Shell) -> None:
    shell.env["BRIDGE_ACME_CLIENT_SECRET"] = "wrong-secret"

    said = shell("doctor --account acme")

    assert (said.code, said.out.count("acme: FAIL")) == (1, 1)
    assert said.says("401", "-> check the client id and secret")


def test_a_missing_permission_stops_its_account_only(began: Shell) -> None:
    ticket_id = began.rate("shop")
    began.firm.zendesk.faults.append(Fault("status", status=403, body='{"error": "Forbidden"}', times=ALWAYS))

    said = began("run --once", *SINCE)

    assert failed(said, 77, "acme: GET /api/v2/satisfaction_ratings: 403 (Forbidden)")
    assert f"shop ticket {ticket_id}" in said.out


@pytest.mark.parametrize(
    ("url", "code", "advice"),
    [
        ("http://acme.zendesk.com", 65, "rules.yaml:7:35: write an https address"),
        ("https://acme.example.com", 78, "is not a host below .zendesk.com; write https://YOUR-NAME.zendesk.com"),
        ("https://user:mail-password@acme.zendesk.com", 65, "no secret belongs in this file"),
    ],
)
def test_an_address_that_would_leak_the_secrets_is_refused(shell: Shell, url: str, code: int, advice: str) -> None:
    shell.edit((shell.firm.urls["acme"], url))

    said = shell("run --once")

    shell.said.clear()  # the caret shows the line itself, and with it what somebody wrote there
    assert failed(said, code, advice)


@pytest.mark.parametrize(
    ("how", "advice"),
    [
        (lambda path: path.chmod(0o644), "everybody on this machine can read it; run: chmod 600"),
        (lambda path: path.unlink(), "cannot be read (No such file or directory)"),
        (lambda path: path.write_bytes(b"\xff\xfe\x00"), "is not text"),
    ],
    ids=["world-readable", "missing", "binary"],
)
def test_a_secret_file_that_cannot_be_trusted_is_refused(
    shell: Shell, how: Callable[[Path], object], advice: str
) -> None:
    path = shell.folder / "key"
    path.write_text(API_KEY)
    path.chmod(0o600)
    how(path)
    del shell.env["BRIDGE_SHOP_API_KEY"]
    shell.env["BRIDGE_SHOP_API_KEY_FILE"] = str(path)

    assert failed(shell("run --once"), 78, f"BRIDGE_SHOP_API_KEY_FILE: {path}: {advice}")


# ------------------------------------------------------------------ helpdesks that do not answer
@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (Fault("html"), "200 with something that is not JSON"),
        (Fault("truncated"), "200 with something that is not JSON, or not all of it"),
        (Fault("reset"), "no connection, or it broke; is the url of this account right?"),
        (Fault("status", status=503, headers=NO_PAUSE), "503 from the helpdesk"),
        (
            Fault("status", status=302, headers={"Location": "https://other.example.com/login"}),
            "redirected to other.example.com; is the url of this account right?",
        ),
    ],
    ids=["html", "truncated", "reset", "5xx", "redirect"],
)
def test_a_helpdesk_that_is_down_costs_nothing_but_time(began: Shell, fault: Fault, why: str) -> None:
    lost, found = began.rate("acme"), began.rate("shop")
    fault.times = ALWAYS
    began.firm.zendesk.faults.append(fault)
    before = cursors(began)

    said = began("run --once", *SINCE)

    code = 78 if fault.status == 302 else 69  # a redirect is no outage: the url is not the helpdesk's
    assert failed(said, code, f"acme: GET /api/v2/satisfaction_ratings: {why}")
    assert f"shop ticket {found}" in said.out
    assert before[:1] == cursors(began)[:1]  # that of acme
    began.firm.zendesk.faults.clear()
    again = began("run --once")
    assert (again.code, f"acme ticket {lost}" in again.out) == (0, True)


def test_status_shows_the_last_trouble_of_an_account(began: Shell) -> None:
    began.firm.zendesk.faults.append(Fault("status", status=503, headers=NO_PAUSE, times=ALWAYS))
    began("run --once")

    assert began("status").says("last trouble: acme: GET /api/v2/satisfaction_ratings: 503 from the helpdesk")


def test_a_plan_goes_on_without_a_helpdesk_that_is_down(began: Shell) -> None:
    ticket_id = began.rate("shop")
    began.firm.zendesk.faults.append(Fault("status", status=503, headers=NO_PAUSE, times=ALWAYS))

    said = began("plan", *SINCE)

    assert failed(said, 69, "acme: GET /api/v2/satisfaction_ratings: 503")
    assert f"shop ticket {ticket_id}: normal" in said.out


def test_a_plan_goes_on_without_a_helpdesk_whose_people_cannot_be_read(shell: Shell) -> None:
    ticket_id = shell.rate("acme")
    shell.rate("shop")
    shell.firm.freshdesk.faults.append(Fault("status", path="/groups", status=200, body="[{}]", times=ALWAYS))

    said = shell("plan", *SINCE)

    assert failed(said, 65, "shop: an agent or group lacks a field that every one has")
    assert f"acme ticket {ticket_id}: normal" in said.out


def test_setup_goes_on_with_the_other_accounts(shell: Shell) -> None:
    shell.edit(("acme: {", "zzz: {"))
    shell.env |= {name.replace("ACME", "ZZZ"): value for name, value in shell.env.items() if "ACME" in name}
    shell.firm.freshdesk.faults.append(Fault("status", status=403, times=ALWAYS))

    said = shell("setup")

    assert failed(said, 77, "shop: GET /api/v2/ticket_fields: 403")
    assert "zzz: in use" in said.out


def test_being_told_to_wait_is_a_warning_and_no_failure(began: Shell) -> None:
    began.firm.zendesk.faults.append(Fault("status", status=429, headers={"Retry-After": "900"}))

    said = began("run --once")

    assert said.code == 0
    assert "warning: acme: GET /api/v2/satisfaction_ratings: 429, the helpdesk asks us to wait until " in said.err
    assert re.search(r"acme: .*\n.*\n  the helpdesk asked us to wait: 14m to go", began("status").out)


# ------------------------------------------------------------------ records that cannot be read
def test_a_malformed_rating_is_kept_and_holds_up_nobody(shell: Shell) -> None:
    broken, whole = shell.rate("acme"), shell.rate("acme", customer="Tom Tanner")
    rating_id, rating = min(shell.firm.zendesk.account.ratings.items())
    rating["score"] = f"terrible {CANARY}"

    said = shell("run --once", *SINCE)

    assert f"acme ticket {whole}" in said.out
    assert "1 record could not be worked on: recovery-bridge retry --list" in said.out
    assert shell("retry --list").says(f"failed record {rating_id} of acme", "field 'score' is none of bad", "1 failed")
    rating["score"] = "bad"
    assert f"acme ticket {broken}" in shell("run --once").out
    assert shell("retry --list").out == "0 parked effects, 0 failed records\n"


# ------------------------------------------------------------------ what needs a human
def test_a_parked_effect_ends_with_3_until_it_is_retried(shell: Shell) -> None:
    shell.rate("acme", reason="Product defect")  # its playbook tells the product lead, and no chat webhook is set

    said = shell("run --once", *SINCE)

    assert (said.code, "parked effects need a human: recovery-bridge retry --list" in said.out) == (3, True)
    listed = shell("retry --list")
    assert listed.says("tell product: #product-feedback: no chat webhook; set BRIDGE_SLACK_WEBHOOK", "1 parked effect,")
    assert shell("status").code == 3
    (parked,) = shell("retry --list --json").json["parked"]
    assert "1 effect and 0 records will be tried again" in shell(f"retry {parked['effect_id']}").out
    assert shell("case", parked["case_id"]).says("retried: ", f": by {whoever()}")
    assert shell("status").says("1 effect waiting, 0 parked")


def test_an_account_stopped_by_a_limit_ends_with_3_until_it_is_resumed(shell: Shell) -> None:
    shell.edit(("tickets_per_hour: 50", "tickets_per_hour: 1"), ("#recovery-leads", "ana@example.com"))
    waiting = [shell.rate("acme", customer=name) for name in ("Tom Tanner", "Ulf Unger")][1]

    said = shell("run --once", *SINCE)

    assert (said.code, "1 case opened" in said.out) == (3, True)
    assert said.says("acme begins no recovery: held: 1 recoveries began within an hour", "recovery-bridge resume acme")
    assert shell("status").says("begins no recovery: held: 1 recoveries")
    assert shell(f"explain {waiting}").says("outcome: not decided yet: held: 1 recoveries began within an hour")
    assert shell("resume acme").says("acme: goes on; ratings that waited: 1")
    assert shell("resume acme").says("acme: was not held; nothing changed")
    assert "begins no recovery" not in shell("status").out


@pytest.mark.parametrize(
    ("lost", "what"),
    [
        ("assignee_id = NULL, group_id = NULL", "owner"),
        ("due_at = NULL", "due time"),
        ("next_step = ''", "next step"),
    ],
)
def test_an_open_case_that_would_be_forgotten_ends_with_3_and_is_named(shell: Shell, lost: str, what: str) -> None:
    ticket_id = shell.rate("acme")
    shell("run --once", *SINCE)
    ((case_id,),) = in_database(shell, "SELECT case_id FROM cases")
    in_database(shell, f"UPDATE cases SET {lost}")

    said = shell("run --once")

    assert (said.code, shell("status").code) == (3, 3)
    assert f"case {case_id} (ticket {ticket_id} of acme) has no {what}: " in said.out


def test_only_what_is_parked_can_be_retried(shell: Shell) -> None:
    assert failed(shell("retry 4711"), 2, "not parked: 4711; recovery-bridge retry --list names those that are")


def test_a_case_that_does_not_exist_is_wrong_usage(shell: Shell) -> None:
    assert failed(shell("case 4711"), 2, "no case '4711'; recovery-bridge cases --all lists them")


@pytest.mark.parametrize(
    ("command", "advice"),
    [
        ("case close 4711 now", "Got unexpected extra argument (now)"),
        ("case clsoe 4711", "No such command 'clsoe'. Did you mean 'close'?"),
        ("case close 4711 --outcome won", "'won' is not one of 'recovered', 'improved'"),
        ("run --once --since yesterday", "write a day, such as 2026-11-01"),
        ("run --every 1", "not in the range"),
        ("cases --acount acme", "Did you mean '--account'?"),
        ("rnu", "Did you mean 'run'?"),
    ],
)
def test_wrong_usage_ends_with_2_and_advice(shell: Shell, command: str, advice: str) -> None:
    assert failed(shell(command), 2, advice)


# ------------------------------------------------------------------ the database
def test_a_locked_database_can_be_looked_at_and_ends_a_run_with_74(began: Shell) -> None:
    connection = sqlite3.connect(began.state / "bridge.db", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")

    looking, running = began("cases"), began("run --once")

    connection.close()
    assert looking.code == 0
    assert failed(running, 74, "bridge.db: database is locked", "wait for that one, or end it")


def test_a_full_disk_ends_with_74_and_writes_nothing_by_half(began: Shell) -> None:
    ticket_id = began.rate("acme")
    before = cursors(began)

    said = began("run --once", *SINCE, file_size=4096)

    assert failed(said, 74, "bridge.db: disk I/O error")
    assert (cursors(began), began.written()) == (before, 0)
    assert f"acme ticket {ticket_id}" in began("run --once", *SINCE).out


def test_a_read_only_database_ends_with_74(began: Shell) -> None:
    in_database(began, "PRAGMA wal_checkpoint(TRUNCATE)")
    file = began.state / "bridge.db"
    header = file.read_bytes()
    file.write_bytes(header[:18] + b"\x03" + header[19:])  # a version of the format that may only be read, root or not

    assert failed(began("run --once"), 74, "bridge.db: attempt to write a readonly database", "may this user write")


def test_a_file_that_is_no_database_ends_with_74(shell: Shell) -> None:
    shell.state.mkdir(exist_ok=True)
    (shell.state / "bridge.db").write_bytes(b"Dear diary, " * 1000)

    assert failed(shell("run --once"), 74, "bridge.db: file is not a database", "correct BRIDGE_DATABASE_URL")


def test_a_lost_database_is_told_of_and_begun_anew_but_a_first_one_is_just_begun(shell: Shell) -> None:
    first = shell("run --once")
    (shell.state / "bridge.db").unlink()

    again = shell("run --once")

    assert (first.code, "there was no database" in first.err) == (0, False)
    assert again.code == 0
    assert again.says("bridge.db: there was no database, but ", "customer.key", "restore a backup")


def test_the_database_of_a_newer_version_ends_with_78(began: Shell) -> None:
    in_database(began, "UPDATE alembic_version SET version_num = '9999'")

    assert failed(began("run --once"), 78, "its schema is 9999, newer than the ", "install the version")


def test_a_state_directory_that_cannot_be_made_ends_with_74(shell: Shell) -> None:
    shell.env["BRIDGE_STATE_DIR"] = str(shell.rules_file / "below")

    assert failed(shell("run --once"), 74, "cannot be made", "set BRIDGE_STATE_DIR to a folder of yours")


@pytest.mark.parametrize(
    ("url", "code"),
    [("mysql://bridge:mail-password@db/x", 78), ("postgresql://bridge:mail-password@127.0.0.1:1/x", 74)],
)
def test_the_password_of_a_database_is_never_shown(shell: Shell, url: str, code: int) -> None:
    shell.env["BRIDGE_DATABASE_URL"] = url

    assert failed(shell("cases"), code)


# ------------------------------------------------------------------ twice at once, and bugs
def test_a_second_run_leaves_the_work_to_the_first(began: Shell) -> None:
    with (began.state / "run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        said = began("run --once")

    assert failed(said, 75, "another run is under way")


def test_a_bug_ends_with_70_and_a_traceback_without_anybodys_words(began: Shell) -> None:
    in_database(began, f"""UPDATE rate SET state = '{{"limit": "{CANARY}"}}'""")

    said = began("run --once")

    assert said.code == 70
    assert "ValueError\nThis is a bug in Recovery Bridge; please report the lines above." in said.err
