"""From what a user asks for to a described model: the bytes' identity, ports, classes, profile."""

from __future__ import annotations

import difflib
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import onnx
import yaml

from vggbatch import uris
from vggbatch.config import ModelOptions, Preprocess, validate
from vggbatch.errors import UsageError
from vggbatch.models.cache import weights_path
from vggbatch.models.catalog import CatalogEntry, catalog, synset
from vggbatch.models.fetch import address
from vggbatch.models.files import ModelFile, base_name, localise, sibling
from vggbatch.models.graph import read_ports
from vggbatch.models.synthesis import GENERATOR_VERSION
from vggbatch.storage import filesystem, is_local, public_uri, store_errors

SYNTHETIC = "@synthetic"
MISSING = (
    "the weights of {name} ({size}) are not on this machine: `vggbatch models pull {name}` gets "
    "them, --mirror takes a folder or URI that has {file}, {name}@synthetic tries the same graph "
    "without them"
)


@dataclass(frozen=True)
class Model:
    """A network ready to be prepared on any node: small, picklable, without its weights."""

    name: str
    uri: str | None
    """Where the graph's file is; None for a synthetic twin."""
    files: tuple[ModelFile, ...]
    """The graph's file and what it keeps its weights in; none for a twin."""
    sha256: str
    """Of the file, or of the names and digests of several; for a twin, of its name, seed and
    generator version."""
    synthetic: bool
    entry: CatalogEntry | None
    input: str
    layout: Literal["NCHW", "NHWC"]
    output: Literal["logits", "probabilities"]
    preprocess: str | Preprocess
    """A profile's name or its parts."""
    classes: tuple[str, ...]
    """In output order, `n01440764 tench, Tinca tinca`."""
    features: str | None
    """Tensor that the zoo names as features; None: the last dense layer's input."""
    input_size: tuple[int, int] | None
    """Height and width the graph asks for; None where they are free."""

    @property
    def twin(self) -> str | None:
        """The zoo model that it is a synthetic twin of; None for a network of its own weights."""
        return self.name.removesuffix(SYNTHETIC) if self.synthetic else None


def resolve(
    options: ModelOptions, *, cache_dir: str | None = None, mirrors: Sequence[str] = ()
) -> Model:
    """Describe the model that the options name. Runs on the driver; reads own files.

    One at a URI is kept in the cache, and read again only when it has changed.

    Raises:
        UsageError: unknown name (tells the nearest), missing weights (tells how to get them), a
            file that is no image classifier, or a class list of another length than the output.
    """
    name, synthetic = options.name.removesuffix(SYNTHETIC), options.name.endswith(SYNTHETIC)
    entry = catalog().get(name)
    if entry is not None:
        return _zoo_model(entry, options, synthetic, cache_dir, mirrors)
    if synthetic or not _looks_like_file(name):
        near = difflib.get_close_matches(name, catalog(), n=1, cutoff=0.0)[0]
        suffix = SYNTHETIC if synthetic else ""
        raise UsageError(
            f"no model {options.name!r}: did you mean {near + suffix!r}? `vggbatch models list` "
            "names the zoo's; an own file ends in .onnx"
        )
    return _own_model(options, cache_dir)


def _looks_like_file(name: str) -> bool:
    return name.endswith(".onnx") or "/" in name or os.path.exists(name)


def _zoo_model(
    entry: CatalogEntry,
    options: ModelOptions,
    synthetic: bool,
    cache_dir: str | None,
    mirrors: Sequence[str],
) -> Model:
    if synthetic:
        uri = None
        files: tuple[ModelFile, ...] = ()
        identity = f"{options.name} seed=0 generator={GENERATOR_VERSION}"
        sha256 = hashlib.sha256(identity.encode()).hexdigest()
    else:
        uri, sha256 = _find_weights(entry, cache_dir, mirrors), entry.weights.sha256
        files = (ModelFile(base_name(uri), sha256),)
    return Model(
        name=options.name,
        uri=uri,
        files=files,
        sha256=sha256,
        synthetic=synthetic,
        entry=entry,
        input=options.input or entry.input or "data_0",
        layout=options.layout or "NCHW",
        output=options.output or entry.output_kind,
        preprocess=options.preprocess or entry.preprocess,
        classes=_classes(options.classes, 1000),
        features=options.features or entry.features,
        input_size=(224, 224),
    )


