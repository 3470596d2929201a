"""How fast rules.yaml is read: many rules, and many mistakes in them; with libyaml's parser and with PyYAML's own."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from bridge.errors import RulesError
from bridge.rules import Rules, check, load
from tests.bench.table import Chapter, Row, middle

ROUNDS = 5
HEAD = """\
version: 1
accounts: {acme: {connector: zendesk, url: https://acme.zendesk.com}}
playbooks: {standard: {}}
rules:
"""
MISTAKES = (("fields", "rating:"), ("severities", "severity: high"), ("playbooks", "playbook: standard"))
HOW = (
    "One process, CPU milliseconds from the path of a file to rules that can decide, or to every problem with its"
    f" source lines and suggestion; medians of {ROUNDS} rounds. Each rule has a name, four conditions, a severity and"
    " a playbook, on eight lines. Mistakes: one in each of 1,000 rules, each another one. `check` also looks for rules"
    " that are never reached, each against all above it."
)


def measure() -> Iterator[Chapter]:
    """Measure milliseconds per file."""
    load_rules([])  # the models are built when the first file is read, whatever it holds
    with _parser("libyaml"):
        rows = [*_rows("libyaml"), _row("check, 1,000 rules, libyaml", _rules_text(1000), check)]
    with _parser("PyYAML's own"):
        rows += _rows("PyYAML's own")
    yield Chapter("Loading rules", HOW, rows)


def load_rules(rules: Iterable[str]) -> Rules:
    """Load rules such as `{name: A, when: {rating: bad}}`; one more is added, so that there always is one."""
    lines = "".join(f"- {rule[:-1]}, playbook: standard}}\n" for rule in [*rules, "{name: Last, when: {rating: bad}}"])
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rules.yaml"
        path.write_text(HEAD + lines, encoding="utf-8")
        return load(path)


def _rows(parser: str) -> Iterator[Row]:
    yield _row(f"100 rules, {parser}", _rules_text(100), _load, goal=150)
    yield _row(f"1,000 rules, {parser}", _rules_text(1000), _load, goal=1500)
    for what, word in MISTAKES:
        yield _row(f"1,000 misspelt {what}, {parser}", _misspelt(word), _load, goal=2000)


def _row(what: str, text: str, work: Callable[[str], object], goal: float | None = None) -> Row:
    found = [_cpu_ms(work, text) for _ in range(ROUNDS)]
    return Row(what, middle(found), "ms", goal, best=min(found))


def _cpu_ms(work: Callable[[str], object], text: str) -> float:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rules.yaml"
        path.write_text(text, encoding="utf-8")
        begun = time.process_time()
        work(str(path) if work is _load else text)
        return (time.process_time() - begun) * 1000


def _load(path: str) -> None:
    try:
        load(path)
    except RulesError as exc:
        if len(exc.problems) < 1000:
            raise RuntimeError(f"1,000 problems were planted, {len(exc.problems)} found") from exc


@contextmanager
def _parser(name: str) -> Iterator[None]:
    """Hide libyaml's parser, as where PyYAML was built without it, unless that is the one to measure."""
    hidden = {} if name == "libyaml" else {"CBaseLoader": yaml.__dict__.pop("CBaseLoader", None)}
    try:
        yield
    finally:
        yaml.__dict__.update({key: value for key, value in hidden.items() if value is not None})


def _rules_text(count: int) -> str:
    chance = random.Random(count)
    return HEAD + "".join(_rule(chance, number) for number in range(count))


def _rule(chance: random.Random, number: int) -> str:
    return f"""\
  - name: Rule number {number}
    when:
      rating: bad
      brand: Brand {chance.randrange(500)}
      customer_tags: {{has_any: [vip, tag-{chance.randrange(100)}]}}
      reopens: {{at_least: {chance.randint(1, 9)}}}
    severity: high
    playbook: standard
"""


def _misspelt(word: str) -> str:
    """Return a file of 1,000 rules in which one word is misspelt each time, each time in another way."""
    letters, end = word.rstrip(":"), ":" if word.endswith(":") else ""
    chance = random.Random(word)

    def other(_: re.Match[str]) -> str:
        return f"{letters}{''.join(chance.choices('abcdefgh', k=4))}{end}"

    return re.sub(word, other, _rules_text(1000))
