"""Where secrets are looked for, which files are private, and who may run."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bridge.errors import AlreadyRunning, BridgeError, SettingsError, StoreError
from bridge.settings import (
    connector_names,
    customer_hasher,
    database_url,
    program_secret,
    read_private,
    run_lock,
    secret,
    state_dir,
    survey_key,
    variable,
    write_private,
)


def private(path: Path, text: str | bytes, mode: int = 0o600) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return path


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# ------------------------------------------------------------------ secrets
@pytest.mark.parametrize(
    ("account", "field", "name"),
    [
        ("acme", "api_key", "BRIDGE_ACME_API_KEY"),
        ("acme_eu", "client_id", "BRIDGE_ACME_EU_CLIENT_ID"),
        ("acme-eu.2", "email", "BRIDGE_ACME_EU_2_EMAIL"),
    ],
)
def test_a_secret_has_a_variable(account: str, field: str, name: str) -> None:
    assert variable(account, field) == name


def revealed(env: dict[str, str]) -> str | None:
    found = secret(env, "shop", "api_key")
    return found.reveal() if found else None


def test_a_secret_comes_from_its_variable_without_the_space_around_it() -> None:
    assert revealed({"BRIDGE_SHOP_API_KEY": " key\n"}) == "key"


def test_a_secret_comes_from_the_file_that_a_variable_names(tmp_path: Path) -> None:
    assert revealed({"BRIDGE_SHOP_API_KEY_FILE": str(private(tmp_path / "key", "from file\n"))}) == "from file"


def test_a_secret_comes_from_a_systemd_credential(tmp_path: Path) -> None:
    private(tmp_path / "shop_api_key", "from systemd", 0o400)

    assert revealed({"CREDENTIALS_DIRECTORY": str(tmp_path)}) == "from systemd"


def test_the_variable_wins_over_the_file_and_the_file_over_systemd(tmp_path: Path) -> None:
    private(tmp_path / "shop_api_key", "from systemd")
    env = {
        "CREDENTIALS_DIRECTORY": str(tmp_path),
        "BRIDGE_SHOP_API_KEY_FILE": str(private(tmp_path / "key", "from file")),
    }

    assert revealed(env) == "from file"
    assert revealed(env | {"BRIDGE_SHOP_API_KEY": "from variable"}) == "from variable"


@pytest.mark.parametrize("env", [{}, {"BRIDGE_SHOP_API_KEY": " "}, {"CREDENTIALS_DIRECTORY": "/nowhere"}])
def test_a_secret_that_is_nowhere_is_none(env: dict[str, str]) -> None:
    assert revealed(env) is None


def test_an_empty_file_holds_no_secret(tmp_path: Path) -> None:
    assert revealed({"BRIDGE_SHOP_API_KEY_FILE": str(private(tmp_path / "key", "\n"))}) is None


def test_a_secret_never_prints_itself() -> None:
    found = secret({"BRIDGE_SHOP_API_KEY": "s3cret"}, "shop", "api_key")

    assert "s3cret" not in f"{found} {found!r}"


def test_secrets_of_the_program_itself_have_no_account() -> None:
    found = program_secret({"BRIDGE_SMTP_URL": "smtp://mail"}, "smtp_url")

    assert found
    assert found.reveal() == "smtp://mail"


@pytest.mark.parametrize(
    ("content", "mode", "why"),
    [
        (b"key", 0o604, "everybody on this machine can read it; run: chmod 600"),
        (b"\xff\xfe", 0o600, "is not text"),
        (None, 0, "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_trusted_is_refused(tmp_path: Path, content: bytes | None, mode: int, why: str) -> None:
    path = tmp_path / "key"
    if content:
        private(path, content, mode)

    with pytest.raises(SettingsError, match=f"^BRIDGE_SHOP_API_KEY_FILE: {path}: {why}"):
        revealed({"BRIDGE_SHOP_API_KEY_FILE": str(path)})


# ------------------------------------------------------------------ the state directory
def test_the_state_directory_is_made_for_nobody_else(tmp_path: Path) -> None:
    folder = state_dir({"BRIDGE_STATE_DIR": str(tmp_path / "deep" / "state")})

    assert mode_of(folder) == 0o700


def test_a_state_directory_that_cannot_be_made_says_what_to_set(tmp_path: Path) -> None:
    blocked = private(tmp_path / "file", "") / "state"

    with pytest.raises(StoreError, match=r"cannot be made .*; set BRIDGE_STATE_DIR"):
        state_dir({"BRIDGE_STATE_DIR": str(blocked)})


def test_the_database_lives_in_the_state_directory_unless_another_is_named(tmp_path: Path) -> None:
    assert database_url({}, tmp_path) == f"sqlite:///{tmp_path}/bridge.db"
    assert database_url({"BRIDGE_DATABASE_URL": "postgresql://db/x"}, tmp_path) == "postgresql://db/x"


# ------------------------------------------------------------------ private files
def test_a_private_file_is_readable_by_nobody_else(tmp_path: Path) -> None:
    path = tmp_path / "acme.token"

    write_private(path, "one")
    write_private(path, "two")

    assert (mode_of(path), read_private(path)) == (0o600, "two")


def test_a_private_file_that_is_missing_is_none(tmp_path: Path) -> None:
    assert read_private(tmp_path / "acme.token") is None


def test_a_private_file_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "acme.token").mkdir()

    with pytest.raises(StoreError, match=r"acme.token: cannot be written"):
        write_private(tmp_path / "acme.token", "s3cret")

    assert [path.name for path in tmp_path.iterdir()] == ["acme.token"]


# ------------------------------------------------------------------ customers
def test_a_customer_is_the_same_in_any_spelling_of_the_address(tmp_path: Path) -> None:
    known_as = customer_hasher(tmp_path)

    assert known_as(" Mia@Example.com ") == known_as("mia@example.com") != known_as("tom@example.com")


def test_a_customer_stays_the_same_from_run_to_run(tmp_path: Path) -> None:
    assert customer_hasher(tmp_path)("mia@example.com") == customer_hasher(tmp_path)("mia@example.com")


def test_nobody_can_test_addresses_without_the_key_of_the_installation(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()

    assert customer_hasher(tmp_path)("mia@example.com") != customer_hasher(tmp_path / "other")("mia@example.com")
    assert mode_of(tmp_path / "customer.key") == 0o600


@pytest.mark.parametrize("damaged", [b"", b"abc", b"\xff" * 64, b"g" * 64])
def test_a_damaged_key_is_not_replaced_in_silence(tmp_path: Path, damaged: bytes) -> None:
    private(tmp_path / "customer.key", damaged)

    with pytest.raises(StoreError, match=r"customer.key: is damaged; restore it from a backup"):
        customer_hasher(tmp_path)


@pytest.mark.parametrize("user", [survey_key, lambda folder: customer_hasher(folder)("mia@example.com")])
def test_all_who_begin_at_once_get_the_same_key(tmp_path: Path, user: Callable[[Path], str]) -> None:
    with ThreadPoolExecutor() as pool:
        seen = set(pool.map(user, [tmp_path] * 8))

    assert len(seen) == 1


def test_links_are_signed_with_a_private_key_that_stays(tmp_path: Path) -> None:
    first, again = survey_key(tmp_path), survey_key(tmp_path)

    assert first == again
    assert (len(first), mode_of(tmp_path / "survey.key")) == (64, 0o600)
    assert [file.name for file in tmp_path.iterdir()] == ["survey.key"]


def test_a_damaged_survey_key_says_what_removing_it_costs(tmp_path: Path) -> None:
    private(tmp_path / "survey.key", b"abc")

    with pytest.raises(StoreError, match=r"survey.key: is damaged; .* links that were sent before then lead nowhere"):
        survey_key(tmp_path)


# ------------------------------------------------------------------ the lock
def test_only_one_run_at_a_time(tmp_path: Path) -> None:
    with run_lock(tmp_path), pytest.raises(AlreadyRunning, match="another run is under way"), run_lock(tmp_path):
        pass


def test_the_lock_is_free_again_after_a_run_that_failed(tmp_path: Path) -> None:
    with pytest.raises(BridgeError), run_lock(tmp_path):
        raise BridgeError("no luck")

    with run_lock(tmp_path):
        pass


def test_the_lock_is_free_again_after_a_run_that_was_killed(tmp_path: Path) -> None:
    if not (child := os.fork()):
        with run_lock(tmp_path):
            os.kill(os.getpid(), 9)
    os.waitpid(child, 0)

    with run_lock(tmp_path):
        pass


def test_a_lock_that_cannot_be_made_is_a_trouble_of_the_disk(tmp_path: Path) -> None:
    (tmp_path / "run.lock").mkdir()

    with pytest.raises(StoreError, match=r"run.lock: cannot be opened"), run_lock(tmp_path):
        pass


def test_the_installed_connectors_are_the_files_of_their_folder() -> None:
    assert connector_names() == ["freshdesk", "zendesk"]
