"""The examples for nginx and Caddy, run on loopback in front of `recovery-bridge serve`: `python -m tests.proxies`.

What strangers send to them, what of it arrives, and what stands in their logs. Both files are taken as they are
shipped, but for what their first lines ask to be replaced, the ports and the certificate.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import os
import re
import shutil
import socket
import sqlite3
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from bridge.settings import survey_key
from bridge.survey_link import Invitation, SurveyLinks
from connectors.freshdesk.hooks import SECRET_HEADER
from connectors.zendesk.hooks import SIGNATURE, SIGNED_AT
from tests.commands import SINCE, Shell, shell_beside_a_company

DEPLOY = Path(__file__).parent.parent / "deploy"
SIGNED_BY, SHARED = "bridge-signs-webhooks==", "3f1c0a9d7e5b42688f6d0c1b2a394857"
STRANGER, HELPDESK, LEAD = "127.0.0.2", "127.0.0.3", "127.0.0.4"  # loopback has many addresses
PATIENCE = 40.0  # seconds
SLOW = 300  # connections
HUGE = 50_000_000  # bytes


# ------------------------------------------------------------------ the examples
def nginx_conf(folder: Path, port: int, behind: int) -> str:
    """Return deploy/nginx.conf for a rehearsal, within what Debian's own nginx.conf has around it."""
    site = _changed(
        (DEPLOY / "nginx.conf").read_text(encoding="utf-8"),
        ("listen 80;", f"listen 127.0.0.1:{_free_port()};"),
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        ("recovery.example.com", "localhost"),
        ("/etc/ssl/recovery-bridge", str(folder)),
        ("127.0.0.1:8080", f"127.0.0.1:{behind}"),
        ("allow 127.0.0.0/8;", f"allow {LEAD};"),
    )
    places = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("proxy", "fastcgi", "uwsgi", "scgi"))
    return f"""
pid {folder}/nginx.pid;
daemon off;
worker_processes 1;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{ access_log {folder}/access.log; client_body_temp_path {folder}/body; {places}
{site} }}
"""


def caddyfile(folder: Path, port: int, behind: int) -> str:
    """Return deploy/Caddyfile for a rehearsal: with a certificate of ours, and no port for orders."""
    return _changed(
        (DEPLOY / "Caddyfile").read_text(encoding="utf-8"),
        ("{\n\tservers {", "{\n\tadmin off\n\tauto_https off\n\tservers {"),
        (
            "recovery.example.com {",
            f"https://localhost:{port} {{\n\tbind 127.0.0.1\n\ttls {folder}/fullchain.pem {folder}/privkey.pem",
        ),
        ("127.0.0.1:8080", f"127.0.0.1:{behind}"),
        ("private_ranges", LEAD),
    )


def _changed(text: str, *changes: tuple[str, str]) -> str:
    for old, new in changes:
        if old not in text:
            raise ValueError(f"the example no longer says {old!r}")
        text = text.replace(old, new)
    return text


PROGRAMS = {
    "nginx": (nginx_conf, "nginx -p {folder} -c {file} -e {folder}/error.log", "-t"),
    "caddy": (caddyfile, "caddy {verb} --config {file} --adapter caddyfile", "validate"),
}


def command(name: str, folder: Path, port: int, behind: int, *, check: bool = False) -> list[str]:
    """Write the rehearsal's file and return the command that runs it, or with *check* the one that looks at it."""
    text, line, checking = PROGRAMS[name]
    file = folder / f"{name}.conf"
    file.write_text(text(folder, port, behind), encoding="utf-8")
    if not (folder / "privkey.pem").exists():
        make_certificate(folder)
    words = line.format(folder=folder, file=file, verb=checking if check else "run").split()
    return [*words, checking] if check and name == "nginx" else words


