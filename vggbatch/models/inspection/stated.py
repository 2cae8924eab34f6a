"""What a network's file and its neighbors say about it: preprocessing and class names.

Hubs keep that beside the graph (preprocessor_config.json, config.json, open_clip_config.json, in
its folder or, where that is called onnx, in the one above); exporters in the file's metadata.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import onnx

from vggbatch import json_text
from vggbatch.bounded import read_bounded
from vggbatch.config import Preprocess
from vggbatch.errors import UsageError
from vggbatch.models.inspection import exported_preprocess as exported
from vggbatch.models.local_files import sibling
from vggbatch.storage.filesystem import filesystem, is_local, public_uri, store_errors
from vggbatch.uris import base_name

_LARGEST_CONFIG = 16 * 2**20
"""Bytes; one with the names of 21,000 classes has two million."""
_OF_PREPROCESSING = ("preprocessor_config.json", "open_clip_config.json")
"""Files with no other purpose; any config.json may be of something else."""
_GENERIC = re.compile(r"LABEL_\d+")


@dataclass(frozen=True)
class Stated:
    """What is stated, and where."""

    preprocess: Preprocess | None = None
    preprocess_source: str | None = None
    values_only: bool = False
    """Resize and crop are not stated."""
    classes: tuple[str, ...] | None = None
    classes_source: str | None = None
    several: str | None = None
    """What says that several classes may hold for an image; None: nothing does."""


def stated(uri: str, model: onnx.ModelProto, *, preprocessed: bool = False) -> Stated:
    """What the file at a URI and its neighbors state.

    Args:
        uri: the network's file.
        model: its graph.
        preprocessed: whether the user states the preprocessing, so that no other is looked for.

    Raises:
        UsageError: a recipe is stated that cannot be followed, or that is not for classification.
    """
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    _check_task(metadata, uri)
    configs = _Neighbors(uri)
    preprocess, source = (None, None) if preprocessed else _in_metadata(metadata, uri)
    values_only = source is not None and source.endswith("Image.*")
    if preprocess is None and not preprocessed:
        preprocess, source = _in_neighbors(configs)
        values_only = False
    classes, classes_source = _names(metadata, configs, uri)
    config = configs["config.json"]
    several = None
    if config is not None and config[0].get("problem_type") == "multi_label_classification":
        several = f"{config[1]}'s problem_type"
    return Stated(preprocess, source, values_only, classes, classes_source, several)


class _Neighbors:
    """The JSON files beside a network, read when they are asked for."""

    def __init__(self, uri: str) -> None:
        self.places = [uri]
        folder = public_uri(uri).rstrip("/").split("/")[-2:-1]
        if folder == ["onnx"]:
            self.places.append(sibling(uri, "").rstrip("/"))
        self._read: dict[str, tuple[Mapping[str, Any], str] | None] = {}

    def __getitem__(self, name: str) -> tuple[Mapping[str, Any], str] | None:
        """The content of a file, and its name for messages; None where there is none."""
        if name not in self._read:
            found = (self._load(sibling(place, name)) for place in self.places)
            self._read[name] = next((one for one in found if one is not None), None)
        return self._read[name]

    def _load(self, uri: str) -> tuple[Mapping[str, Any], str] | None:
        fs, path = filesystem(uri)
        try:
            with store_errors():
                text = read_bounded(fs, path, _LARGEST_CONFIG)
        except OSError as error:
            if is_local(fs) and isinstance(error, PermissionError):
                raise UsageError(f"cannot read {public_uri(uri)}: permission denied") from None
            return None
        try:
            data = json_text.parse(text)
        except ValueError:
            data = None
        if isinstance(data, dict):
            return data, public_uri(uri)
        if base_name(uri) in _OF_PREPROCESSING:
            raise UsageError(
                f"{public_uri(uri)} states a preprocessing that cannot be read, as it is no JSON "
                "object: repair or remove it, or state the network's own, model.preprocess"
            )
        return None


def _check_task(metadata: Mapping[str, str], uri: str) -> None:
    """Refuse Ultralytics' networks that detect, segment, ..., which no option makes classifiers."""
    task = metadata.get("task")
    if "imgsz" in metadata and task is not None and task != "classify":
        raise UsageError(f"{base_name(uri)} is a network for the task {task!r}, not a classifier")


