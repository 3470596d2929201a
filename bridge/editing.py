"""Editing rules.yaml as an admin would: one key is put in or taken out, every other byte stays as it is."""

from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path

from bridge.errors import RulesError, StoreError
from bridge.rules import Rules, check
from bridge.rules.document import Map
from bridge.rules.problems import LINE_BREAK, unknown

KEY = "disabled"


def disabled(rules: Rules, name: str, because: str) -> str:
    """Return the text of the rules with one rule or entry of ignore switched off. Raises RulesError for no such one."""
    entry = _entry(rules, name)
    if KEY in entry:
        raise RulesError([f'{rules.path}: "{name}" is disabled already: {entry[KEY]}'])
    words = f"{KEY}: {json.dumps(because, ensure_ascii=False)}"
    spot = entry.value_spots["name"]
    lines = _lines(rules.text)
    end = spot.column - 1 + spot.width
    if entry.in_braces:
        line = lines[spot.line - 1]
        lines[spot.line - 1] = f"{line[:end]}, {words}{line[end:]}"
    else:
        ending = LINE_BREAK.search(lines[spot.line - 1])
        indent = " " * (entry.key_spots["name"].column - 1)
        lines.insert(spot.line, f"{indent}{words}{ending[0] if ending else ''}")
        if not ending:
            lines[spot.line - 1] += "\n"
    return _checked("".join(lines), rules)


def enabled(rules: Rules, name: str) -> str:
    """Return the text of the rules with one rule or entry of ignore switched on again."""
    entry = _entry(rules, name)
    if KEY not in entry:
        raise RulesError([f'{rules.path}: "{name}" is not disabled'])
    key, value = entry.key_spots[KEY], entry.value_spots[KEY]
    lines = _lines(rules.text)
    line = lines[key.line - 1]
    before, after = line[: key.column - 1], line[value.column - 1 + value.width :]
    if entry.in_braces:
        lines[key.line - 1] = re.sub(r",\s*$", "", before) + after
    elif before.strip() or key.line != value.line:
        raise RulesError([f"{rules.path}:{key.line}: take this {KEY} out by hand; it shares its lines with others"])
    else:
        del lines[key.line - 1]
    return _checked("".join(lines), rules)


def replace_file(path: Path, text: str) -> None:
    """Replace a file at once, with the permissions that it has; raises StoreError if that fails."""
    path = path.resolve()
    try:
        with tempfile.NamedTemporaryFile("w", dir=path.parent, encoding="utf-8", newline="", delete=False) as draft:
            draft.write(text)
        Path(draft.name).chmod(path.stat().st_mode & 0o777)
        os.replace(draft.name, path)  # noqa: PTH105
    except OSError as exc:
        raise StoreError(f"{path}: cannot be written ({exc.strerror})") from exc


def _entry(rules: Rules, name: str) -> Map:
    data = rules.document.data
    entries: list[Map] = [*data.get("ignore", ()), *data["rules"]]
    found = next((entry for entry in entries if entry["name"] == name), None)
    if found is None:
        raise RulesError([f"{rules.path}: {unknown('rule', name, [entry['name'] for entry in entries])[0]}"])
    return found


def _lines(text: str) -> list[str]:
    """Return the lines of a text as YAML counts them, each with its line break."""
    ends = [found.end() for found in LINE_BREAK.finditer(text)]
    return [text[start:end] for start, end in zip([0, *ends], [*ends, len(text)], strict=True)]


def _checked(text: str, before: Rules) -> str:
    """Return the text if it can still be read; an edit must never break the file."""
    after, problems = check(text, before.path)
    if after is None:
        raise RulesError([problem for problem in problems if not problem.is_warning])
    return text
