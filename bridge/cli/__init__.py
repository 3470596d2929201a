"""The commands of `recovery-bridge`. Imports stand in the commands that need them: an idle run must start fast."""

from bridge.cli import (
    backtesting,
    beginning,
    by_hand,
    database,
    desks,
    editing,
    explaining,
    logins,
    looking,
    mending,
    reporting,
    rules_file,
    running,
    serving,
    testing,
)
from bridge.cli.shell import cli, main

__all__ = [
    "backtesting",
    "beginning",
    "by_hand",
    "cli",
    "database",
    "desks",
    "editing",
    "explaining",
    "logins",
    "looking",
    "main",
    "mending",
    "reporting",
    "rules_file",
    "running",
    "serving",
    "testing",
]
