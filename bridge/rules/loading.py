"""Text of rules.yaml -> Rules, or every problem of it at once.

Structure is read by `document`, shape by `schema`; here pydantic's errors become problems with a place, in our words.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from bridge.errors import RulesError
from bridge.rules.agreement import check_agreement
from bridge.rules.document import MAX_SIZE, Document, Items, Loc, Map, compose
from bridge.rules.fields import FIELDS
from bridge.rules.language import Rules
from bridge.rules.pasted import NAMED_LIKE_A_SECRET, PUT_ELSEWHERE
from bridge.rules.problems import MOST_PROBLEMS, Problem, Reporter, Spot, nearest, unknown
from bridge.rules.schema import ACCOUNT_NAME, Playbook, RulesFile, keys_of, parts
from bridge.rules.values import Known

M = TypeVar("M", bound=BaseModel)

_SECTIONS = ("accounts", "people", "notes", "playbooks")
_OTHER_WAYS = {  # keys of other tools that have no counterpart here -> what there is instead
    **dict.fromkeys(
        ("enabled", "active"),
        "a rule that stands here is in force; to switch one off, write disabled: with the reason",
    ),
    **dict.fromkeys(("and", "all"), "all lines of when must hold anyway; write them one below the other"),
    **dict.fromkeys(("order", "position"), "the order of the list counts: the first rule that matches wins"),
}
_WANTS_KEYS = ("model_type", "dict_type")
_ADVICE = {  # pydantic's type of error -> what to write instead
    **dict.fromkeys(_WANTS_KEYS, 'lines of the form "key: value" are wanted here'),
    **dict.fromkeys(("greater_than_equal", "less_than_equal", "int_type"), "a whole number from 1 is wanted here"),
    "tuple_type": "a list is wanted here, like [one, two]",
    "bool_type": "write true or false",
    "string_type": "text is wanted here",
    "too_short": "at least one is wanted here",
}


def check(text: str, name: str = "rules.yaml") -> tuple[Rules | None, list[Problem]]:
    """Find every problem of a rules file, errors and warnings; without errors the rules come with them."""
    from bridge.rules.lint import lint

    report = Reporter(name, text)
    rules = _build(text, report)
    if rules is not None:
        lint(rules, report)
    problems = report.problems
    return (None if any(not problem.is_warning for problem in problems) else rules), problems


def recall(text: str) -> Rules | None:
    """Read a text that was in charge once; None if this version cannot read it any more."""
    return _build(text, Reporter("rules.yaml", text))


def load(path: str | Path) -> Rules:
    """Read a rules file; raises RulesError with every problem that makes it unusable."""
    text = read(path)
    report = Reporter(str(path), text)
    rules = _build(text, report)
    if rules is None:
        raise RulesError(report.problems)
    return rules


def read(path: str | Path) -> str:
    """Read the text of a rules file, and of a huge one only the beginning; raises RulesError if it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            found = file.read(4 * MAX_SIZE + 4)
        return found.decode("utf-8-sig", "ignore" if len(found) > 4 * MAX_SIZE else "strict")
    except UnicodeDecodeError as exc:
        line = exc.object.count(b"\n", 0, exc.start) + 1
        raise RulesError([Problem(str(path), line, 1, "this line is not UTF-8; save the file as UTF-8")]) from exc
    except FileNotFoundError as exc:
        raise RulesError(
            [f"{path}: no such file; name it with --rules, or let `recovery-bridge init` write it"]
        ) from exc
    except OSError as exc:
        raise RulesError([f"{path}: cannot be read: {exc.strerror}"]) from exc


def _build(text: str, report: Reporter) -> Rules | None:
    with _without_collecting_garbage():
        document = compose(text, report)
        return None if document is None else _rules(document, text, report)


def understand(document: Document, text: str, name: str = "rules.yaml") -> Rules | None:
    """Return what a composed document means; None if there is any problem. *text* is what it was composed from."""
    with _without_collecting_garbage():
        return _rules(document, text, Reporter(name, text))


def _rules(document: Document, text: str, report: Reporter) -> Rules | None:
    file = _validated(document, report)
    if file is None or report.has_errors:
        if part := _sound_part(document, report):
            check_agreement(part, document, report)
        return None
    playbooks = _complete(file.playbooks)
    check_agreement(file, document, report)
    if report.has_errors:
        return None
    return Rules(text=text, name=report.name, document=document, file=file, playbooks=playbooks)


