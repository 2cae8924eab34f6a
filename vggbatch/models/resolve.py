"""From what a user asks for to a described model: the bytes' identity, ports, classes, profile."""

from __future__ import annotations

import difflib
import hashlib
import os
from collections.abc import Sequence
from typing import Any

from vggbatch import uris
from vggbatch.bounded import read_bounded
from vggbatch.config import ModelOptions, Preprocess, validate
from vggbatch.config.yaml_text import MAX_BYTES, parse_yaml
from vggbatch.errors import UsageError
from vggbatch.models.cache import weights_path
from vggbatch.models.catalog import CatalogEntry, catalog, synset
from vggbatch.models.fetch import address
from vggbatch.models.graphs.ports import Layout, Ports, map_labels, read_ports
from vggbatch.models.inspection.assumption import Assumption, in_words
from vggbatch.models.inspection.classes import load_classes
from vggbatch.models.inspection.examine import ScoresQuestion, examine
from vggbatch.models.inspection.scores import Scores
from vggbatch.models.inspection.stated import Stated, same_as, stated
from vggbatch.models.local_files import localise, sibling
from vggbatch.models.model import SYNTHETIC, Model, ModelFile
from vggbatch.models.synthesis import GENERATOR_VERSION
from vggbatch.preprocess.profiles import resolve_profile
from vggbatch.storage.filesystem import filesystem, is_local, public_uri, store_errors
from vggbatch.uris import base_name

MISSING = (
    "the weights of {name} ({size}) are not on this machine: `vggbatch models pull {name}` gets "
    "them, --mirror takes a folder or URI that has {file}, {name}@synthetic tries the same graph "
    "without them"
)


