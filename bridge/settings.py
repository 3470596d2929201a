"""The environment: where state lives, which secrets an account has, which helpdesks are installed, the lock of `run`.

A secret is looked for in `BRIDGE_<ACCOUNT>_<FIELD>`, then in the file named by `BRIDGE_<ACCOUNT>_<FIELD>_FILE`, then in
the systemd credential `<account>_<field>`. No secret ever stands in rules.yaml.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import pkgutil
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import connectors
from bridge.connector import Secret
from bridge.errors import AlreadyRunning, SettingsError, StoreError

Environment = Mapping[str, str]
NO_CONNECTORS = frozenset({"sandbox"})


def connector_names() -> list[str]:
    """Return the helpdesks that are installed: one file, or folder, of `connectors` each."""
    found = (module.name for module in pkgutil.iter_modules(connectors.__path__))
    return sorted(name for name in found if name not in NO_CONNECTORS)


def variable(account: str, field: str) -> str:
    """Return the environment variable that holds a secret: BRIDGE_ACME_API_TOKEN."""
    return "BRIDGE_" + re.sub(r"[^A-Z0-9]", "_", f"{account}_{field}".upper())


def secret(env: Environment, account: str, field: str) -> Secret | None:
    """Return one secret of an account, or None if it is nowhere."""
    return _secret(env, variable(account, field), f"{account}_{field}")


def program_secret(env: Environment, field: str) -> Secret | None:
    """Return a secret of the program itself, such as BRIDGE_SMTP_URL."""
    return _secret(env, f"BRIDGE_{field.upper()}", field)


def _secret(env: Environment, name: str, credential: str) -> Secret | None:
    if text := env.get(name, "").strip():
        return Secret(text)
    if named := env.get(f"{name}_FILE"):
        return _from_file(Path(named), f"{name}_FILE")
    given = Path(env.get("CREDENTIALS_DIRECTORY") or "/nowhere", credential)
    return _from_file(given, "systemd credential") if given.exists() else None


def _from_file(path: Path, source: str) -> Secret | None:
    try:
        text = path.read_text(encoding="utf-8").strip()
        world_can_read = path.stat().st_mode & 0o004
    except OSError as exc:
        raise SettingsError(f"{source}: {path}: cannot be read ({exc.strerror})") from exc
    except UnicodeDecodeError:
        raise SettingsError(f"{source}: {path}: is not text; write the secret alone into it") from None
    if world_can_read:
        raise SettingsError(f"{source}: {path}: everybody on this machine can read it; run: chmod 600 {path}")
    return Secret(text) if text else None


def state_path(env: Environment) -> Path:
    """Return where the folder for database, tokens and lock is, or would be."""
    if chosen := env.get("BRIDGE_STATE_DIR"):
        return Path(chosen)
    from platformdirs import user_state_path

    return user_state_path("recovery-bridge")


def state_dir(env: Environment) -> Path:
    """Return the folder for database, tokens and lock, made with mode 0700 if it is missing."""
    folder = state_path(env)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise StoreError(
            f"{folder}: cannot be made ({exc.strerror}); set BRIDGE_STATE_DIR to a folder of yours"
        ) from exc
    return folder


def database_url(env: Environment, folder: Path) -> str:
    """Return BRIDGE_DATABASE_URL, or SQLite in the state directory."""
    return env.get("BRIDGE_DATABASE_URL") or f"sqlite:///{folder / 'bridge.db'}"


# ------------------------------------------------------------------ private files
def remembered(folder: Path, account: str, name: str) -> Path:
    """Return the file of a secret that a connector remembers."""
    return folder / f"{account}.{name}"


def read_private(path: Path) -> str | None:
    """Return the text of a private file, or None if there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise StoreError(f"{path}: cannot be read ({exc.strerror})") from exc


def write_private(path: Path, text: str) -> None:
    """Replace a private file at once, readable by nobody else."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as exc:
        draft.unlink(missing_ok=True)
        raise StoreError(f"{path}: cannot be written ({exc.strerror})") from exc


def remove_private(path: Path) -> None:
    """Remove a private file, if there is one."""
    try:
        path.unlink(missing_ok=True)
    except OSError as exc:
        raise StoreError(f"{path}: cannot be removed ({exc.strerror})") from exc


def survey_key(folder: Path) -> str:
    """Return the secret with which links to our own question are signed: 64 hexadecimal digits, made when missing."""
    return _own_key(folder / "survey.key", "links that were sent before then lead nowhere")


def session_key(folder: Path) -> str:
    """Return the secret with which the sessions of people are signed: 64 hexadecimal digits, made when missing."""
    return _own_key(folder / "session.key", "everybody then signs in again")


def customer_hasher(folder: Path) -> Callable[[str], str]:
    """Return the function that turns an address into the key by which a customer is known on every account.

    The hash is keyed with a random secret of this installation, so that nobody can test addresses against it.
    """
    key = bytes.fromhex(_own_key(folder / "customer.key", "customers are then new to us"))

    def known_as(address: str) -> str:
        canonical = address.strip().casefold().encode("utf-8", "replace")
        return hmac.new(key, canonical, hashlib.sha256).hexdigest()[:32]

    return known_as


def _own_key(path: Path, if_removed: str) -> str:
    """Return a random secret of this installation; of two processes that make it at once, both get the same one."""
    text = read_private(path)
    if text is None:
        _write_first(path, secrets.token_hex(32))
        text = read_private(path) or ""
    if not re.fullmatch(r"[0-9a-f]{64}\s*", text):
        raise StoreError(f"{path}: is damaged; restore it from a backup, or remove it: {if_removed}")
    return text.strip()


def _write_first(path: Path, text: str) -> None:
    """Write a private file, unless somebody else has done so meanwhile."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    write_private(draft, text)
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        pass
    except OSError:  # a file system without links: whoever comes last wins
        write_private(path, text)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold the only lock of this state directory; the kernel frees it even after kill -9.

    Raises AlreadyRunning if somebody else holds it.
    """
    path = folder / "run.lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as exc:
        raise StoreError(f"{path}: cannot be opened ({exc.strerror})") from exc
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        os.close(descriptor)
        raise AlreadyRunning(f"{folder}: another run is under way; this one leaves it the work") from exc
    try:
        yield
    finally:
        os.close(descriptor)