def _in_metadata(metadata: Mapping[str, str], uri: str) -> tuple[Preprocess | None, str | None]:
    """Preprocessing that the file's metadata state, and under which key."""
    name = base_name(uri)
    try:
        for key in ("preprocessor_config", "preprocessor_config.json", "hf_preprocessor_config"):
            if key in metadata:
                return exported.of_transformers(_parsed(metadata[key])), f"{name}'s {key}"
        if "pretrained_cfg" in metadata:
            return exported.of_timm(_parsed(metadata["pretrained_cfg"])), f"{name}'s pretrained_cfg"
        if metadata.get("task") == "classify" and "imgsz" in metadata:
            size = json_text.literal(metadata["imgsz"])
            size = size if isinstance(size, list | tuple) else [size]
            return exported.of_ultralytics(size), f"{name}'s imgsz (Ultralytics)"
        if any(key.startswith("Image.") for key in metadata):
            return exported.of_windows(metadata, Preprocess()), f"{name}'s Image.*"
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _cannot_follow(f"{name}'s metadata", error) from None
    return None, None


def _in_neighbors(configs: _Neighbors) -> tuple[Preprocess | None, str | None]:
    """Preprocessing that a file beside the network states, and its name."""
    for name, parse, keys in (
        ("preprocessor_config.json", exported.of_transformers, ()),
        ("processor_config.json", exported.of_transformers, ("image_processor",)),
        ("open_clip_config.json", exported.of_open_clip, ()),
        ("config.json", exported.of_timm, ("pretrained_cfg",)),
        ("config.json", exported.of_timm, ("input_size", "mean", "std")),
    ):
        found = configs[name]
        if found is None or any(key not in found[0] for key in keys):
            continue
        try:
            return parse(found[0]), found[1]
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise _cannot_follow(found[1], error) from None
    return None, None


def _names(
    metadata: Mapping[str, str], configs: _Neighbors, uri: str
) -> tuple[tuple[str, ...] | None, str | None]:
    """Class names in output order, and where they are stated."""
    if metadata.get("names"):
        try:
            return _in_order(json_text.literal(metadata["names"])), f"{base_name(uri)}'s names"
        except (ValueError, TypeError):
            return None, None
    found = configs["config.json"]
    if found is None:
        return None, None
    try:
        names = _in_order(_labels(found[0]))
    except (ValueError, TypeError, AttributeError):
        return None, None
    return (None, None) if all(map(_GENERIC.fullmatch, names)) else (names, found[1])


def _labels(config: Mapping[str, Any]) -> Any:
    """The classes of transformers' config.json, or of timm's, by index or in their order."""
    if config.get("label2id") and not config.get("id2label"):
        return {index: name for name, index in config["label2id"].items()}
    recipe = config.get("pretrained_cfg")
    of_recipe = recipe.get("label_names") if isinstance(recipe, Mapping) else None
    return config.get("id2label") or config.get("label_names") or of_recipe


def _in_order(names: Any) -> tuple[str, ...]:
    """Names by their index. Raises ValueError where one is missing."""
    if isinstance(names, list | tuple):
        return tuple(map(str, names))
    by_index = {int(key): str(name) for key, name in names.items()}
    if len(by_index) < len(names) or sorted(by_index) != list(range(len(by_index))):
        raise ValueError("indices with gaps, or one that is there twice")
    return tuple(by_index[index] for index in range(len(by_index)))


def same_as(names: tuple[str, ...], classes: tuple[str, ...]) -> bool:
    """Whether class names are those of a list of `n01440764 tench, Tinca tinca`, in its order."""
    if len(names) != len(classes):
        return False
    first = [_plain(name) for name in names]
    known = [_plain(line.partition(" ")[2]) for line in classes]
    # hubs spell a few of the thousand in their own way
    return sum(map(str.__eq__, first, known)) >= 0.95 * len(names)


def _plain(name: str) -> str:
    return name.partition(",")[0].replace("_", " ").strip().lower()


def _parsed(text: str) -> Mapping[str, Any]:
    data = json_text.parse(text)
    if not isinstance(data, dict):
        raise ValueError("no mapping")
    return data


def _cannot_follow(where: str, error: Exception) -> UsageError:
    return UsageError(
        f"{where} states a preprocessing that cannot be followed ({error}): state the network's "
        "own, model.preprocess, a profile's name or its parts"
    )