@contextmanager
def _without_collecting_garbage() -> Iterator[None]:
    """Pause the garbage collector: loading makes many objects and drops none (measured: a third of the time)."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _validated(document: Document, report: Reporter) -> RulesFile | None:
    if not isinstance(document.data, Map):
        report.error(document.top, "a rules file consists of sections: version, accounts, playbooks, rules, ...")
        return None
    given, known = _given(document, report)
    file = understood(RulesFile, given, document, known)
    _check_names(given, report)
    _check_likes(given.get("playbooks"), report)
    return file


def understood(model: type[M], given: Mapping[str, Any], document: Document, known: Known) -> M | None:
    """Return what *given*, the top of a document, says as a model; None if there are problems: the report has them."""
    try:
        return model.model_validate(given, context=known)
    except ValidationError as exc:
        _translate(exc.errors(include_url=False), document, known.report, model)
        return None


def _given(document: Document, report: Reporter) -> tuple[dict[str, Any], Known]:
    """Return the sections that have something in them, and the names that they define."""
    given = {key: value for key, value in document.data.items() if value is not None}
    return given, Known(report, {section: _names(section, given) for section in _SECTIONS})


def _sound_part(document: Document, report: Reporter) -> RulesFile | None:
    """Return a broken file without its broken entries, so that the others are compared in the same run; None if empty.

    Of a list what stands behind a broken item goes, too: the others keep their numbers, by which places are found.
    """
    if not isinstance(document.data, Map):
        return None
    given, known = _given(document, report)
    try:
        return RulesFile.model_validate(given, context=known)
    except ValidationError as exc:
        broken = [error["loc"] for error in exc.errors(include_url=False, include_input=False)]
    sections = {str(loc[0]) for loc in broken if len(loc) < 2}
    entries = {loc[:2] for loc in broken if len(loc) > 1}
    sound = {name: _sound(name, value, entries) for name, value in given.items() if name not in sections}
    try:
        return RulesFile.model_validate(sound | {"version": 1}, context=known)
    except ValidationError:
        return None


def _sound(section: str, value: Any, broken: Collection[Loc]) -> Any:
    if isinstance(value, Items):
        return value[: min((number for number in range(len(value)) if (section, number) in broken), default=None)]
    return {k: v for k, v in value.items() if (section, k) not in broken} if isinstance(value, Map) else value


def _names(section: str, given: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the names that a section defines; None, so that none is doubted, if it may be misspelt or broken."""
    found = given.get(section)
    if isinstance(found, Map):
        return tuple(found)
    return () if section not in given and given.keys() <= RulesFile.model_fields.keys() else None


# ------------------------------------------------------------------ what the models cannot see
def _check_names(given: Mapping[str, Any], report: Reporter) -> None:
    """Report account names that cannot be environment variables, and names of rules that stand twice."""
    accounts = given.get("accounts")
    if isinstance(accounts, Map):
        for name in accounts:
            if not ACCOUNT_NAME.fullmatch(name):
                advice = "an account's name becomes part of environment variables: letters, digits and _ only"
                report.error(accounts.key_spots[name], advice)
        _refuse_twins([(name, accounts.key_spots[name]) for name in accounts], "account", report)
    entries = [entry for section in ("ignore", "rules") for entry in _items(given.get(section))]
    named = [entry for entry in entries if isinstance(entry.get("name"), str)]
    _refuse_twins([(entry["name"], entry.value_spots["name"]) for entry in named], "entry", report)


def _refuse_twins(names: list[tuple[str, Spot]], what: str, report: Reporter) -> None:
    seen: dict[str, Spot] = {}
    for name, spot in names:
        first = seen.setdefault(name.strip().casefold(), spot)
        if first is not spot:
            report.error(spot, f'there is an {what} "{name}" in line {first.line} already; give this one another name')


def _items(section: Any) -> list[Map]:
    return [item for item in section if isinstance(item, Map)] if isinstance(section, Items) else []


