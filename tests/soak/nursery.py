"""A warm parent: everything is imported once, and each command is a process forked from it.

Most of a short command's time goes into its imports; this way three hundred of them are killed in minutes. Orders are
JSON lines: `start` is answered with the process id, `wait` with that and the exit code, negative after a signal.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import gc
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.soak.clock import PLACES, SharedClock

PATIENCE = 120.0  # seconds until a process that does not end is ended
FIU = "libfiu.so.0"
DIES_WITH_PARENT = 1  # prctl's PR_SET_PDEATHSIG


# ------------------------------------------------------------------ in the driver
@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int  # negative: the signal
    out: str
    err: str

    def __str__(self) -> str:
        last = self.err.strip().splitlines()[-1:] or ["nothing on stderr"]
        return f"exit code {self.code} ({last[0][:300]})"


@dataclass
class Worker:
    """A command under way."""

    nursery: Nursery
    pid: int
    files: tuple[Path, Path]
    began: float = field(default_factory=time.monotonic)
    ended: Ended | None = None

    def kill(self) -> None:
        """End it at once."""
        os.kill(self.pid, signal.SIGKILL)

    def stop(self) -> None:
        """Freeze it where it is."""
        os.kill(self.pid, signal.SIGSTOP)

    def is_frozen(self) -> bool:
        """True once it stands still; False if it had ended before."""
        while (state := self._state()) not in "TZ":
            time.sleep(0.001)
        return state == "T"

    def is_gone(self) -> bool:
        """True if it has ended."""
        return self._state() == "Z"

    def _state(self) -> str:
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]

    def go_on(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def wait(self) -> Ended:
        """Return how it ended; whoever does not end within PATIENCE is killed."""
        if self.ended is None:
            self.end(self.nursery.wait(self.pid))
        assert self.ended
        return self.ended

    def end(self, code: int) -> None:
        """Note that it has ended."""
        out, err = (file.read_text("utf-8", "replace") for file in self.files)
        self.ended = Ended(code, out, err)


class Nursery:
    """Starts `recovery-bridge` as often as wanted; *fails*: in a place where libfiu can let system calls fail."""

    def __init__(self, *, fails: bool = False) -> None:
        self.count = 0
        command = ["fiu-run", "-x", "-f", ""] if fails else []
        command += [sys.executable, "-m", "tests.soak.nursery"]
        self.parent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        atexit.register(self.parent.communicate)  # it ends with its orders

    def start(
        self, arguments: Sequence[str], env: Mapping[str, str], folder: Path, clock: SharedClock, **how: Any
    ) -> Worker:
        """Start a command and do not wait for it; *how*: faults=[(name, errno, probability)], seed=.

        What it says is kept in *folder*, and *clock* is its clock.
        """
        place, self.count = 1 + self.count % (PLACES - 1), self.count + 1
        files = folder / f"out.{place}", folder / f"err.{place}"
        its_clock = {"path": str(clock.path), "begun": clock.begun, "place": place}
        order = {"arguments": arguments, "env": env, "files": [str(file) for file in files], "clock": its_clock, **how}
        return Worker(self, self._ask({"start": order})[0], files)

    def wait(self, pid: int) -> int:
        """Wait for the end of a process and return its exit code."""
        try:
            return self._ask({"wait": pid})[1]
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            self._answer()
            return -signal.SIGALRM

    def first_of(self, workers: Iterable[Worker]) -> Worker:
        """Wait until one of these, which are all that live, has ended, and return it."""
        pid, code = self._ask({"wait": -1})
        worker = next(one for one in workers if one.pid == pid)
        worker.end(code)
        return worker

    def _ask(self, order: Mapping[str, Any]) -> list[int]:
        assert self.parent.stdin
        self.parent.stdin.write(json.dumps(order).encode() + b"\n")
        self.parent.stdin.flush()
        return self._answer()

    def _answer(self) -> list[int]:
        assert self.parent.stdout
        if not select.select([self.parent.stdout], [], [], PATIENCE)[0]:
            raise TimeoutError
        return [int(word) for word in self.parent.stdout.readline().split()]


@functools.cache
def nursery(*, fails: bool = False) -> Nursery:
    """Return the nursery of this process."""
    return Nursery(fails=fails)


# ------------------------------------------------------------------ in the nursery
def main() -> None:
    """Fork whatever is ordered, until the orders end."""
    import alembic  # noqa: F401
    import holidays  # noqa: F401
    import psycopg  # noqa: F401
    import sqlalchemy.dialects.postgresql  # noqa: F401
    import zenpy  # noqa: F401

    import bridge.app
    import bridge.cli  # noqa: F401
    import connectors.freshdesk.writes
    import connectors.zendesk.writes  # noqa: F401

    gc.freeze()  # shared with every child
    for line in sys.stdin.buffer:
        order = json.loads(line)
        if "wait" in order:
            pid, status = os.waitpid(order["wait"], 0)
            os.write(1, b"%d %d\n" % (pid, os.waitstatus_to_exitcode(status)))
        elif pid := os.fork():
            os.write(1, b"%d\n" % pid)
        else:
            _live(order["start"])


def _live(order: Mapping[str, Any]) -> None:
    """Be `recovery-bridge` with these arguments and this environment, to the end."""
    from bridge.cli import main as recovery_bridge

    code = 70
    ctypes.CDLL(None).prctl(DIES_WITH_PARENT, signal.SIGKILL)  # also one that is frozen when the soak is ended
    try:
        for number, path in enumerate(order["files"], 1):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
        clock = SharedClock(Path(order["clock"].pop("path")), **order["clock"])
        os.environ.clear()
        os.environ.update(order["env"])
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        sys.argv = ["recovery-bridge", *order["arguments"]]
        faults = _Faults(order.get("faults", ()), order.get("seed", 0))
        with faults:
            recovery_bridge(now=clock.now, sleep=clock.sleep)
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        sys.stdout.flush()
        os._exit(code)  # without taking every module apart, which lasts longer than most commands


class _Faults:
    """Lets libfiu fail some system calls at random: (name, errno, probability) each."""

    def __init__(self, faults: Sequence[tuple[str, int, float]], seed: int) -> None:
        self.faults, self.seed = faults, seed

    def __enter__(self) -> None:
        if self.faults:
            self.fiu = ctypes.CDLL(FIU)
            self.fiu.fiu_set_prng_seed(ctypes.c_uint(self.seed))
        for name, number, probability in self.faults:
            self.fiu.fiu_enable_random(name.encode(), 1, ctypes.c_void_p(number), 0, ctypes.c_float(probability))

    def __exit__(self, *_: object) -> None:
        for name, _number, _probability in self.faults:
            self.fiu.fiu_disable(name.encode())


if __name__ == "__main__":
    main()
