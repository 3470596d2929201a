"""The README keeps up with the program: whatever people write, type or meet stands in it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import click
import pytest

from bridge.cli import cli
from bridge.errors import BridgeError
from bridge.model import Outcome
from bridge.rules.fields import FIELDS
from bridge.rules.notes import PLACEHOLDERS, SURVEY_PLACEHOLDERS
from bridge.rules.schema import Part, RulesFile
from connectors.freshdesk import automations
from connectors.zendesk import question

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
ROWS = [line.split("|", 2)[1:] for line in README.splitlines() if line.startswith("| `")]  # first cell, and the others


def named(text: str) -> set[str]:
    """Return what stands in backticks, a placeholder without its braces."""
    return {word.strip("{}") for word in re.findall(r"`([^`\n]+)`", text)}


def row_of(part: str) -> str:
    """Return what the table of keys says about a part of rules.yaml."""
    return next(rest for first, rest in ROWS if part in named(first))


def parts(part: type[Part], path: str = "") -> Iterator[tuple[str, type[Part]]]:
    """Yield a part of rules.yaml and all parts within it, each with its path."""
    yield path or "rules.yaml", part
    for name, field in part.model_fields.items():
        for inner in parts_in(field.annotation):
            yield from parts(inner, f"{path}.{name}".lstrip("."))


def parts_in(annotation: Any) -> list[type[Part]]:
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return [annotation]
    return [found for one in get_args(annotation) for found in parts_in(one)]


def commands(group: click.Group, before: str = "") -> Iterator[str]:
    for name, command in group.commands.items():
        yield f"{before}{name}"
        if isinstance(command, click.Group):
            yield from commands(command, f"{before}{name} ")


def our_words() -> set[str]:
    """Return the tags and fields that the program names: every text of its code that begins with sr_."""
    code = [*(ROOT / "bridge").rglob("*.py"), *(ROOT / "connectors/zendesk").glob("*.py")]
    code += (ROOT / "connectors/freshdesk").glob("*.py")
    nodes = [node for path in code for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return {text for text in texts if re.fullmatch(r"sr_[a-z_]+", text)}


@pytest.mark.parametrize(("path", "part"), list(parts(RulesFile)), ids=[path for path, _ in parts(RulesFile)])
def test_every_key_of_rules_yaml_is_explained(path: str, part: type[Part]) -> None:
    keys = {field.alias or name for name, field in part.model_fields.items()}
    assert keys <= named(row_of(path))


def test_every_condition_is_explained() -> None:
    conditions = README.partition("| condition |")[2].partition("\n\n")[0]
    assert set(FIELDS) <= named(conditions)


def test_every_placeholder_is_named() -> None:
    assert set(PLACEHOLDERS) <= named(row_of("notes"))
    assert set(SURVEY_PLACEHOLDERS) <= named(row_of("survey_texts"))


def test_every_command_is_explained() -> None:
    table = README.partition("| command |")[2].partition("\n\n")[0]
    words = " ".join(named(table))
    assert [name for name in commands(cli) if not re.search(rf"\b{name}\b", words)] == []


def test_every_tag_and_field_of_ours_is_explained() -> None:
    table = README.partition("| tag or field |")[2].partition("\n\n")[0]
    shown = set(re.findall(r"\b(?:cf_)?(sr_[a-z_]+)", table))
    assert our_words() - shown == set()


def test_every_trigger_and_rule_of_ours_is_named() -> None:
    assert {*question.TITLES, automations.ASK.name, automations.MAIL.name} <= named(README)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_end_of_a_case_is_explained(outcome: Outcome) -> None:
    assert row_of(outcome)


def test_every_exit_code_is_explained() -> None:
    errors = [BridgeError]
    for error in errors:
        errors += error.__subclasses__()
    table = README.partition("| exit code |")[2].partition("\n\n")[0]
    codes = {int(code) for line in table.splitlines()[2:] for code in re.findall(r"\d+", line.split("|")[1])}
    assert {error.exit_code for error in errors} <= codes