def _check_likes(playbooks: Any, report: Reporter) -> None:
    """Report a `like` that names no playbook, or leads back to where it began."""
    if not isinstance(playbooks, Map):
        return
    parents = {name: book.get("like") for name, book in playbooks.items() if isinstance(book, Map)}
    for name, parent in parents.items():
        if not isinstance(parent, str):
            continue
        spot = playbooks[name].value_spots["like"]
        if parent not in playbooks:
            report.error(spot, *unknown("playbook", parent, (other for other in playbooks if other != name)))
        elif _leads_back(name, parents):
            report.error(spot, f'"{name}" is like itself; a chain of like must end at a playbook without one')


def _leads_back(name: str, parents: Mapping[str, Any]) -> bool:
    seen, here = {name}, parents.get(name)
    while isinstance(here, str) and here in parents:
        if here == name:
            return True
        if here in seen:
            return False
        seen.add(here)
        here = parents[here]
    return False


def _complete(playbooks: Mapping[str, Playbook]) -> dict[str, Playbook]:
    """Give every playbook the keys of the one it is like; whole keys, and its own win."""
    done: dict[str, Playbook] = {}
    for name in playbooks:
        chain = [name]
        while (parent := playbooks[chain[-1]].like) is not None and parent not in done:
            chain.append(parent)
        for link in reversed(chain):
            book = playbooks[link]
            if book.like is None:
                done[link] = book
                continue
            own = {key: getattr(book, key) for key in book.model_fields_set}
            done[link] = done[book.like].model_copy(update=own)
    return done


# ------------------------------------------------------------------ pydantic's errors in our words
def _translate(errors: list[ErrorDetails], document: Document, report: Reporter, model: type[BaseModel]) -> None:
    report.leave_out(len(errors) - MOST_PROBLEMS)
    errors = errors[:MOST_PROBLEMS]
    misspelt = set()
    for error in errors:
        if error["type"] == "extra_forbidden":
            misspelt.add(_unknown_key(error["loc"], document, report, model))
    for error in errors:
        loc = error["loc"]
        if error["type"] == "missing":
            if loc not in misspelt:
                spot = document.spot(loc[:-1])
                advice = _like(loc, model)
                report.missing(spot, f'{_owner(loc[:-1])}: the key "{loc[-1]}" is missing here{advice}')
        elif error["type"] != "extra_forbidden":
            _one(error, document, report, model)


def _like(loc: Loc, model: type[BaseModel]) -> str:
    """Return how a key of rules.yaml is written, as the end of a message."""
    from bridge.rules.reference import said

    part = _model_at(loc[:-1], model)
    if model is not RulesFile or part is None or loc[-1] not in keys_of(part):
        return ""
    return f"; write it like {loc[-1]}: {said(part, str(loc[-1]))[1]}"


def _one(error: ErrorDetails, document: Document, report: Reporter, model: type[BaseModel]) -> None:
    loc, ctx = error["loc"], error.get("ctx", {})
    if error["type"] == "too_short" and error["input"]:
        return  # pydantic does not count items that have errors of their own
    if loc and loc[-1] == "[key]":
        report.error(document.key_spot(loc[:-1]), ctx.get("advice", "this key cannot be used as a name"))
        return
    spot = document.spot(loc)
    if error["type"] == "advice":
        place = document.spot((*loc, ctx["key"])) if ctx["key"] else spot
        report.error(place, ctx["advice"], ctx["suggestion"])
        return
    if error["type"] == "note":
        for fault in ctx["faults"]:
            report.error(report.find(fault.piece, spot), fault.message, fault.suggestion)
        return
    message, suggestion = _wording(error, str(loc[-1]) if loc else "")
    like = _like(loc, model) if error["type"] in _WANTS_KEYS and message.endswith("are wanted here") else ""
    report.error(spot, f"{message}{like}", suggestion)


def _wording(error: ErrorDetails, name: str) -> tuple[str, str | None]:
    kind, value = error["type"], error["input"]
    number = re.fullmatch(r"([0-9]{1,6})\D.*|\"?([0-9]{1,6})\"?", value) if isinstance(value, str) else None
    if kind == "int_type" and number:
        right = number[1] or number[2]
        return f"{name}: a whole number from 1 is wanted here; write {right}", right
    if kind == "int_type" and isinstance(value, str):
        return f"{name}: a whole number from 1 is wanted here; delete the line for no limit", None
    if kind == "tuple_type" and isinstance(value, str):
        right = f"[{value}]"
        return f"{name}: a list is wanted here, like {right}", right
    if kind in ("literal_error", "enum"):
        return _not_one_of(name, value, re.findall(r"'([^']*)'|(\d+)", error["ctx"]["expected"]))
    if kind in _WANTS_KEYS and isinstance(value, str) and re.match(r"[a-z_]+:\S", value):
        return "put a space after the colon", None
    advice = _ADVICE.get(kind, f"{error['msg'][:1].lower()}{error['msg'][1:]}")
    return f"{name}: {advice}", None


