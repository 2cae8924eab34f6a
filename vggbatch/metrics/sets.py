"""Label sets as a user names them: `[NAME=]LABELS[@SUBSET]`.

LABELS is a label file, or `embedded` for the labels the run itself recorded. SUBSET restricts the
classes that compete: `imagenet-a`, `imagenet-r`, or a file of WordNet ids or class indices, one a
line (what timm's --valid-labels takes). The 200 classes of ImageNet-A (Hendrycks et al., Natural
Adversarial Examples) and ImageNet-R (Hendrycks et al., The Many Faces of Robustness) are those of
timm's imagenet_a_synsets.txt and imagenet_r_synsets.txt.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files

import pyarrow as pa

from vggbatch.bounded import MAX_CLASS_LIST, read_bounded
from vggbatch.errors import UsageError
from vggbatch.metrics.labelset import LabelSet
from vggbatch.metrics.rows import open_predictions, prediction_files, read_batches
from vggbatch.sources.labels import EMBEDDED, SUBSETS, LabelSpec, load_labels
from vggbatch.sources.names import unique
from vggbatch.storage import Folder, filesystem

ILSVRC2012 = "ILSVRC2012"
"""The benchmark of the zoo's published accuracies: the 50,000 validation images."""

_VALIDATION_IMAGE = re.compile(r"(^|/)ILSVRC2012_val_\d{8}\.\w+$")


def label_sets(
    specs: Sequence[str],
    folder: Folder,
    class_lines: Sequence[str],
    *,
    recorded: str | None = None,
) -> list[LabelSet]:
    """The label sets that specs name, for the images of an output.

    Images named ILSVRC2012_val_* with one label each make a set comparable with the published
    accuracies, and name it so.

    Args:
        specs: see the module.
        folder: the output they will be scored against.
        class_lines: the network's classes, `wnid name`, in output order.
        recorded: the spec whose labels the run wrote into its rows, which need not be read again.

    Returns:
        The sets, each with a name of its own.

    Raises:
        UsageError: labels or a subset cannot be read or do not fit the classes.
    """
    ids = _first_ids(folder)
    validation = bool(ids) and all(map(_VALIDATION_IMAGE.search, ids))
    found = [_label_set(spec, spec == recorded, ids, validation, class_lines) for spec in specs]
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
    text: str, recorded: bool, ids: list[str], validation: bool, class_lines: Sequence[str]
) -> LabelSet:
    spec = LabelSpec.parse(text)
    classes = _subset(spec.subset, class_lines) if spec.subset else None
    in_rows = recorded or spec.source == EMBEDDED
    matcher = None if in_rows else load_labels(spec.source, tuple(class_lines))
    several = matcher is not None and pa.types.is_nested(matcher.match(ids, [None] * len(ids)).type)
    comparable = validation and classes is None and not several
    name = spec.name or (ILSVRC2012 if comparable else _name(spec))
    return LabelSet(name, matcher, classes, benchmark=ILSVRC2012 if comparable else None)


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
            text = read_bounded(fs, path, MAX_CLASS_LIST).decode()
        except FileNotFoundError:
            raise UsageError(
                f"subset {name!r} is neither {' nor '.join(SUBSETS)} nor a file of classes"
            ) from None
        except UnicodeDecodeError:
            raise UsageError(f"subset {name}: not a text file") from None
        except OSError as error:
            raise UsageError(f"subset {name}: cannot be read: {error}") from None
    index_of = {line.split(" ", 1)[0]: i for i, line in enumerate(class_lines)}
    index_of |= {str(i): i for i in range(len(class_lines))}
    words = text.replace(",", " ").split()
    unknown = [word for word in words if word not in index_of]
    if unknown or not words:
        what = f"{unknown[0]!r} is no class of this network" if unknown else "it is empty"
        raise UsageError(f"subset {name}: {what}")
    return tuple(sorted({index_of[word] for word in words}))


def _first_ids(folder: Folder) -> list[str]:
    """The ids of the first images of an output; enough to tell which data set it is."""
    for name in prediction_files(folder):
        with open_predictions(folder, name) as file:
            for batch in read_batches(file):
                ids: list[str] = batch.column("image_id").slice(0, 1000).to_pylist()
                if ids:
                    return ids
    return []
