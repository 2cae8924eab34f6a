"""Every setting in words: its key, type, default and meaning, and JSON Schema for editors.

The meanings are the docstrings below the attributes of the settings' classes, so what is printed
and what the code says cannot part.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from types import NoneType
from typing import Any, Literal, cast, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from vggbatch.config.load import ENV_PREFIX
from vggbatch.config.schema import JobConfig, Preprocess

_WORDS = {str: "text", int: "integer", float: "number", bool: "true or false"}
_BOUNDS = {"ge": "at least", "gt": "above", "le": "at most"}
"""By the names that pydantic has for them."""


@dataclass(frozen=True)
class Setting:
    """One key of the configuration."""

    key: str
    """With dots, as in `compute.actors`."""
    type: str
    """What values it takes, in words."""
    default: str
    """The default, as YAML."""
    meaning: str

    @property
    def values(self) -> list[str]:
        """The values that it takes, where they are few; else none."""
        return (
            self.type.split(" | ")
            if " | " in self.type
            else ["true", "false"] * (self.type == _WORDS[bool])
        )

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return ENV_PREFIX + self.key.upper().replace(".", "__")


def settings(model: type[BaseModel] = JobConfig, prefix: str = "") -> list[Setting]:
    """All settings in the order in which they are declared.

    Args:
        model: the settings of a section.
        prefix: of their keys.
    """
    return list(_settings(model, prefix))


def section_meanings() -> dict[str, str]:
    """What each section is about, by its key."""
    sections = {
        name: field.annotation
        for name, field in JobConfig.model_fields.items()
        if _is_section(field.annotation)
    }
    return {name: _paragraph(inspect.getdoc(section)) for name, section in sections.items()}


def json_schema() -> dict[str, Any]:
    """JSON Schema of a configuration file, short forms included.

    `model: net.onnx` is short for `model: {name: net.onnx}`, and a list may be a plain value.
    """
    schema = JobConfig.model_json_schema()
    described = [("JobConfig", schema), *schema["$defs"].items()]
    for name, part in described:
        meanings = _meanings(_classes()[name])
        for key, value in part.get("properties", {}).items():
            value.setdefault("description", meanings[key])
    parts, defined = schema["properties"], schema["$defs"]
    text = {"type": "string"}
    for key in ("input", "labels", "profiles", "mirrors", "allow_protocols"):
        _admit(parts, key, text)
    _admit(parts, "profiles", {"type": "array", "items": text})
    _admit(parts, "model", text)
    _admit(parts, "model", {"type": "array", "items": _either({"$ref": "#/$defs/ModelOptions"})})
    _admit(parts, "ensemble", text)
    parts["ensemble"]["anyOf"][0]["items"] = _either(parts["ensemble"]["anyOf"][0]["items"])
    _admit(parts, "protocol", defined["Protocol"]["properties"]["views"])
    _admit(defined["Protocol"]["properties"], "scales", text)
    _admit(defined["Protocol"]["properties"], "scales", {"type": "integer"})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "vggbatch",
    }


def _settings(model: type[BaseModel], prefix: str) -> Iterator[Setting]:
    meanings = _meanings(model)
    for name, field in model.model_fields.items():
        key = prefix + name
        if _is_section(field.annotation):
            yield from _settings(cast(type[BaseModel], field.annotation), f"{key}.")
            continue
        default = json.dumps(field.get_default(call_default_factory=True), default=str)
        yield Setting(key, _type(field), default, meanings[name])
        if key == "model.preprocess":
            yield from _settings(Preprocess, f"{key}.")


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _type(field: FieldInfo) -> str:
    bounds = [
        f"{words} {getattr(one, name):,}"
        for one in field.metadata
        for name, words in _BOUNDS.items()
        if hasattr(one, name)
    ]
    return ", ".join([_words(field.annotation), *bounds])


def _words(annotation: Any) -> str:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " | ".join(map(str, parts))
    if origin is tuple and parts[-1] is ...:
        return f"list of {_plural(parts[0])}"
    if origin is tuple:
        return f"{len(parts)} {_plural(parts[0])}"
    if origin is dict:
        return "names, or parts by name"
    if annotation in _WORDS:
        return _WORDS[annotation]
    named = [_words(part) for part in parts if isinstance(part, type) and part is not NoneType]
    literal = [_words(part) for part in parts if get_origin(part) in (Literal, tuple)]
    found = [*named, *literal]
    return found[0] if len(found) == 1 else "a name, or its parts"


def _plural(annotation: Any) -> str:
    if _is_section(annotation):
        return "networks, each a name or parts as below `model`"
    return {"text": "texts"}.get(_words(annotation), f"{_words(annotation)}s")


@cache
def _meanings(model: type[BaseModel]) -> dict[str, str]:
    """The docstring below each attribute of a class; a section's is that of its own class."""
    [tree] = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for statement, after in zip(tree.body, tree.body[1:], strict=False):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ):
            found[statement.target.id] = _paragraph(inspect.cleandoc(str(after.value.value)))
    for name, field in model.model_fields.items():
        if _is_section(field.annotation):
            found.setdefault(name, _paragraph(inspect.getdoc(field.annotation)))
    return found


def _paragraph(text: str | None) -> str:
    return re.sub(r"\bNone:", "Null:", " ".join((text or "").split()))


def _classes() -> dict[str, type[BaseModel]]:
    """All classes of settings by name."""

    def walk(annotation: Any) -> Iterator[type[BaseModel]]:
        if _is_section(annotation):
            yield annotation
            for field in annotation.model_fields.values():
                yield from walk(field.annotation)
        for part in get_args(annotation):
            yield from walk(part)

    return {found.__name__: found for found in walk(JobConfig)}


def _either(what: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [what, {"type": "string"}]}


def _admit(properties: dict[str, Any], key: str, further: dict[str, Any]) -> None:
    """Let a property be something else, too."""
    own = properties[key]
    kept = {name: own.pop(name) for name in ("default", "description", "title") if name in own}
    admitted = own.get("anyOf", [own])
    properties[key] = {"anyOf": [*admitted, further], **kept}
