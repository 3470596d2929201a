"""The commands of `recovery-bridge`. Imports stand in the commands that need them: an idle run must start fast."""

from bridge.cli import desks, looking, mending, running
from bridge.cli.shell import cli, main

__all__ = ["cli", "desks", "looking", "main", "mending", "running"]