def resolve(
    options: ModelOptions, *, cache_dir: str | None = None, mirrors: Sequence[str] = ()
) -> Model:
    """Describe the model that the options name. Runs on the driver; reads own files.

    One at a URI is kept in the cache, and read again only when it has changed.

    Raises:
        UsageError: unknown name (names the nearest), missing weights (names the way to get them), a
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
            "names the zoo's; a path to your own model must end in .onnx"
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
        classes=load_classes(options.classes, 1000),
        features=options.features,
        input_size=(224, 224),
        scores=options.scores,
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
    ports = read_ports(local.outline, described.input)
    found = stated(options.name, local.outline, preprocessed=described.preprocess is not None)
    if found.several is not None and described.output is None:
        raise UsageError(
            f"{found.several} says that several classes may hold at once, so that softmax gives no "
            "probabilities: to apply it all the same, model.output=logits"
        )
    preprocess, assumptions = _preprocess(described, found, ports, name)
    _, profile = resolve_profile(preprocess)
    _check_layout(described.layout or ports.layout, ports, name)
    classes, origin = _class_list(described, found, map_labels(local.outline.graph))
    question = ScoresQuestion(
        name=name,
        layout=described.layout or ports.layout,
        profile=profile,
        classes=len(classes),
        chosen=described.scores,
        stated=described.output,
    )
    scores, layout = examine(local, ports, question, cache_dir)
    _check_count(scores, classes, origin, name)
    assumptions += _assumed_of_ports(described, ports, scores, layout)
    if described.classes is None:
        assumptions.append(Assumption("classes", f"{len(classes)} of {origin}", "no list is given"))
    return Model(
        name=name,
        uri=str(local.graph) if is_local(filesystem(options.name)[0]) else options.name,
        files=local.files,
        sha256=local.sha256,
        synthetic=False,
        entry=None,
        input=ports.input,
        layout=layout,
        output=scores.kind,
        preprocess=preprocess,
        classes=classes,
        features=described.features,
        input_size=ports.size(layout),
        scores=scores.output,
        binary=scores.binary,
        assumptions=tuple(assumptions),
    )


def _preprocess(
    described: ModelOptions, found: Stated, ports: Ports, name: str
) -> tuple[str | Preprocess, list[Assumption]]:
    """The preprocessing, and what of it was assumed."""
    chosen: str | Preprocess
    raw = ports.input_type == "uint8"
    if described.preprocess is not None:
        chosen, assumed = described.preprocess, None
    elif found.preprocess is not None:
        chosen = found.preprocess
        source = found.preprocess_source
        assumed = Assumption("preprocessing", in_words(chosen), f"stated by {source}")
        if found.values_only:
            because = f"{source} states the values, nothing the resize and crop"
            assumed = Assumption("preprocessing", in_words(chosen), because, warning=True)
    elif raw:
        chosen = RAW
        because = f"input {ports.input!r} is uint8, and nothing states the resize and crop"
        assumed = Assumption("preprocessing", in_words(chosen), because, warning=True)
    else:
        chosen = "zoo"
        because = f"neither {name}, nor a file beside it, nor an option states it"
        words = f"profile zoo: {in_words(resolve_profile(chosen)[1])}"
        assumed = Assumption("preprocessing", words, because, warning=True)
    _, parts = resolve_profile(chosen)
    if raw and not _whole_pixels(parts):
        raise UsageError(
            f"input {ports.input!r} of {name} is uint8 and takes pixels as they are, but the "
            f"preprocessing gives other values ({in_words(parts)}): set scale: 1, mean: [0, 0, 0], "
            "std: [1, 1, 1] in model.preprocess"
        )
    return chosen, [assumed] if assumed is not None else []


RAW = Preprocess(scale=1.0, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
"""Pixels as they are, for networks that normalize them themselves."""


def _whole_pixels(parts: Preprocess) -> bool:
    values = ("scale", "mean", "std", "pixels")
    return all(getattr(parts, name) == getattr(RAW, name) for name in values)


def _check_layout(layout: Layout | None, ports: Ports, name: str) -> None:
    for one in (layout,) if layout else ("NCHW", "NHWC"):
        if ports.input_shape[1 if one == "NCHW" else 3] in (3, None):
            return
    shape = str([size or "?" for size in ports.input_shape]).replace("'", "")
    where = f"input {ports.input!r} of {name} is {shape}, which has no 3 channels"
    other: Layout = "NHWC" if layout == "NCHW" else "NCHW"
    if layout is not None and ports.input_shape[3 if other == "NHWC" else 1] in (3, None):
        raise UsageError(f"{where} as {layout}; is it model.layout={other}?")
    raise UsageError(f"{where}: only networks that take RGB or BGR images can be run")


def _class_list(
    described: ModelOptions, found: Stated, labels: tuple[str, ...] | None
) -> tuple[tuple[str, ...], str]:
    """The classes in output order, and where they are from.

    Args:
        described: the user's options.
        found: what the network's file and its neighbors state.
        labels: those of a map from class to score that the network gives.
    """
    if described.classes is not None:
        return load_classes(described.classes, None), public_uri(described.classes)
    own = "the project's synset.txt"
    named, source = found.classes, found.classes_source or own
    if labels and labels != tuple(map(str, range(len(labels)))):
        if all(label.isdecimal() for label in labels):
            raise UsageError(
                f"{public_uri(described.name)} numbers its classes {', '.join(labels[:3])}, ..., "
                "not 0, 1, 2, ... in the order of its scores: set model.classes to a file with "
                "one class a line, in the order of the scores"
            )
        named, source = labels, f"{base_name(described.name)}'s ZipMap"
    if named is None or same_as(named, synset()):
        return synset(), own
    return named, source


def _check_count(scores: Scores, classes: tuple[str, ...], origin: str, name: str) -> None:
    if len(classes) == scores.count:
        return
    count = 1 if scores.binary else scores.count
    if scores.binary:
        advice = (
            "a network with a single output has two classes: set model.classes to a file with two "
            "lines, the second the class whose probability it gives"
        )
    elif count == len(classes) + 1:
        advice = (
            "networks of TensorFlow may have a background class before the others: set "
            f"model.classes to a file of {count} lines, its first `background`"
        )
    else:
        advice = (
            "set model.classes to a file with one class a line, in output order, or model.scores "
            "to the output that has the scores"
        )
    raise UsageError(
        f"{name} has {count} {'output' if count == 1 else 'outputs'} but {origin} has "
        f"{len(classes)} classes (scores of an image in {scores.output!r}): {advice}"
    )


def _assumed_of_ports(
    described: ModelOptions, ports: Ports, scores: Scores, layout: Layout
) -> list[Assumption]:
    """What was found out about the input and the scores."""
    found = []
    if described.layout is None:
        because = (
            f"of input {ports.input!r}'s shape" if ports.layout else "it runs with this layout"
        )
        found.append(Assumption("layout", layout, because))
    if described.scores is None and len(ports.outputs) > 1:
        because = f"of the outputs {ports.described} it has a score for each class"
        found.append(Assumption("scores", scores.output, because))
    if described.output is None:
        softmax = "softmax is applied" if scores.kind == "logits" else "no softmax is applied"
        if scores.binary:
            softmax = "made two scores, " + softmax
        found.append(Assumption("output", f"{scores.kind}, {softmax}", scores.reason))
    if scores.warning is not None:
        found.append(Assumption("scores", scores.output, scores.warning, warning=True))
    return found


def _beside(options: ModelOptions) -> ModelOptions:
    """The options, filled up from net.yaml beside net.onnx."""
    uri = sibling(options.name, base_name(options.name).removesuffix(".onnx") + ".yaml")
    fs, path = filesystem(uri)
    try:
        with store_errors():
            text = read_bounded(fs, path, MAX_BYTES)
        data: Any = parse_yaml(text)
    except FileNotFoundError:
        return options
    except OSError as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"cannot read {public_uri(uri)}: {reason}") from None
    except ValueError as error:
        raise UsageError(f"{public_uri(uri)} is not valid YAML: {error}") from None
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
