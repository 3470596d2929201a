"""Unit tests of rules: rules_test.yaml, played through the code that decides in production, in simulated time."""

from bridge.rehearsal.breaking import Breakage, as_if_enabled, breakages
from bridge.rehearsal.playing import Played, Result, is_noticed, play
from bridge.rehearsal.script import Script, read_script, tests_beside

__all__ = [
    "Breakage",
    "Played",
    "Result",
    "Script",
    "as_if_enabled",
    "breakages",
    "is_noticed",
    "play",
    "read_script",
    "tests_beside",
]
