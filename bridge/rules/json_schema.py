"""rules.yaml as a JSON Schema (draft 2020-12, in the words that drafts since 07 share): what editors check and show.

Made from the models of `schema`, the forms of `forms` and the texts of `reference`. It sees one place at a time: that a
name exists, or that two lines agree, only `check` knows. Pydantic's own generator is not used: it gives defaults that
are no text of rules.yaml, and null for whatever may be left out.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from bridge.rules import forms
from bridge.rules.document import compose
from bridge.rules.fields import FIELDS
from bridge.rules.problems import Reporter
from bridge.rules.reference import WORDS, said
from bridge.rules.schema import ACCOUNT_NAME, Part, RulesFile, parts
from bridge.rules.values import Reads

DRAFT = "https://json-schema.org/draft/2020-12/schema"
_SIMPLE: dict[type, forms.Form] = {bool: {"type": "boolean"}, int: {"type": "integer"}, str: forms.TEXT}
_BOUNDS = {"ge": "minimum", "le": "maximum"}
_ONE: forms.Form = {"minProperties": 1, "maxProperties": 1}
_APPROVED: forms.Form = {"anyOf": [{"not": {"required": ["approval_above"]}}, {"required": ["approved_by"]}]}
_SOMEBODY: forms.Form = {"minProperties": 1, "not": {"required": ["group", "agent"]}}
_TOGETHER: dict[str, forms.Form] = {  # what the keys of one part have to do with each other
    "Otherwise": _ONE,
    "PersonVariant": _SOMEBODY,
    "PersonEntry": _SOMEBODY,
    "Goodwill": _APPROVED,
    "GoodwillLine": _APPROVED,
    "OwnHours": {"minProperties": 2, "anyOf": [{"required": [kind]} for kind in ("account", "group", "agent")]},
}


def json_schema() -> dict[str, Any]:
    """Return the schema of rules.yaml."""
    shared = {part.__name__: _part(part) for path, part in parts() if path}
    whole = _part(RulesFile)
    for name, form in whole["properties"].items():
        if name not in whole["required"]:  # a section may stand there with nothing in it
            rest = {key: form.pop(key) for key in list(form) if key not in ("description", "examples")}
            form["anyOf"] = [rest, {"type": "null"}]
    whole["properties"]["accounts"]["propertyNames"] = {"pattern": f"^{ACCOUNT_NAME.pattern}$"}
    shared |= {f"when_{name}": _condition(name) for name in FIELDS}
    block = forms.conditions({name: {"$ref": f"#/$defs/when_{name}"} for name in FIELDS})
    return {"$schema": DRAFT, "title": "rules.yaml", **whole, "$defs": {**shared, "Conditions": block}}


def _part(part: type[Part]) -> forms.Form:
    properties, required = {}, []
    for name, info in part.model_fields.items():
        key = info.alias or name
        properties[key] = _beside(_form(info.annotation, info.metadata), *said(part, key))
        if info.is_required():
            required.append(key)
    found = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return {**found, **_TOGETHER.get(part.__name__, {})}


def _form(annotation: Any, metadata: Any = ()) -> forms.Form:
    """Return the form of the values that a type of the models takes."""
    own = next((one.form for one in metadata if isinstance(one, Reads)), None)
    if own is not None:
        return own
    kind, inner = get_origin(annotation), get_args(annotation)
    if kind is Annotated:
        return _form(inner[0], inner[1:])
    if kind in (Union, UnionType):
        return _form(next(one for one in inner if one is not type(None)))
    if kind is None:
        return _plain(annotation, metadata)
    least = max((one.min_length for one in metadata if hasattr(one, "min_length")), default=0)
    of_kinds: dict[Any, Callable[[], forms.Form]] = {
        Literal: lambda: {"enum": list(inner)},
        tuple: lambda: {"type": "array", "items": _form(inner[0]), "minItems": least},
        dict: lambda: {"type": "object", "additionalProperties": _form(inner[1]), "minProperties": least},
    }
    return of_kinds[kind]()


def _plain(kind: type, metadata: Any) -> forms.Form:
    if issubclass(kind, Part):
        return {"$ref": f"#/$defs/{kind.__name__}"}
    if issubclass(kind, StrEnum):
        return {"enum": [str(one) for one in kind]}
    bounds = {word: getattr(one, name) for one in metadata for name, word in _BOUNDS.items() if hasattr(one, name)}
    return {**_SIMPLE[kind], **bounds}


def _condition(name: str) -> forms.Form:
    return _beside(_with_words(FIELDS[name].form), FIELDS[name].help, FIELDS[name].example)


def _with_words(form: forms.Form) -> forms.Form:
    """Add to the words of a condition what they mean."""
    found: forms.Form = dict(form)
    if "anyOf" in form:
        found["anyOf"] = [_with_words(one) for one in form["anyOf"]]
    if "properties" in form:
        inside = form["properties"].items()
        found["properties"] = {word: {"description": WORDS[word][0], **inner} for word, inner in inside}
    return found


def _beside(form: forms.Form, means: str, example: str) -> forms.Form:
    """Put texts beside a form; beside a reference draft 07 would not see them, so that goes one step deeper."""
    document = compose(example, Reporter("example", example))
    texts = {"description": means.replace("`", ""), "examples": [document.data if document else example]}
    return {**texts, "allOf": [form]} if "$ref" in form else {**texts, **form}
