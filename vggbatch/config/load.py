"""One configuration out of YAML < environment < command line, with errors a user can act on."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from vggbatch import uris
from vggbatch.bounded import open_regular
from vggbatch.config.schema import JobConfig, LabelOptions
from vggbatch.config.yaml_text import MAX_BYTES, parse_yaml
from vggbatch.errors import UsageError

Model = TypeVar("Model", bound=BaseModel)

_SHORTHANDS = {"model": "name", "protocol": "views"}
"""Sections that a plain value stands for, and the key in them that it means."""

ENV_PREFIX = "VGGBATCH_"
"""VGGBATCH_MAX_ERROR_RATE=0.01, and with two underscores for a dot: VGGBATCH_COMPUTE__ACTORS=2."""


def load_config(
    file: str | Path | None = None,
    *,
    settings: Iterable[str] = (),
    options: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> JobConfig:
    """Merge the sources and validate the result.

    What `allow_protocols` names is opened by this process from now on, and by those it starts.

    Args:
        file: YAML file with the keys of `JobConfig`.
        settings: `key=value` pairs with dotted keys and YAML values, as `--set` takes them.
        options: named command-line options by dotted key; None means not given.
        environ: the environment.

    Raises:
        UsageError: unreadable file, unknown key (names the nearest known one) or bad value.
    """
    merged: dict[str, Any] = {}
    if file is not None:
        _merge(merged, _read_yaml(file))
    for name, text in sorted(environ.items()):
        if name.startswith(ENV_PREFIX):
            key = name[len(ENV_PREFIX) :].lower().replace("__", ".")
            _set(merged, key, _parse(text), origin=f"environment variable {name}")
    for key, value in (options or {}).items():
        if value is not None and value != ():
            _set(merged, key, value, origin=f"--{key}")
    for pair in settings:
        _set_pair(merged, pair)
    config = validate(JobConfig, merged, origin=str(file) if file else "configuration")
    uris.allow(config.allow_protocols)
    return config


def load_label_options(settings: Iterable[str]) -> LabelOptions:
    """How label files are to be read, from `key=value` pairs below `columns` and `indices`.

    Raises:
        UsageError: an unknown key (names the nearest known one) or a bad value.
    """
    merged: dict[str, Any] = {}
    for pair in settings:
        _set_pair(merged, pair)
    return validate(LabelOptions, merged, origin="--set")


def validate(model: type[Model], data: Any, *, origin: str) -> Model:
    """Data validated by a pydantic model.

    Args:
        model: says what is allowed.
        data: as parsed from YAML, say.
        origin: what to call the data in a message.

    Raises:
        UsageError: it is not valid; every fault is reported, in one line.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        faults = [_describe(model, fault) for fault in error.errors(include_url=False)]
        raise UsageError(f"{origin}: " + "; ".join(dict.fromkeys(faults))) from None


def known_keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Every dotted key of a configuration model."""
    keys: list[str] = []
    for name, field in model.model_fields.items():
        keys.append(prefix + name)
        for nested in _nested_models(field.annotation):
            keys += known_keys(nested, f"{prefix}{name}.")
    return keys


def _nested_models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _nested_models(part)]


def _describe(model: type[BaseModel], fault: Any) -> str:
    location = ".".join(str(part) for part in fault["loc"] if part not in ("profile", "parts"))
    if fault["type"] == "extra_forbidden":
        near = difflib.get_close_matches(location, known_keys(model), n=1, cutoff=0.0)
        return f"unknown key {location!r}, did you mean {near[0]!r}?"
    message: str = fault["msg"].removeprefix("Value error, ")
    if not location:  # of several keys together
        return message
    return f"{location}: {message[:1].lower()}{message[1:]} (got {fault['input']!r})"


def _read_yaml(file: str | Path) -> dict[str, Any]:
    try:
        with open_regular(file) as opened:
            data = parse_yaml(opened.read(MAX_BYTES + 1).decode())
    except OSError as error:
        raise UsageError(f"cannot read configuration {file}: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"configuration {file} is not valid YAML: {error}") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise UsageError(f"configuration {file} must be a mapping of keys to values")
    return data


def _parse(text: str) -> Any:
    """A value as YAML reads it, so that 2, true, null and [a, b] mean what they look like."""
    try:
        return parse_yaml(text) if text.strip() else text
    except ValueError:
        return text


def _merge(target: dict[str, Any], source: Mapping[str, Any]) -> None:
    for key, value in source.items():
        if isinstance(value, Mapping) and isinstance(target.get(key), dict):
            _merge(target[key], value)
        else:
            target[key] = dict(value) if isinstance(value, Mapping) else value


def _set_pair(target: dict[str, Any], pair: str) -> None:
    """Set what an argument of --set says."""
    key, equals, text = pair.partition("=")
    if not equals:
        raise UsageError(f"--set takes key=value, not {pair!r}")
    _set(target, key.strip(), _parse(text), origin=f"--set {key}")


def _set(target: dict[str, Any], key: str, value: Any, *, origin: str) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        node = target.get(parent)
        if node is None:
            node = target[parent] = {}
        elif isinstance(node, str) and parent in _SHORTHANDS:
            node = target[parent] = {_SHORTHANDS[parent]: node}
        elif not isinstance(node, dict):
            raise UsageError(f"{origin}: {parent!r} is a plain value and has no key {last!r}")
        target = node
    if last in _SHORTHANDS and isinstance(target.get(last), dict) and isinstance(value, str):
        target[last][_SHORTHANDS[last]] = value
    else:
        target[last] = value