def _find_weights(entry: CatalogEntry, cache_dir: str | None, mirrors: Sequence[str]) -> str:
    """The cache's copy, else the first mirror of the user's that has a file of the right size."""
    weights = entry.weights
    cached = weights_path(cache_dir, weights.sha256, weights.file)
    elsewhere = (address(mirror, entry.name, weights.file) for mirror in mirrors)
    for uri in (str(cached), *elsewhere):
        fs, path = filesystem(uri)
        try:
            if fs.info(path)["size"] == weights.bytes:
                return os.path.abspath(path) if is_local(fs) else uri
        except (OSError, KeyError):
            continue
    size = f"{weights.bytes / 1e6:.0f} MB"
    raise UsageError(MISSING.format(name=entry.name, size=size, file=weights.file))


def _own_model(options: ModelOptions, cache_dir: str | None) -> Model:
    name = public_uri(options.name)
    local = localise(options.name, cache_dir)
    described = _beside(options)
    graph = local.parsed or onnx.load(local.graph, load_external_data=False)
    ports = read_ports(graph, described.input)
    layout = described.layout or "NCHW"
    channel = 1 if layout == "NCHW" else 3
    if ports.input_shape[channel] not in (3, None):
        other = "NHWC" if layout == "NCHW" else "NCHW"
        raise UsageError(
            f"input {ports.input!r} of {name} is {list(ports.input_shape)}, which has no 3 "
            f"channels as {layout}; is it model.layout={other}?"
        )
    height, width = ports.input_shape[2:] if layout == "NCHW" else ports.input_shape[1:3]
    return Model(
        name=name,
        uri=str(local.graph) if is_local(filesystem(options.name)[0]) else options.name,
        files=local.files,
        sha256=local.sha256,
        synthetic=False,
        entry=None,
        input=ports.input,
        layout=layout,
        output=described.output or ports.output_kind,
        preprocess=described.preprocess or "zoo",
        classes=_classes(described.classes, ports.classes),
        features=described.features,
        input_size=None if height is None or width is None else (height, width),
    )


def _beside(options: ModelOptions) -> ModelOptions:
    """The options, filled up from net.yaml beside net.onnx."""
    uri = sibling(options.name, base_name(options.name).removesuffix(".onnx") + ".yaml")
    fs, path = filesystem(uri)
    try:
        with store_errors():
            text = fs.cat_file(path)
        data: Any = yaml.safe_load(text)
    except FileNotFoundError:
        return options
    except OSError as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"cannot read {public_uri(uri)}: {reason}") from None
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{public_uri(uri)} is not valid YAML: {reason}") from None
    if not isinstance(data, dict) or "name" in data:
        raise UsageError(
            f"{public_uri(uri)} must be a mapping with keys such as layout, output, preprocess"
        )
    described = validate(ModelOptions, data | {"name": options.name}, origin=public_uri(uri))
    if described.classes:
        update = {"classes": uris.named_by(options.name, described.classes)}
        described = described.model_copy(update=update)
    given = {key: value for key, value in options if value is not None}
    return described.model_copy(update=given)


def _classes(uri: str | None, width: int | None) -> tuple[str, ...]:
    if uri is None:
        classes = synset()
    else:
        fs, path = filesystem(uri)
        try:
            with store_errors():
                classes = tuple(fs.cat_file(path).decode().splitlines())
        except OSError:
            raise UsageError(
                f"the class list {public_uri(uri)} (model.classes) is not there"
            ) from None
    if width is not None and len(classes) != width:
        origin = public_uri(uri) if uri else "the project's synset.txt"
        raise UsageError(
            f"the network has {width} outputs but {origin} has {len(classes)} classes; "
            "set model.classes to a file with one class a line, in output order"
        )
    return classes