def make_certificate(folder: Path) -> None:
    """Make a certificate for localhost that nobody else trusts."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost", "-keyout", folder / "privkey.pem", "-out", folder / "fullchain.pem"],
        check=True, capture_output=True,
    )  # fmt: skip


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


# ------------------------------------------------------------------ running them
@dataclass
class Site:
    """A proxy with a server behind it, and the world's way of reaching them."""

    shell: Shell
    server: subprocess.Popen[str]
    proxy: subprocess.Popen[bytes]
    folder: Path
    port: int

    def line(self, source: str) -> http.client.HTTPSConnection:
        """Open a connection from an address."""
        trust = ssl.create_default_context(cafile=str(self.folder / "fullchain.pem"))
        return http.client.HTTPSConnection(
            "localhost", self.port, timeout=PATIENCE, context=trust, source_address=(source, 0)
        )

    def ask(self, path: str, source: str = STRANGER, body: bytes | None = None, **headers: str) -> int:
        """Make one request and return the status of its answer; names of headers with _ for -."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        with closing(self.line(source)) as line:
            line.request("GET" if body is None else "POST", path, body, named)
            answer = line.getresponse()
            answer.read()
            return answer.status

    def hook(self, account: str, ticket_id: str, source: str = HELPDESK, secret: str = SIGNED_BY, **more: str) -> int:
        """Send one webhook as its vendor would."""
        body = json.dumps({"ticket_id": ticket_id}).encode()
        headers = {"Content_Type": "application/json", **more}
        if account == "shop":
            return self.ask("/hooks/shop", source, body, **headers, **{SECRET_HEADER: SHARED})
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        mac = base64.b64encode(hmac.digest(secret.encode(), stamp.encode() + body, hashlib.sha256)).decode()
        return self.ask("/hooks/acme", source, body, **headers, **{SIGNATURE: mac, SIGNED_AT: stamp})

    def link(self) -> str:
        """Return the path of a survey's link that we signed, for a case that is over."""
        links = SurveyLinks(survey_key(self.shell.state), "https://recovery.example.com")
        invitation = Invitation("c0ffee42", 1, datetime.now(UTC) + timedelta(days=1), None, None)
        return links.link(invitation).removeprefix("https://recovery.example.com")

    def hints(self) -> list[tuple[str, str]]:
        """Return account and ticket of every webhook that was stored."""
        with closing(sqlite3.connect(self.shell.state / "bridge.db", timeout=PATIENCE)) as db:
            return list(db.execute("SELECT account, ticket_id FROM inbox WHERE source = 'hint' ORDER BY inbox_id"))

    def logs(self) -> str:
        """Return everything that the proxy wrote."""
        return "".join(file.read_text("utf-8", "replace") for file in self.folder.glob("*.log"))


@contextmanager
def site(name: str) -> Iterator[Site]:
    """Run a proxy and a server behind it, beside a company."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="recovery-bridge-")))
        folder.chmod(0o755)  # nginx's worker is nobody
        (folder / "company").mkdir()
        shell = stack.enter_context(shell_beside_a_company(folder / "company"))
        shell.env |= {"BRIDGE_ACME_WEBHOOK_SECRET": SIGNED_BY, "BRIDGE_SHOP_WEBHOOK_SECRET": SHARED}
        shell("run --once", *SINCE)
        behind, port = _free_port(), _free_port()
        shell.edit((f"survey_page: {shell.page}", "survey_page: https://recovery.example.com"))
        server = shell.start(f"serve --every 3600 --port {behind} --proxy 127.0.0.1", stderr=subprocess.DEVNULL)
        stack.callback(_end, server)
        with (folder / "proxy.log").open("wb") as log:
            env = {**os.environ, "XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder)}
            proxy = subprocess.Popen(command(name, folder, port, behind), stdout=log, stderr=log, env=env)
        stack.callback(_end, proxy)
        found = Site(shell, server, proxy, folder, port)
        _wait(lambda: found.ask("/healthz") == 200)
        yield found


def _end(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait(fact: Callable[[], bool]) -> None:
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        with suppress(OSError, http.client.HTTPException):
            if fact():
                return
        time.sleep(0.05)
    raise TimeoutError("the proxy and the server behind it do not answer")


# ------------------------------------------------------------------ what is looked at
def genuine_webhooks(site: Site) -> tuple[bool, str]:
    """Webhooks of both helpdesks are stored."""
    said = [site.hook("acme", "4711"), site.hook("shop", "4712")]
    return said == [200, 200] and site.hints()[-2:] == [("acme", "4711"), ("shop", "4712")], f"{said}, both stored"


def survey(site: Site) -> tuple[bool, str]:
    """A survey's page is shown."""
    said = [site.ask(site.link(), LEAD), site.ask("/survey/altered", LEAD)]
    return said == [410, 404], f"{said}: over, and not ours"


