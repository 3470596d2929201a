"""The commands of `recovery-bridge`. Imports stand in the commands that need them: an idle run must start fast."""

from bridge.cli import by_hand, desks, looking, mending, running
from bridge.cli.shell import cli, main

__all__ = ["by_hand", "cli", "desks", "looking", "main", "mending", "running"]