def _not_one_of(name: str, value: Any, found: list[tuple[str, str]]) -> tuple[str, str | None]:
    expected = [word or number for word, number in found]
    if isinstance(value, str) and (value, "") not in found and value in expected:
        return f"{name}: write {value} without quotes", value
    if not isinstance(value, str):
        shown = "a missing value" if value is None else str(value).lower()
        return f"{name}: {shown[:40]} is not possible; write {' or '.join(expected)}", None
    suggestion = nearest(value, expected)
    if suggestion:
        return f'unknown {name} "{value}", did you mean "{suggestion}"?', suggestion
    return f'unknown {name} "{value}"; write one of: {", ".join(expected)}', None


def _owner(loc: Loc) -> str:
    return " ".join(str(step) for step in loc[-2:] if isinstance(step, str)) or "rules.yaml"


def _unknown_key(loc: Loc, document: Document, report: Reporter, model: type[BaseModel]) -> Loc:
    """Report an unknown key; return the place of the key that it was probably meant to be."""
    *parents, key = loc
    holder = document.at(tuple(parents))
    spot = document.key_spot(loc)
    if re.match(r"[a-z_]+:\S", str(key)):
        report.error(spot, "put a space after the colon")
        return (*parents, str(key).partition(":")[0])
    if isinstance(holder, Map) and holder.in_braces and holder[str(key)] is None:
        report.error(spot, f'"{key}" became a key of its own; inside {{ }} put text that has a comma in quotes')
        return loc
    if NAMED_LIKE_A_SECRET.fullmatch(str(key)):
        if not any(problem.line == spot.line for problem in report.problems):  # else its value is reported already
            report.error(spot, PUT_ELSEWHERE)
        return loc
    if advice := _elsewhere(str(key), tuple(parents), model):
        report.error(spot, advice)
        return (*parents, "when") if "inside when" in advice else loc
    message, suggestion = unknown("key", str(key), _keys_at(tuple(parents), model))
    report.error(spot, message, suggestion)
    return (*parents, suggestion or key)


def _elsewhere(key: str, parents: Loc, model: type[BaseModel]) -> str | None:
    """Say where in rules.yaml a key belongs that is right, but not here; None if it is not in any part."""
    if model is not RulesFile:
        return None
    here = nearest(key, _keys_at(parents, model))
    if here and (key.startswith(here) or here.startswith(key)):
        return None
    if parents[:1] in (("rules",), ("ignore",)):
        if key in _OTHER_WAYS:
            return _OTHER_WAYS[key]
        places = ["inside when, where it is a condition"] * (key in FIELDS)
        places += ["into a playbook (playbooks), where it says what happens"] * (key in Playbook.model_fields)
    else:
        places = [f"into {path}" for path, part in parts() if path and key in keys_of(part)][:1]
    return f'"{key}" does not belong here; write it {", or ".join(places)}' if places else None


def _keys_at(loc: Loc, model: Any) -> list[str]:
    """Return the keys that are possible at a place, by walking the models from the top."""
    part = _model_at(loc, model)
    return keys_of(part) if part else []


def _model_at(loc: Loc, model: Any) -> type[BaseModel] | None:
    """Return the model of the mapping at a place; None if there is none."""
    for step in loc:
        if isinstance(model, type) and issubclass(model, BaseModel):
            infos = model.model_fields.items()
            model = _without_none(next((info.annotation for key, info in infos if (info.alias or key) == step), None))
        else:
            inner = get_args(model)
            model = inner[1 if get_origin(model) is dict else 0] if inner else None
    return model if isinstance(model, type) and issubclass(model, BaseModel) else None


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, UnionType):
        return next(part for part in get_args(annotation) if part is not type(None))
    return annotation
