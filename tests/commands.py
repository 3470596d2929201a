"""`recovery-bridge` as its users meet it: a process of its own beside a company whose helpdesks answer over HTTP.

Most of a short command's time goes into its imports. A nursery has them done and forks a process for each command.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from werkzeug import Response
from werkzeug.utils import redirect

from connectors.sandbox.company import API_KEY, Company, company
from connectors.sandbox.server import serve

HOUR = timedelta(hours=1)
AGO = timedelta(minutes=5)
CANARY = "kanarienvogel"  # in everything that customers write here: it must never reach a log
SECRETS = ("bridge-secret", API_KEY, "wrong-secret", "mail-password")
SINCE = ("--since", "2020-01-01")  # makes the first run act on ratings instead of keeping them as memory

NURSERY = """
import gc, json, os, resource, sys
import alembic, holidays, sqlite3, zenpy
import bridge.app, bridge.doctor, bridge.explaining, bridge.planning, bridge.status
import connectors.freshdesk.writes, connectors.zendesk.doctor
from bridge.cli import main

gc.freeze()  # shared with every child
for line in sys.stdin:
    order = json.loads(line)
    if child := os.fork():
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    for number, path in enumerate(order["files"], 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    os.environ.clear()
    os.environ.update(order["env"])
    if order["file_size"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["file_size"], order["file_size"]))
    sys.argv = ["recovery-bridge", *order["arguments"]]
    code = 0
    try:
        main()
    except SystemExit as ended:
        code = ended.code or 0
    finally:
        sys.stdout.flush()
        os._exit(code)  # without taking every module apart, which lasts longer than most commands
"""


@dataclass(frozen=True)
class Said:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The JSON that it printed."""
        return json.loads(self.out)

    def says(self, *texts: str) -> bool:
        """True if every text is in what it printed, on either stream."""
        return all(text in self.out + self.err for text in texts)


class Shell:
    """A user's shell: the rules file, the environment, and everything that was printed in it."""

    def __init__(self, firm: Company, folder: Path, page: str) -> None:
        self.firm, self.folder, self.page = firm, folder, page
        self.state = Path(firm.env["BRIDGE_STATE_DIR"])
        self.rules_file = folder / "rules.yaml"
        self.env: dict[str, str] = {"PATH": os.environ["PATH"], **firm.env}
        self.said: list[Said] = []
        self.rules(mode="live")

    def rules(self, **settings: str) -> None:
        """Write the company's rules.yaml, with settings such as mode="shadow"."""
        text = self.firm.rules(**{"survey_page": self.page, **settings}).text
        without_nights = re.sub(r"(?m)^  quiet_hours: .*\n", "", text)  # commands run on the real clock
        self.rules_file.write_text(without_nights, encoding="utf-8")

    def edit(self, *changes: tuple[str, str]) -> None:
        """Replace parts of rules.yaml: (old, new) each, the first place only."""
        text = self.rules_file.read_text(encoding="utf-8")
        for old, new in changes:
            assert old in text
            text = text.replace(old, new, 1)
        self.rules_file.write_text(text, encoding="utf-8")

    def start(
        self, command: str, *words: str, stdout: Any = subprocess.PIPE, stderr: Any = subprocess.PIPE
    ) -> subprocess.Popen[str]:
        """Start a command and do not wait for it."""
        line = [sys.executable, "-m", "bridge", *command.split(), "--rules", str(self.rules_file), *words]
        return subprocess.Popen(line, env=self.env, stdout=stdout, stderr=stderr, text=True, encoding="utf-8")

    def wait(self, process: subprocess.Popen[str]) -> Said:
        """Return what a command said that was started before."""
        out, err = process.communicate(timeout=60)
        return self._heard(Said(process.returncode, out or "", err))

    def __call__(self, command: str, *words: str, file_size: int = 0) -> Said:
        """Run a command to its end; no file may grow beyond *file_size* bytes, if given."""
        out, err = self.folder / "stdout", self.folder / "stderr"
        arguments = [*command.split(), "--rules", str(self.rules_file), *words]
        order = {"arguments": arguments, "env": self.env, "files": [str(out), str(err)], "file_size": file_size}
        nursery = _nursery()
        assert nursery.stdin
        assert nursery.stdout
        nursery.stdin.write(json.dumps(order) + "\n")
        nursery.stdin.flush()
        code = int(nursery.stdout.readline())
        return self._heard(Said(code, out.read_text("utf-8"), err.read_text("utf-8")))

    def _heard(self, said: Said) -> Said:
        self.said.append(said)
        return said

    def rate(
        self, account: str, category: str = "bad", comment: str | None = "Nobody helped me", **details: Any
    ) -> str:
        """Let a customer rate, five minutes ago, a ticket that Ana solved before."""
        firm = self.firm
        said = f"{comment} {CANARY}" if comment else None
        reason = details.pop("reason", None)
        firm.world.clock.advance(-HOUR - AGO)
        ticket_id = firm.solved_ticket(account, "Ana", details.pop("customer", "Mia Maier"), **details)
        firm.desks[account].rate(ticket_id, category, said, reason)
        firm.pass_time(AGO)
        return ticket_id

    def written(self) -> int:
        """Return how much programs changed in the helpdesks."""
        return sum(entry.actor.startswith("api:") for entry in self.firm.world.ledger)

    def leaks(self) -> list[str]:
        """Return what was printed and should not have been: secrets anywhere, customers' words in logs."""
        tokens = [re.escape(json.loads(file.read_text())["token"]) for file in self.state.glob("*.token")]
        secret = re.compile("|".join([*map(re.escape, SECRETS), *tokens]))
        loud = [said.out + said.err for said in self.said if secret.search(said.out + said.err)]
        return loud + [said.err for said in self.said if CANARY in said.err]


@functools.cache
def _nursery() -> subprocess.Popen[str]:
    nursery = subprocess.Popen(
        [sys.executable, "-c", NURSERY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    atexit.register(nursery.communicate)  # it ends with its orders
    return nursery


def _page(environ: Any, start_response: Any) -> Any:
    """Answer as the page of our own question does, and elsewhere as other pages do."""
    answers = {"/healthz": Response("ok"), "/elsewhere/healthz": redirect("/healthz")}
    return answers.get(environ["PATH_INFO"], Response("not here", 404))(environ, start_response)


@contextmanager
def shell_beside_a_company(folder: Path, **options: Any) -> Iterator[Shell]:
    """Found a company on the real clock and open a shell; at its end nothing may have leaked."""
    with company(None, folder / "state", **options) as firm, serve(_page) as page:  # type: ignore[arg-type]
        del firm.env["BRIDGE_SLACK_WEBHOOK"]  # an installation whose staff cannot be told yet
        shell = Shell(firm, folder, page)
        yield shell
        assert shell.leaks() == []
