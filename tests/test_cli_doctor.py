"""What `doctor` says about asking customers again and telling staff, beside a company in which setup has run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from commands import Said, Shell, shell_beside_a_company

ALL = "standard, urgent, supervisor, lead, not_our_agent, requested: "
RERATING = ("settings:\n", "settings:\n  allow_rerating: true\n")
ASK_AFTER = "      after: 2d "
CLOSES = "tickets close 4d after they are solved"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with shell_beside_a_company(tmp_path_factory.mktemp("prepared")) as shell:
        shell.edit(RERATING)
        shell("setup")
        yield shell


@pytest.fixture
def shell(prepared: Shell) -> Shell:
    """The shell with its rules.yaml and environment as they were."""
    prepared.rules()
    prepared.env.pop("BRIDGE_SMTP_URL", None)
    return prepared


def findings(said: Said, account: str | None, level: str) -> list[str]:
    return [one["what"] for one in said.json if (one["account"], one["level"]) == (account, level)]


def test_each_playbook_is_told_how_its_customers_are_asked(shell: Shell) -> None:
    said = shell("doctor --json")

    earlier = f"{ALL}customers are asked after 1d 22h, not 2d, because {CLOSES}; by our own question"
    assert earlier in findings(said, "acme", "note")
    assert f"{ALL}customers are asked by our own question, 2d after the solution" in findings(said, "shop", "ok")


def test_with_the_right_to_rate_again_the_helpdesk_asks(shell: Shell) -> None:
    shell.edit(RERATING, (ASK_AFTER, "      after: 1d "))

    said = shell("doctor --account acme --json")

    how = f"{ALL}customers are asked by the helpdesk's own survey, 1d after the solution"
    assert how in findings(said, "acme", "ok")


def test_a_way_that_is_missing_is_named_with_what_to_do(shell: Shell) -> None:
    shell.edit((f"  survey_page: {shell.page}", "  # no page"))

    said = shell("doctor --account acme")

    assert said.says(
        f"acme: warning  {ALL}customers cannot be asked again: ", "there is no settings.survey_page", "make one way"
    )


def test_while_surveys_are_off_that_is_all_there_is_to_say(shell: Shell) -> None:
    shell.rules(surveys="off")

    said = shell("doctor --json")

    assert "customers are not asked again: settings.surveys is off" in findings(said, "shop", "note")
    assert not [one for one in said.json if "survey_page" in one["what"] or "customers are asked" in one["what"]]


def test_what_comes_after_the_ticket_is_closed_is_a_warning(shell: Shell) -> None:
    shell.edit((ASK_AFTER, "      after: 9d "), ("check_in: {after: 1d}", "check_in: {after: 5d}"))

    said = shell("doctor --account acme --json")

    warnings = findings(said, "acme", "warning")
    assert f"{ALL}customers are asked by our own question, on a new ticket, because {CLOSES}" in warnings
    assert f"{ALL}check_in: after 5d the owner cannot be asked on the ticket: {CLOSES}" in warnings


def test_deadlines_are_too_late_on_a_ticket_that_stays_solved(shell: Shell) -> None:
    shell.edit(
        ("ticket: reopen ", "ticket: note_only "), ("{within: 4h,  until: replied", "{within: 6d, until: replied")
    )

    warnings = findings(shell("doctor --account acme --json"), "acme", "warning")

    assert any("deadlines: 6d is too late on a ticket that stays solved" in warning for warning in warnings)


def test_own_mail_needs_a_mail_server(shell: Shell) -> None:
    shell.rules(survey_mail="smtp")

    without = findings(shell("doctor --account acme --json"), None, "warning")
    shell.env["BRIDGE_SMTP_URL"] = "smtp://localhost:2525"
    with_one = findings(shell("doctor --account acme --json"), None, "warning")

    missing = "settings.survey_mail is smtp, and there is no mail server"
    assert (missing in without, missing in with_one) == (True, False)


def test_customers_can_open_an_https_page_only(shell: Shell) -> None:
    warnings = findings(shell("doctor --account acme --json"), None, "warning")

    assert f"settings.survey_page: customers cannot open {shell.page}" in warnings
    assert not [warning for warning in warnings if "/healthz" in warning]


@pytest.mark.parametrize(("path", "answer"), [("/elsewhere", "answers 302"), ("/gone", "answers 404")])
def test_a_page_that_is_not_ours_is_a_warning(shell: Shell, path: str, answer: str) -> None:
    shell.rules(survey_page=f"{shell.page}{path}")

    said = shell("doctor --account acme")

    assert said.says(f"{path}/healthz {answer}", "-> serve the page of our question there")


def test_a_page_that_does_not_answer_is_a_warning(shell: Shell) -> None:
    shell.rules(survey_page="http://127.0.0.1:9")

    assert shell("doctor --account acme").says("http://127.0.0.1:9/healthz does not answer (ConnectionError)")


def test_whoever_is_told_only_sometimes_needs_a_way_too(shell: Shell) -> None:
    shell.edit(
        (
            '{group: Team Leads, notify: "#recovery-leads"}',
            "{group: Team Leads, per_brand: {Shop: {notify: a@b.example}}}",
        )
    )

    assert shell("doctor --account acme").says("leads cannot be told anything\n         -> set BRIDGE_SMTP_URL")


# ------------------------------------------------------------------ webhooks
def served_at(shell: Shell, address: str) -> None:
    shell.edit(("settings:\n", f"settings:\n  served_at: {address}\n"))


def test_where_we_are_served_is_asked_for_and_so_is_each_helpdesk(shell: Shell) -> None:
    served_at(shell, shell.page)

    said = shell("doctor --json")

    untold = {"acme": "no webhook tells us of ratings", "shop": "no rule tells us of ratings"}
    assert f"serve is found at {shell.page}" in findings(said, None, "ok")
    for account, what in untold.items():
        assert f"{what}: ratings are found by polling alone" in findings(said, account, "warning")


def test_an_address_at_which_nobody_serves_is_a_warning(shell: Shell) -> None:
    served_at(shell, "http://127.0.0.1:9")

    said = shell("doctor --account acme")

    assert said.says("settings.served_at: http://127.0.0.1:9/healthz does not answer", "-> start recovery-bridge serve")


def test_a_secret_to_be_pasted_is_shown_on_request_alone(shell: Shell) -> None:
    served_at(shell, shell.page)

    quiet, shown = (shell(f"setup --account shop {words}") for words in ("", "--show-secret"))
    for_programs = shell("setup --account shop --show-secret --json").json

    secret = (shell.state / "shop.webhook_secret").read_text()
    assert (secret in quiet.out + quiet.err, secret in shown.out, secret in shown.err) == (False, True, False)
    assert [step["secret"] for step in for_programs if "secret" in step] == [secret]
    assert (shell.state / "shop.webhook_secret").stat().st_mode & 0o077 == 0


def test_a_name_that_nobody_has_is_called_a_warning_once(shell: Shell) -> None:
    shell.edit(("away: []", "away: [{agent: gone@example.com, from: 2026-01-01, to: 2026-01-02}]"))

    said = shell("doctor --account acme")

    (line,) = [line for line in said.out.splitlines() if "gone@example.com" in line]
    assert line.count("warning") == 1
