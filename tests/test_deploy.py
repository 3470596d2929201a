"""The files of deploy/ keep up with the program: commands and options, paths that are served, one set of versions.

`python -m tests.proxies` runs the examples of nginx and Caddy; here they are only looked at.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import click
import pytest
import yaml

from bridge.cli import cli
from tests.proxies import PROGRAMS, command

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
UNITS = [path for path in sorted((DEPLOY / "systemd").iterdir()) if path.is_file()]
SERVICES = [path for path in UNITS if path.suffix == ".service"]
PROGRAM = "/opt/recovery-bridge/bin/recovery-bridge"
TEXTS = [ROOT / "README.md", DEPLOY / "README.md", *SERVICES]
SERVED = yaml.safe_load((ROOT / "bridge/web/openapi.yaml").read_text(encoding="utf-8"))["paths"]
OF_THIS_MACHINE = {"/readyz", "/metrics"}


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


# ------------------------------------------------------------------ commands
def calls(text: str) -> Iterator[list[str]]:
    """Yield the words of every call of our program in a text."""
    for line in re.findall(r"(?:^|[\s`/:])recovery-bridge ((?=[a-z])(?:[^`\n#]|(?<=\\)\n)+)", text):
        yield line.replace("\\\n", " ").split()


def unknown_in(words: list[str]) -> list[str]:
    """Return the options of a call that our program does not know."""
    found: click.Command = cli
    known = {option for parameter in cli.params for option in parameter.opts}
    for word in words:
        if isinstance(found, click.Group) and word in found.commands:
            found = found.commands[word]
            known |= {option for parameter in found.params for option in parameter.opts}
    return [word for word in words if word.startswith("--") and word.partition("=")[0].rstrip(",;.:") not in known]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_every_command_that_is_written_down_exists_with_its_options(path: Path) -> None:
    found = list(calls(text_of(path)))

    assert found
    assert [(words, unknown) for words in found if (unknown := unknown_in(words))] == []
    assert {words[0] for words in found if re.fullmatch(r"[a-z]+[^:;]", words[0])} <= cli.commands.keys()


def test_the_image_serves_and_looks_at_its_own_health() -> None:
    said = text_of(DEPLOY / "Containerfile")
    (ending,) = re.findall(r'^CMD \["serve", "(--\w+)"', said, re.M)

    assert unknown_in(["serve", ending]) == []
    assert re.search(r"HEALTHCHECK.*\n.*127\.0\.0\.1:8080/healthz", said)
    assert all((ROOT / name).exists() for name in re.findall(r"^COPY (deploy/\S+)", said, re.M))


# ------------------------------------------------------------------ systemd
@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units beside a program that is there."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze on this machine")
    shutil.copytree(DEPLOY / "systemd", tmp_path, dirs_exist_ok=True)
    for path in tmp_path.glob("*.service"):
        path.write_text(text_of(path).replace(PROGRAM, "/bin/true"), encoding="utf-8")
    return tmp_path


def analyze(units: Path, *words: str) -> subprocess.CompletedProcess[str]:
    line = ["systemd-analyze", *words, *map(str, sorted(units.glob("*.service")))]
    env = {**os.environ, "SYSTEMD_UNIT_PATH": f"{units}:"}
    return subprocess.run(line, env=env, capture_output=True, text=True, check=False)


def test_systemd_understands_the_units(units: Path) -> None:
    said = analyze(units, "verify", *map(str, units.glob("*.timer")))

    assert (said.returncode, said.stderr) == (0, "")


def test_the_services_can_do_little_to_the_machine(units: Path) -> None:
    said = analyze(units, "security", "--offline=yes", "--threshold=15", "--no-pager")  # 1.5 of 10

    assert said.returncode == 0, said.stdout


def test_what_waits_for_a_person_or_for_another_run_is_no_failure() -> None:
    said = text_of(DEPLOY / "systemd" / "recovery-bridge-.service.d" / "bridge.conf")

    assert "\nSuccessExitStatus=3 75\n" in said


@pytest.mark.parametrize("path", [path for path in UNITS if path.suffix == ".timer"], ids=lambda path: path.name)
def test_every_timer_has_its_service_and_makes_up_for_what_it_slept_through(path: Path) -> None:
    assert path.with_suffix(".service") in SERVICES
    assert "\nPersistent=true\n" in text_of(path)


# ------------------------------------------------------------------ proxies
def goes_through_nginx(path: str) -> bool:
    for how, where in re.findall(r"^    location (= |~ |)(\S+) \{", text_of(DEPLOY / "nginx.conf"), re.M):
        fits = {"= ": path == where, "~ ": bool(re.search(where, path)), "": path.startswith(where)}[how]
        if fits and where != "/":
            return True
    return False


def goes_through_caddy(path: str) -> bool:
    matchers = re.findall(r"^\s*(?:@\w+ )?path (.+)$", text_of(DEPLOY / "Caddyfile"), re.M)
    return any(fnmatch(path, one) for line in matchers for one in line.split())


@pytest.mark.parametrize("goes_through", [goes_through_nginx, goes_through_caddy])
def test_a_proxy_lets_through_what_we_serve_and_nothing_else(goes_through) -> None:  # type: ignore[no-untyped-def]
    served = {path: re.sub(r"\{\w+\}", "0123456789ab", path) for path in SERVED}

    assert {path for path, example in served.items() if not goes_through(example)} == OF_THIS_MACHINE
    assert not any(goes_through(path) for path in ("/anything", "/openapi.yaml", "/metrics/", "/caseses"))


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_proxy_itself_understands_its_example(name: str, tmp_path: Path) -> None:
    if shutil.which(name) is None or shutil.which("openssl") is None:
        pytest.skip(f"no {name} on this machine")
    env = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}

    said = subprocess.run(
        command(name, tmp_path, 1, 2, check=True), env=env, capture_output=True, text=True, check=False
    )

    assert said.returncode == 0, said.stderr


# ------------------------------------------------------------------ versions
def pinned(path: Path) -> set[str]:
    return set(re.findall(r"^([\w.-]+==[^ ;\\]+)", text_of(path), re.M))


def test_what_is_deployed_is_what_was_tested() -> None:
    assert pinned(DEPLOY / "requirements.txt") - pinned(ROOT / "requirements-dev.txt") == set()


def test_every_version_that_is_deployed_has_hashes() -> None:
    said = text_of(DEPLOY / "requirements.txt")

    assert len(re.findall(r"^[\w.-]+==.*\\\n    --hash=sha256:", said, re.M)) == len(
        pinned(DEPLOY / "requirements.txt")
    )
