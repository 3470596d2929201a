"""What people put down by command about a case or a customer: real processes beside a company."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from commands import SINCE, Said, Shell, shell_beside_a_company

from bridge import by_hand
from bridge.cli.by_hand import ENDS
from bridge.cli.shell import whoever
from bridge.store import Store

IN_A_WEEK = f"{datetime.now(UTC) + timedelta(days=7):%Y-%m-%d}"


@dataclass(frozen=True)
class Flagged:
    """A company in which two customers rated badly, and the bridge as it was right after that."""

    shell: Shell
    database: Path
    case_of: Mapping[str, str]  # customer -> case


@pytest.fixture(scope="module")
def flagged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flagged]:
    folder = tmp_path_factory.mktemp("flagged")
    with shell_beside_a_company(folder) as shell:
        tickets = {shell.rate("acme"): "Mia", shell.rate("acme", customer="Vera Voss", customer_tags=["vip"]): "Vera"}
        shell("run --once", *SINCE)
        case_of = {tickets[case["ticket_id"]]: case["case_id"] for case in shell("cases --json").json}
        shutil.copy(shell.state / "bridge.db", folder / "before.db")
        yield Flagged(shell, folder / "before.db", case_of)


@pytest.fixture
def shell(flagged: Flagged) -> Shell:
    """A shell beside a bridge that has flagged both, and nothing more."""
    flagged.shell.rules()
    shutil.copy(flagged.database, flagged.shell.state / "bridge.db")
    return flagged.shell


@pytest.fixture
def case_id(flagged: Flagged) -> str:
    return flagged.case_of["Mia"]


def test_people_may_not_dismiss_a_case_because_it_would_count_nowhere() -> None:
    assert ENDS == by_hand.ENDS
    assert "dismissed" not in ENDS


@contextmanager
def store_of(shell: Shell) -> Iterator[Store]:
    store = Store.open(f"sqlite:///{shell.state / 'bridge.db'}")
    yield store
    store.close()


def refused(said: Said, *texts: str) -> bool:
    return (said.code, said.out, [text for text in texts if text not in said.err]) == (2, "", [])


# ------------------------------------------------------------------ the end
def test_a_case_is_closed_by_hand_with_a_cause_and_its_party(shell: Shell, case_id: str) -> None:
    said = shell("case close", case_id, "--outcome", "unfixable", "--cause", "Defect")

    assert said.says(f"stage: ended, unfixable: closed by {whoever()}: cause Defect, party product")
    assert said.says("  learned: cause Defect, party product")
    assert case_id not in shell("cases").out


def test_a_cause_that_the_rules_do_not_know_comes_with_those_that_they_do(shell: Shell, case_id: str) -> None:
    said = shell("case close", case_id, "--cause", "Defekt")

    assert refused(said, 'unknown cause "Defekt", did you mean "Defect"?; there are: Too slow, Wrong answer, Defect,')
    assert shell("case", case_id, "--json").json["outcome"] is None


def test_without_a_list_of_causes_any_is_taken(shell: Shell, case_id: str) -> None:
    text = shell.rules_file.read_text()
    before, _, rest = text.partition("\ncauses:")
    shell.rules_file.write_text(before + rest[rest.index("\n# ---") :])

    assert shell("case close", case_id, "--cause", "The moon").says("cause The moon")


def test_a_case_that_has_ended_learns_its_cause_later(shell: Shell, case_id: str) -> None:
    shell("case close", case_id, "--outcome", "no_response")

    said = shell("case close", case_id, "--cause", "Too slow", "--remedy", "Sent by courier", "--json").json

    assert (said["outcome"], said["cause"], said["party"]) == ("no_response", "Too slow", "service")
    assert said["audits"][-1]["reason"] == f"by {whoever()}: cause Too slow, remedy Sent by courier, party service"


@pytest.mark.parametrize(
    ("first", "second", "advice"),
    [
        ((), ("--cause", "Defect", "--outcome", "recovered"), "leave out the outcome"),
        ((), (), "has ended already: stopped; write its cause"),
        (("--cause", "Defect"), ("--cause", "Too slow"), "has ended already: stopped, cause: Defect"),
    ],
)
def test_a_case_ends_only_once(
    shell: Shell, case_id: str, first: tuple[str, ...], second: tuple[str, ...], advice: str
) -> None:
    shell("case close", case_id, *first)

    assert refused(shell("case close", case_id, *second), advice)


def test_a_closed_case_is_not_looked_at_any_more(shell: Shell, case_id: str) -> None:
    shell("case close", case_id)

    assert shell("run --once --json").json["effects"]["planned"] == 0


# ------------------------------------------------------------------ promises
def test_a_promise_stands_in_the_story_of_its_case(shell: Shell, case_id: str) -> None:
    said = shell("case promise", case_id, "--what", "Refund by bank", "--by", IN_A_WEEK)

    assert said.says('  promised: "Refund by bank" by ', 'promised: "Refund by bank" by ')
    assert shell("status").says("  promises: 1 open, 0 broken")
    assert shell("case", case_id, "--json").json["promise"]["what"] == "Refund by bank"


def test_a_promise_that_was_kept_is_gone(shell: Shell, case_id: str) -> None:
    shell("case promise", case_id, "--what", "Refund by bank", "--by", IN_A_WEEK)

    said = shell("case promise", case_id, "--kept")

    assert said.says('promise_kept: "Refund by bank" was kept')
    assert "  promised: " not in said.out.partition("what happened")[0]
    assert "promises" not in shell("status").out


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        ((), "write --what and --by, or --kept alone"),
        (("--what", "Refund"), "write --what and --by"),
        (("--what", " ", "--by", IN_A_WEEK), "write --what and --by"),
        (("--what", "Refund", "--by", IN_A_WEEK, "--kept"), "or --kept alone"),
        (("--what", "Refund", "--by", "2020-01-01"), "--by: 2020-01-01 is more than a year away"),
        (("--what", "Refund", "--by", "soon"), '--by: "soon" is no day or time'),
        (("--kept",), "has no promise; write --what and --by"),
    ],
)
def test_a_promise_needs_its_what_and_when(shell: Shell, case_id: str, words: tuple[str, ...], advice: str) -> None:
    assert refused(shell("case promise", case_id, *words), advice)


def test_a_case_that_has_ended_takes_no_promises(shell: Shell, case_id: str) -> None:
    shell("case close", case_id)

    assert refused(shell("case promise", case_id, "--what", "Refund", "--by", IN_A_WEEK), "has ended already: stopped")


# ------------------------------------------------------------------ goodwill
def test_goodwill_is_put_down_and_counted(shell: Shell, case_id: str) -> None:
    said = shell("case goodwill", case_id, "--spent", "5.50 EUR")

    assert said.says("  goodwill granted: 5.50 EUR", "goodwill: 5.50 EUR granted")
    assert shell("status").says("  goodwill: 5.50 EUR, 0 overrides")
    assert shell("case", case_id, "--json").json["goodwill_spent"] == {"EUR": "5.50"}


def test_more_than_an_agent_may_grant_alone_needs_a_reason(shell: Shell, case_id: str) -> None:
    shell("case goodwill", case_id, "--spent", "5 EUR")

    said = shell("case goodwill", case_id, "--spent", "6 EUR")

    assert refused(said, "11 EUR on this ticket needs the approval of leads (above 10 EUR); if leads approve, write: ")
    assert f'recovery-bridge case goodwill {case_id} --spent "6 EUR" --because "' in said.err
    assert shell("case", case_id, "--json").json["goodwill_spent"] == {"EUR": "5"}


def test_a_blank_is_no_reason(shell: Shell, case_id: str) -> None:
    assert refused(
        shell("case goodwill", case_id, "--spent", "11 EUR", "--because", "  "), "needs the approval of leads"
    )


def test_an_override_is_told_to_its_approver_and_counted(shell: Shell, case_id: str) -> None:
    shell("case goodwill", case_id, "--spent", "60 EUR", "--because", "Third failure; Ben approved it")

    told = shell("case", case_id, "--json").json
    assert [audit["what"] for audit in told["audits"]][-2:] == ["override", "goodwill"]
    assert [(effect["does"], effect["state"]) for effect in told["effects"]][-1] == ("tell leads", "planned")
    assert shell("status").says(
        "goodwill: 60 EUR, 1 override", f"case {case_id}: 60 EUR, because: Third failure; Ben approved it"
    )


def test_in_shadow_mode_nobody_hears_of_an_override(shell: Shell, case_id: str) -> None:
    shell.edit(("mode: live", "mode: shadow"))

    shell("case goodwill", case_id, "--spent", "60 EUR", "--because", "Third failure")

    assert shell("case", case_id, "--json").json["effects"][-1]["state"] == "shadow"


def test_a_customer_who_was_known_as_important_may_be_granted_more(shell: Shell, flagged: Flagged) -> None:
    assert shell("case goodwill", flagged.case_of["Vera"], "--spent", "20 EUR").code == 0


@pytest.mark.parametrize(
    ("amount", "advice"),
    [
        ("15", '--spent: "15" is not an amount; write it like 20 EUR'),
        ("0 EUR", "is nothing"),
        ("5 USD", "--spent: 5 USD is not in EUR, the currency of the goodwill in rules.yaml"),
    ],
)
def test_goodwill_is_an_amount_in_the_currency_of_the_rules(
    shell: Shell, case_id: str, amount: str, advice: str
) -> None:
    assert refused(shell("case goodwill", case_id, "--spent", amount), advice)


def test_goodwill_may_be_put_down_after_the_end(shell: Shell, case_id: str) -> None:
    shell("case close", case_id)

    assert shell("case goodwill", case_id, "--spent", "5 EUR").says("goodwill granted: 5 EUR", "stage: ended")


# ------------------------------------------------------------------ the story
def test_people_stand_in_the_story_by_their_names(shell: Shell, case_id: str) -> None:
    told = shell("case", case_id)

    assert told.says("original agent Ana, now with Ana", "assign to Ana in group Care")


def test_without_a_cached_directory_ids_stay(shell: Shell, case_id: str) -> None:
    with store_of(shell) as store:
        store.remember("acme", "directory", {"people": "in another form"}, datetime.now(UTC))
        owner = store.cases()[0].assignee_id

    assert shell("case", case_id).says(f"original agent {owner}, now with {owner}")


# ------------------------------------------------------------------ opting out
def test_whoever_opted_out_is_known_by_a_key_alone(shell: Shell) -> None:
    said = shell("opt-out Mia.Maier@customer.example --because asked", "--list-size")

    assert said.out == "Mi...@customer.example: is not asked again\n1 customer opted out\n"
    assert b"maier@customer" not in (shell.state / "bridge.db").read_bytes().lower()


def test_opting_out_twice_counts_once_and_can_be_undone(shell: Shell) -> None:
    sizes = [
        shell(f"opt-out {words} --json").json["size"]
        for words in ("mia@x.example tom@x.example", "MIA@x.example", "mia@x.example --undo", "--list-size")
    ]

    assert sizes == [2, 2, 1, 1]
    assert shell("status").says("1 customer opted out of being asked again")


@pytest.mark.parametrize(("words", "advice"), [("", "write the address"), ("mia", "'mia' is no e-mail address")])
def test_opting_out_needs_an_address(shell: Shell, words: str, advice: str) -> None:
    assert refused(shell(f"opt-out {words}"), advice)
