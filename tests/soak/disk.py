"""Disks that are full, fail at random or may not be written: SQLite stays whole, and the next run goes on.

A small tmpfs needs the right to mount, random errors need libfiu (Debian: `apt install fiu-utils`). Where one of them
is missing, that is said and the rest is done.
"""

from __future__ import annotations

import errno
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.soak.nursery import Ended
from tests.soak.processes import CRON
from tests.soak.referee import Found, finish
from tests.soak.scene import Scene, scene

NO_DISK = 74
ROOMY = 64_000_000  # bytes
TIGHT = 400_000  # bytes that are left, at most
BLOCK = 4096
FAULTS = (  # system calls of libfiu, and what may become of them
    ("posix/io/rw/pwrite", (errno.ENOSPC, errno.EIO)),
    ("posix/io/rw/pread", (errno.EIO,)),
    ("posix/io/rw/ftruncate", (errno.EIO,)),
    ("posix/io/sync/fsync", (errno.EIO, errno.ENOSPC)),
    ("posix/io/sync/fdatasync", (errno.EIO, errno.ENOSPC)),
)
ODDS = (0.001, 0.004, 0.016, 0.064)

Outcome = Found | str  # or why it could not be tried


def failing(seed: int, count: int) -> Outcome:
    """Let system calls of *count* runs fail at random."""
    if not shutil.which("fiu-run"):
        return "not tried: fiu-run is missing (Debian: apt install fiu-utils)"
    found = Found()
    with scene(seed, fails=True, most=2) as here:
        for _ in range(count):
            here.some_work()
            number, odds = here.chance.getrandbits(32), here.chance.choice(ODDS)
            faults = [(name, here.chance.choice(errors), odds) for name, errors in FAULTS]
            _in_trouble(here.start(faults=faults, seed=number).wait(), found)
            check_pages(here, found)
            here.pass_time(here.chance.random() * CRON)
            found.expect(here.run(), 0)
        finish(here, found)
    return found


def full(seed: int, count: int) -> Outcome:
    """Let *count* runs meet a disk that becomes full somewhere, and as many one that may only be read."""
    found = Found()
    try:
        with _small_disk() as disk, scene(seed, state=disk.place, most=2) as here:
            for _ in range(count):
                here.some_work()
                with disk.left(here.chance.randrange(TIGHT)):
                    _in_trouble(here.run(), found)
                check_pages(here, found)
                with disk.read_only():
                    found.expect(here.run(), NO_DISK)
                found.counts["runs on a read-only disk"] += 1
                found.expect(here.run(), 0)
            finish(here, found)
    except PermissionError as exc:
        return f"not tried: {exc}"
    return found


def _in_trouble(ended: Ended, found: Found) -> None:
    found.expect(ended, 0, NO_DISK)
    found.counts["runs in trouble"] += 1
    found.counts["runs that it ended"] += ended.code == NO_DISK


def check_pages(here: Scene, found: Found) -> None:
    """Let SQLite look whether the database is whole."""
    connection = sqlite3.connect(here.url.removeprefix("sqlite:///"))
    said = connection.execute("PRAGMA integrity_check").fetchall()
    connection.close()
    if said != [("ok",)]:
        found.says(f"the database is damaged: {said[:3]}")


class _Disk:
    """A file system in memory, of the size that is wanted."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def mount(self, *options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "recovery-bridge-soak", str(self.place)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise PermissionError(f"a small disk cannot be mounted ({done.stderr.strip()[:100]})")

    @contextmanager
    def left(self, size: int) -> Iterator[None]:
        """Leave so many bytes free while the block lasts."""
        self.mount("remount", f"size={shutil.disk_usage(self.place).used + max(size, BLOCK)}")
        yield
        self.mount("remount", f"size={ROOMY}")

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Let nobody write while the block lasts."""
        self.mount("remount", "ro")
        yield
        self.mount("remount", "rw")


@contextmanager
def _small_disk() -> Iterator[_Disk]:
    with TemporaryDirectory(prefix="recovery-bridge-disk-") as folder:
        disk = _Disk(Path(folder))
        disk.mount(f"size={ROOMY}", "mode=700")
        try:
            yield disk
        finally:
            subprocess.run(["umount", folder], check=True)
