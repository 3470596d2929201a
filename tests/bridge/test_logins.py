"""The file of those who may sign in: what it says, what is refused, and passwords in it."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path
from typing import Any

import pytest

from bridge.errors import SettingsError, StoreError
from bridge.logins import Cost, Hash, Logins, Role, canonical, logins_path, parsed, why_weak
from tests.web.people import CHEAP, PASSWORDS, entry, logins_in

HASH = str(Hash.of("seven blue kites", CHEAP))


@pytest.fixture
def logins(tmp_path: Path) -> Logins:
    return logins_in(tmp_path)


# ------------------------------------------------------------------ the file
def test_the_file_stands_in_the_state_directory_or_where_it_is_said() -> None:
    assert logins_path({"BRIDGE_STATE_DIR": "/var/lib/bridge"}) == Path("/var/lib/bridge/logins")
    assert logins_path({"BRIDGE_LOGINS_FILE": "/etc/bridge/people"}) == Path("/etc/bridge/people")


def test_without_a_file_there_is_nobody(tmp_path: Path) -> None:
    assert Logins(tmp_path / "logins").entries() == {}


def test_the_file_is_readable_by_nobody_else_and_holds_no_password(logins: Logins) -> None:
    text = logins.path.read_text()

    assert stat.S_IMODE(logins.path.stat().st_mode) == 0o600
    assert not [word for word in PASSWORDS.values() if word in text]


def test_a_line_is_a_name_a_role_and_a_password(tmp_path: Path) -> None:
    entries = parsed(f"# people\n\n  Ana.Meier@x.example   operator  {HASH}\npam viewer -\n", "logins")

    assert [(one.name, one.role) for one in entries.values()] == [
        ("ana.meier@x.example", "operator"),
        ("pam", "viewer"),
    ]
    assert (str(entries["ana.meier@x.example"].password), entries["pam"].password) == (HASH, None)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("ana operator", "a line is a name, a role and a password"),
        (f"ana operator {HASH} x", "a line is a name, a role and a password"),
        (f"<ana> operator {HASH}", "the first word is no name"),
        (f"{'a' * 101} operator {HASH}", "the first word is no name"),
        (f"ana boss {HASH}", "ana: the second word is no role; there are: viewer, operator"),
        ("ana operator seven-blue-kites", "ana: the third word is no password as this file keeps them; run: recovery-"),
        (f"ana operator {HASH[:-2]}", "ana: the third word is no password"),
        (f"ana operator {HASH.replace('$2$', '$3$', 1)}", "ana: the third word has a cost that cannot be used"),
        (
            f"ana operator {HASH.replace('$2$1$', '$1048576$8$', 1)}",
            "ana: the third word has a cost that cannot be used",
        ),
        (f"ana operator {HASH.replace('$1$1$', '$1$99$', 1)}", "ana: the third word has a cost that cannot be used"),
        (f"ANA viewer {HASH}\nana operator -", "ana stands above already"),
    ],
)
def test_a_line_that_cannot_be_used_is_named_without_its_password(line: str, why: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parsed(f"pam viewer -\n{line}", "logins")

    assert str(caught.value).startswith(f"logins:{2 + line.count(chr(10))}: {why}")
    assert "kites" not in str(caught.value)


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o620, 0o666])
def test_a_file_that_others_can_read_or_write_is_refused(logins: Logins, mode: int) -> None:
    logins.path.chmod(mode)

    with pytest.raises(SettingsError, match=r"others can read or write it; run: chmod 600"):
        logins.entries()


def test_a_file_that_its_own_group_can_read_is_taken(logins: Logins) -> None:
    logins.path.chmod(0o640)

    assert "ana" in logins.entries()


def test_a_file_that_cannot_be_read_lets_nobody_in(tmp_path: Path) -> None:
    (tmp_path / "logins").mkdir(mode=0o700)

    with pytest.raises(StoreError, match="cannot be read"):
        Logins(tmp_path / "logins").entries()


def test_what_was_changed_elsewhere_holds_at_once(logins: Logins) -> None:
    assert logins.entries()["vic"].role is Role.VIEWER

    Logins(logins.path).put(entry("vic", Role.OPERATOR))

    assert logins.entries()["vic"].role is Role.OPERATOR


def test_a_file_that_has_not_changed_is_not_read_again(logins: Logins) -> None:
    assert logins.entries() is logins.entries()


def test_a_file_that_became_unusable_lets_in_nobody_who_was_in_it(logins: Logins) -> None:
    logins.entries()
    with logins.path.open("a") as file:
        file.write("nonsense\n")

    with pytest.raises(SettingsError, match=r"logins:5: a line is"):
        logins.entries()


def test_changing_one_line_leaves_the_others_and_remarks_alone(logins: Logins) -> None:
    logins.path.write_text(f"# head\nAna operator {HASH}\n\n# the leads\nvic viewer -\n")

    logins.put(entry("ana", Role.VIEWER))
    logins.put(entry("new", Role.VIEWER))
    logins.remove("vic")

    assert logins.path.read_text() == "# head\nana viewer -\n\n# the leads\nnew viewer -\n"


def test_a_file_that_cannot_be_used_is_not_changed(logins: Logins) -> None:
    logins.path.write_text("nonsense\n")

    with pytest.raises(SettingsError):
        logins.put(entry("new", Role.VIEWER))
    assert logins.path.read_text() == "nonsense\n"


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be written"):
        Logins(tmp_path / "missing" / "logins").put(entry("ana", Role.VIEWER))


# ------------------------------------------------------------------ passwords
@pytest.mark.parametrize("name", ["ana", "ANA", " Ana "])
def test_the_right_password_lets_in(logins: Logins, name: str) -> None:
    found = logins.let_in(name, PASSWORDS["ana"])

    assert found == logins.entries()["ana"]


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("ana", "a quiet harbouR"),
        ("ana", PASSWORDS["vic"]),
        ("ana", ""),
        ("nobody", PASSWORDS["ana"]),
        ("", ""),
        ("pam", ""),
        ("pam", "-"),
    ],
)
def test_nothing_else_lets_in(logins: Logins, name: str, password: str) -> None:
    assert logins.let_in(name, password) is None


@pytest.mark.parametrize("name", ["ana", "nobody", "pam", ""])
def test_a_name_that_nobody_has_takes_the_same_work(logins: Logins, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    costs: list[dict[str, Any]] = []
    stretch = hashlib.scrypt

    def counted(password: bytes, **cost: Any) -> bytes:
        costs.append({one: cost[one] for one in "nrp"})
        return stretch(password, **cost)

    monkeypatch.setattr(hashlib, "scrypt", counted)
    logins.let_in(name, "wrong")

    assert costs == [vars(CHEAP)]


def test_the_same_letters_from_another_keyboard_are_the_same_password() -> None:
    assert Hash.of("Zu\u0308rich am See", CHEAP).fits("Z\u00fcrich am See")


def test_two_hashes_of_a_password_differ() -> None:
    assert str(Hash.of("seven blue kites", CHEAP)) != HASH
    assert Hash.read(HASH).fits("seven blue kites")


def test_a_password_costs_what_is_asked_of_scrypt_today() -> None:
    cost = Cost()

    assert cost.n * cost.r * cost.p >= 2**14 * 8 * 5  # OWASP, password storage: one of its equal settings
    assert 128 * cost.n * cost.r <= 16 * 1024 * 1024  # bytes: a small server has no more to spare


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("short", "has 5 characters; use at least 12"),
        ("x" * 1001, "has more than 1000 characters"),
        ("aaaaaaaaaaaaaaaa", "is too easily guessed"),
        ("my-name-is-Ana-Meier", "is too easily guessed"),
        ("a quiet harbour", None),
    ],
)
def test_a_new_password_is_long_and_no_name(password: str, why: str | None) -> None:
    said = why_weak(password, "ana")

    assert said == why if why is None else (said or "").startswith(why)


@pytest.mark.parametrize("name", ["", " ", "a b", "-ana", "ana:x", "an\u00e4", "../x", "a/b", "#ana"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(ValueError, match="is no name"):
        canonical(name)