def kept_inside(site: Site) -> tuple[bool, str]:
    """What is for this machine alone is not handed on."""
    paths = ("/metrics", "/readyz", "/openapi.json", "/anything")
    said = [site.ask(path, LEAD) for path in paths]
    return said == [404] * len(paths), f"{', '.join(paths)}: 404"


def dashboard(site: Site) -> tuple[bool, str]:
    """The dashboard is for the networks that the file names."""
    paths = ("/", "/cases", "/cases/c0ffee42", "/work", "/login")
    outside = {site.ask(path, STRANGER) for path in paths}
    inside = [site.ask(path, LEAD) for path in paths]
    return outside <= {403, 404}, f"a stranger gets {sorted(outside)}, a lead {inside}"


def who_is_counted(site: Site) -> tuple[bool, str]:
    """Refusals are counted for the client itself, whatever it writes into X-Forwarded-For."""
    forged = [site.hook("acme", "1", STRANGER, "wrong", X_Forwarded_For=f"203.0.113.{number}") for number in range(70)]
    others = [site.hook("acme", "1", HELPDESK, "wrong"), site.hook("acme", "4713", STRANGER)]
    good = forged[0] == 401 and forged[-1] == 429 and others == [401, 200]
    return good, f"70 forged ones: {forged.count(401)} times 401, then 429; from elsewhere 401; a genuine one 200"


def huge(site: Site) -> tuple[bool, str]:
    """A body of 50 MB is refused, not stored, and holds nobody up."""
    began, status = time.monotonic(), 0
    with closing(site.line(STRANGER)) as line:
        with suppress(OSError):
            line.request("POST", "/hooks/acme", bytes(HUGE), {"Content-Type": "application/json"})
        with suppress(OSError, http.client.HTTPException):
            status = line.getresponse().status
    ours = int(re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{site.server.pid}/status").read_text())[0]) // 1024
    took = time.monotonic() - began
    return status in (0, 413, 502) and ours < 120, f"{status or 'cut off'} after {took:.1f} s; our server has {ours} MB"


def slow(site: Site) -> tuple[bool, str]:
    """300 slow heads and 50 slow bodies hold nobody up."""
    head = b"POST /hooks/acme HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with ExitStack() as stack:
        for number in range(SLOW + 50):
            line = site.line(f"127.0.1.{number % 100 + 1}")
            stack.callback(line.close)
            line.connect()
            line.sock.sendall(head if number < SLOW else head + b"Content-Length: 1000\r\n\r\n{")
        times = []
        for number in range(40):
            began = time.monotonic()
            assert site.hook("acme", str(9000 + number)) == 200
            times.append(time.monotonic() - began)
            time.sleep(0.3)
    times.sort()
    return times[-2] < 0.1, f"honest webhooks meanwhile: p50 {times[20] * 1000:.0f} ms, worst {times[-1] * 1000:.0f} ms"


def without_a_server(site: Site) -> tuple[bool, str]:
    """While the server is down helpdesks are told to try again, and no log holds a survey's link."""
    link = site.link()
    site.ask(link, LEAD)
    _end(site.server)
    said = [site.hook("acme", "4714"), site.ask(link, LEAD)]
    logged = link.rpartition("/")[2] in site.logs()
    return all(status in (502, 504) for status in said) and not logged, f"{said}; the link stands in no log"


FACTS = (genuine_webhooks, survey, kept_inside, dashboard, who_is_counted, huge, slow, without_a_server)


def main() -> int:
    """Try both, print what was seen, and return 1 if something is not as it should be."""
    bad = 0
    for name in sys.argv[1:] or PROGRAMS:
        if shutil.which(name) is None:
            click.echo(f"{name}: not installed, left out")
            continue
        with site(name) as found:
            for fact in FACTS:
                good, seen = fact(found)
                bad += not good
                click.echo(f"{name}: {'ok  ' if good else 'FAIL'} {fact.__doc__}\n         {seen}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
