"""What a whole process costs: an idle `run --once` as cron starts it, and `check`, imports included."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from connectors.sandbox.company import RULES
from tests.bench.stand_in import SECRETS, stand_ins
from tests.bench.table import Chapter, Row, middle

ROUNDS = 7
SAMPLE = Path(__file__).parents[2] / "rules.yaml"
BARE = (  # the least that a script with a cursor needs for the same two questions
    "import sqlite3, requests\n"
    "database = sqlite3.connect({database!r})\n"
    "database.execute('CREATE TABLE IF NOT EXISTS cursor (name PRIMARY KEY, value)')\n"
    "for url in {urls!r}:\n"
    "    requests.get(url, auth=('bridge@acme.example/token', 'bridge-api-token'))\n"
    "database.execute(\"INSERT OR REPLACE INTO cursor VALUES ('ratings', '1')\")\n"
    "database.commit()\n"
)

HOW = (
    "CPU seconds (user and system) of whole processes from start to exit, modules compiled by an earlier run. `run`"
    " polls a Zendesk and a Freshdesk account that have nothing new, with the shipped rules; the bare script imports"
    f" requests and sqlite3, makes two calls and stores a cursor. Medians of {ROUNDS} alternating rounds. On the"
    " machine of the published figures a bare script with one call took 0.16 s."
)


def measure() -> Iterator[Chapter]:
    """Measure the CPU time of processes that have next to nothing to do."""
    with TemporaryDirectory() as folder, stand_ins(0) as urls:
        place = Path(folder)
        env = _environment(place)
        rules = place / "rules.yaml"
        text = RULES.read_text(encoding="utf-8").replace("ZENDESK_URL", urls["acme"])
        rules.write_text(text.replace("FRESHDESK_URL", urls["shop"]), encoding="utf-8")
        bare = BARE.format(database=str(place / "bare.db"), urls=[f"{url}/api/v2/tickets" for url in urls.values()])
        commands = {
            "run": _bridge("run", "--once", "--rules", str(rules)),
            "check": _bridge("check", "--rules", str(SAMPLE)),
            "bare": [sys.executable, "-c", bare],
            "python": [sys.executable, "-c", "pass"],
        }
        for command in (*commands.values(), commands["run"]):  # import, compile, migrate, remember
            _cpu(command, env)
        used = _alternate(commands, env)
    yield Chapter("Whole processes", HOW, [*_rows(used)])


def _rows(used: Mapping[str, Sequence[float]]) -> Iterator[Row]:
    for name, what, goal in (
        ("run", "`recovery-bridge run --once`, two accounts, nothing to do", 0.5),
        ("check", "`recovery-bridge check` on the sample rules.yaml", 0.4),
        ("bare", "a bare script that asks both accounts", None),
        ("python", "Python that does nothing", None),
    ):
        yield Row(what, middle(used[name]), "s CPU", goal, best=min(used[name]))
    yield Row("`run --once` / bare script", middle(used["run"]) / middle(used["bare"]), "times")


def _bridge(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "bridge", *arguments]


def _environment(place: Path) -> dict[str, str]:
    """Return an environment like cron's, in which Python keeps what it compiled."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    state = {"BRIDGE_STATE_DIR": str(place / "state"), "PYTHONPYCACHEPREFIX": str(place / "compiled")}
    return kept | SECRETS | state


def _alternate(commands: Mapping[str, Sequence[str]], env: Mapping[str, str]) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            times[name].append(_cpu(command, env))
    return times


def _cpu(command: Sequence[str], env: Mapping[str, str]) -> float:
    """Run a command and return its CPU seconds."""
    child = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{' '.join(command[:5])} ended with {child.returncode}")
    return used.ru_utime + used.ru_stime
