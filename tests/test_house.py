"""The house keeps its shape: imports go down only, thinking is pure, public things say what they do."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BRIDGE = ROOT / "bridge"

# From the ground up. A module imports only what stands before it in this list.
HOUSE = (
    # floor 0: words
    "errors", "model", "connector",
    # floor 1: thinking
    "hours", "silence", "rules", "messages", "owner", "deadlines", "noticing", "decision", "private_note", "survey",
    "pursuit", "recovery", "by_hand", "rehearsal", "starter", "backtest", "funnel",
    # floor 2: hands
    "settings", "logins", "remembered", "http", "log", "heartbeat", "notify", "survey_link", "store",
    # floor 3: where thinking meets hands
    "reading", "hints", "briefing", "notices", "limits", "deciding", "asking", "answering", "engine", "telling",
    "delivery",
    # floor 4: entrances
    "show", "vigil", "app", "doctor", "planning", "shadow", "reloading", "editing", "backtesting", "explaining",
    "verifying", "status", "report", "metrics", "backup", "web", "cli",
)  # fmt: skip
THINKING = HOUSE[HOUSE.index("hours") : HOUSE.index("settings")]
HANDS = {"asyncio", "http", "logging", "os", "random", "requests", "secrets", "shutil", "socket", "sqlalchemy",
         "sqlite3", "subprocess", "sys", "tempfile", "threading", "time", "urllib3"}  # fmt: skip
CONNECTORS_MAY_IMPORT = {"errors", "model", "connector", "http"}


def modules(folder: Path) -> Iterator[Path]:
    yield from sorted(path for path in folder.rglob("*.py") if "versions" not in path.parts)


def room(path: Path) -> str:
    """Return the name in HOUSE of a file below bridge/."""
    return path.relative_to(BRIDGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """Yield what a file imports while the program runs; imports for the type checker alone do not count."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from names if node.module == "bridge" else [node.module]


def bridge_rooms(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imports(path) if name.startswith("bridge.") and name.count(".") >= 1}


def public_definitions(path: Path) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node


def test_every_file_of_the_bridge_has_its_place() -> None:
    assert {room(path) for path in modules(BRIDGE)} - {"__init__", "__main__"} == set(HOUSE)


@pytest.mark.parametrize("path", list(modules(BRIDGE)), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down_only(path: Path) -> None:
    here = room(path)
    if here in ("__init__", "__main__"):
        return
    allowed = {*HOUSE[: HOUSE.index(here) + 1], "__version__"}
    assert bridge_rooms(path) <= allowed


@pytest.mark.parametrize("path", list(modules(ROOT / "connectors")), ids=lambda p: str(p.relative_to(ROOT)))
def test_connectors_know_only_the_words_and_the_way_out(path: Path) -> None:
    if path.parent.name == "sandbox":
        return
    assert bridge_rooms(path) <= CONNECTORS_MAY_IMPORT


@pytest.mark.parametrize("path", list(modules(BRIDGE)), ids=lambda p: str(p.relative_to(ROOT)))
def test_the_bridge_names_no_helpdesk(path: Path) -> None:
    assert not {name for name in imports(path) if name.startswith("connectors.")}


@pytest.mark.parametrize("path", [p for p in modules(BRIDGE) if room(p) in THINKING], ids=lambda p: p.name)
def test_thinking_has_no_hands(path: Path) -> None:
    assert not {name.split(".")[0] for name in imports(path)} & HANDS


@pytest.mark.parametrize("path", [p for p in modules(BRIDGE) if room(p) in THINKING], ids=lambda p: p.name)
def test_thinking_reads_no_clock(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    called = {n.func.attr for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)}
    assert not called & {"now", "utcnow", "today", "monotonic"}


@pytest.mark.parametrize(
    "path", [*modules(BRIDGE), *modules(ROOT / "connectors")], ids=lambda p: str(p.relative_to(ROOT))
)
def test_everything_public_says_what_it_does(path: Path) -> None:
    silent = [node.name for node in public_definitions(path) if not ast.get_docstring(node)]
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), "no first line"
    assert silent == []


def test_no_file_outgrows_its_room() -> None:
    long = [
        p
        for folder in ("bridge", "connectors")
        for p in modules(ROOT / folder)
        if len(p.read_text().splitlines()) > 600
    ]
    assert long == []
