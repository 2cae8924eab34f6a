"""Label sets as a user names them: `[NAME=]LABELS[@SUBSET]`.

LABELS is a label file, or `embedded` for the labels the run itself recorded. SUBSET restricts the
classes that compete: `imagenet-a`, `imagenet-r`, or a file of WordNet ids, names or the network's
indices, one a line (what timm's --valid-labels takes). The 200 classes of ImageNet-A (Hendrycks et
al., Natural Adversarial Examples) and ImageNet-R (Hendrycks et al., The Many Faces of Robustness)
are those of timm's imagenet_a_synsets.txt and imagenet_r_synsets.txt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources import files

import pyarrow as pa

from vggbatch import text_file
from vggbatch.bounded import MAX_CLASS_LIST, read_bounded
from vggbatch.config import LabelOptions
from vggbatch.errors import UsageError
from vggbatch.labels import (
    EMBEDDED,
    SUBSETS,
    Classes,
    Labels,
    LabelSpec,
    MultiLabels,
    load_classes,
    load_labels,
)
from vggbatch.metrics.labelset import LabelSet
from vggbatch.metrics.rows import Predictions, open_predictions, prediction_files
from vggbatch.sources.names import unique
from vggbatch.storage.filesystem import filesystem

ILSVRC2012 = "ILSVRC2012"
"""The benchmark of the zoo's published accuracies: the 50,000 validation images."""

_FIRST = 1000
"""Images by which a data set is known."""
_VALIDATION_IMAGE = re.compile(r"(^|/)ILSVRC2012_val_\d{8}\.\w+$")


def label_sets(
    specs: Sequence[str],
    folder: Predictions,
    class_lines: Sequence[str],
    *,
    recorded: str | None = None,
    options: Mapping[str, LabelOptions] | None = None,
) -> list[LabelSet]:
    """The label sets that specs name, for the images of an output.

    Images named ILSVRC2012_val_* with one label each make a set comparable with the published
    accuracies, and name it so.

    Args:
        specs: see the module.
        folder: the output they will be scored against.
        class_lines: the network's classes, `wnid name`, in output order.
        recorded: the spec whose labels the run wrote into its rows, which need not be read again.
        options: how the label files of specs are to be read, where not as they are.

    Returns:
        The sets, each with a name of its own.

    Raises:
        UsageError: labels or a subset cannot be read or do not fit the classes.
    """
    ids = _first_ids(folder)
    validation = bool(ids) and all(map(_VALIDATION_IMAGE.search, ids))
    by_spec = options or {}
    found = [
        _label_set(spec, spec == recorded, ids, validation, class_lines, by_spec.get(spec))
        for spec in specs
    ]
    names = unique([labels.name for labels in found])
    return [replace(labels, name=name) for labels, name in zip(found, names, strict=True)]


def check_subsets(specs: Sequence[str], class_lines: Sequence[str]) -> None:
    """Read the subsets that specs name, so that a fault shows before a run and not after it.

    Raises:
        UsageError: one cannot be read or does not fit the classes.
    """
    for subset in filter(None, (LabelSpec.parse(spec).subset for spec in specs)):
        _subset(subset, class_lines)


def _label_set(
    text: str,
    recorded: bool,
    ids: list[str],
    validation: bool,
    class_lines: Sequence[str],
    options: LabelOptions | None,
) -> LabelSet:
    spec = LabelSpec.parse(text)
    classes = _subset(spec.subset, class_lines) if spec.subset else None
    in_rows = recorded or spec.source == EMBEDDED
    how = options or LabelOptions()
    matcher = None if in_rows else _loaded(spec.source, class_lines, how, ids)
    several = matcher is not None and pa.types.is_nested(matcher.match(ids, [None] * len(ids)).type)
    comparable = validation and classes is None and not several
    name = spec.name or (ILSVRC2012 if comparable else _name(spec))
    return LabelSet(name, matcher, classes, benchmark=ILSVRC2012 if comparable else None)


def _loaded(
    source: str, class_lines: Sequence[str], options: LabelOptions, ids: list[str]
) -> Labels | MultiLabels:
    classes = load_classes(class_lines, options.indices)
    return load_labels(source, classes, options.columns, lambda: ids)


def _name(spec: LabelSpec) -> str:
    """A name for a set that was given none: of the subset, else of the label file."""
    if spec.subset or spec.source == EMBEDDED:
        return spec.subset.rsplit("/", 1)[-1] or spec.source
    return spec.source.rstrip("/").rsplit("/", 1)[-1].split(".")[0]


def _subset(name: str, class_lines: Sequence[str]) -> tuple[int, ...]:
    """Class indices of a subset, rising."""
    if name in SUBSETS:
        text = (files("vggbatch.metrics") / "subsets" / f"{name}.txt").read_text()
    else:
        fs, path = filesystem(name)
        try:
            text = text_file.decode(read_bounded(fs, path, MAX_CLASS_LIST))
        except FileNotFoundError:
            raise UsageError(
                f"subset {name!r} is neither {' nor '.join(SUBSETS)} nor a file of classes"
            ) from None
        except ValueError:
            raise UsageError(f"subset {name}: not a text file") from None
        except OSError as error:
            raise UsageError(f"subset {name}: cannot be read: {error}") from None
    classes = Classes(tuple(class_lines))
    found = [
        _class(word, classes, name)
        for line in text_file.lines(text)
        for word in _words(line, classes)
    ]
    if not found:
        raise UsageError(f"subset {name}: it is empty")
    return tuple(sorted(set(found)))


def _words(line: str, classes: Classes) -> list[str]:
    """The classes of a line: it is one, with its names or alone, or several are in it."""
    words = line.replace(",", " ").split()
    several = len(words) > 1 and all(classes.candidates(word) for word in words)
    return words if several or not classes.candidates(line) else [line]


def _class(word: str, classes: Classes, subset: str) -> int:
    candidates = classes.candidates(word)
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        raise UsageError(f"subset {subset}: {word!r} is no class of this network")
    first, second = (f"class {index} ({classes.lines[index]})" for index in candidates[:2])
    raise UsageError(f"subset {subset}: {word!r} may be {first} or {second}")


def _first_ids(folder: Predictions) -> list[str]:
    """The ids of the first images of an output; enough to tell which data set it is."""
    for name in prediction_files(folder):
        with open_predictions(folder, name) as file:
            for batch in file.iter_batches(_FIRST, columns=["image_id"]):
                ids: list[str] = batch.column("image_id").to_pylist()
                if ids:
                    return ids
    return []
