"""Labels from tables: `filename index`, `filename wnid`, CSV, JSON, Parquet, LOC_val_solution."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace

from vggbatch.labels.lookup import Labels, names_without_image
from vggbatch.sources.classes import Classes, as_integer, is_unlabeled
from vggbatch.sources.tables import columns, dialect
from vggbatch.sources.tables.columns import Reading, Table

_ONE_BASED = (
    "{!r} is among its labels and 0 is not, so they seem to count the {} classes from 1: "
    "say so with indices.start=1"
)


_SIGNS = (
    "its labels are only {}, as in VOC's sets and CelebA's attributes, where they say whether an "
    "image shows one thing and not which class it is: write a label file of `path,class`"
)


def from_table(
    table: Table,
    classes: Classes,
    reading: Reading | None = None,
    images: Callable[[], Iterable[str]] | None = None,
) -> Labels:
    """Labels from the column of files and the column of classes; see `columns`.

    Args:
        table: the table.
        classes: of the network.
        reading: may name the columns.
        images: gives ids of the images, by which the column of files is chosen where several may
            be it.

    Raises:
        ValueError: a column is missing or in doubt, or a label is no class.
    """
    reading = replace(reading or Reading(), classes=classes)
    try:
        file = columns.file_column(table, reading.columns)
    except columns.FilesInDoubt as doubt:
        file = _of_these(table, doubt, images)
    else:
        rivals = columns.other_file_columns(table, file)
        if rivals and images is not None and reading.columns.file is None:
            with suppress(columns.FilesInDoubt):
                file = _of_these(table, columns.FilesInDoubt([file, *rivals]), images)
    label = columns.label_column(table, file, reading)
    if label is None:
        others = columns.listed(name for name in table.columns if name != file)
        raise ValueError(
            f"no column has the label (beside {file!r} there are {others}): name it with "
            "columns.label, or is this a list of images?"
        )
    pairs = [
        (name, token)
        for name, token in zip(table.columns[file], table.columns[label], strict=True)
        if name and not is_unlabeled(token)
    ]
    check_signs(table.columns[label], classes)
    check_indices([token for _, token in pairs], classes)
    found = [(name, _class(token, classes, name)) for name, token in pairs]
    plain = classes.start is None and classes.names is None
    numbered = plain and all(as_integer(token) is not None for token in {t for _, t in pairs})
    return Labels.of(
        [name for name, _ in found], [index for _, index in found], classes, numbered=numbered
    )


def _of_these(
    table: Table, doubt: columns.FilesInDoubt, images: Callable[[], Iterable[str]] | None
) -> str:
    """The one column that names some of the images. Raises `doubt` where it is none or several."""
    if images is None:
        raise doubt
    ids = dialect.sampled(list(images()))
    fitting = [
        name
        for name in doubt.columns
        if (names := [cell for cell in table.columns[name] if cell])
        and len(names_without_image(names, ids)) < len(set(names))
    ]
    if len(fitting) != 1:
        raise columns.FilesInDoubt(fitting) if len(fitting) > 1 else doubt
    return fitting[0]


def check_signs(labels: Iterable[str], classes: Classes) -> None:
    """Make sure that labels are no signs, of which -1 says no and 1 says yes.

    Raises:
        ValueError: they are, and the network has other classes than two.
    """
    found = {as_integer(label) for label in {label.strip() for label in labels} if label}
    signs = sorted(number for number in found if number is not None)
    plain = classes.start is None and classes.names is None
    if plain and len(classes) > 2 and signs in ([-1, 1], [-1, 0, 1]):
        raise ValueError(_SIGNS.format(", ".join(map(str, signs))))


def check_indices(labels: list[str], classes: Classes) -> None:
    """Make sure that indices among the labels can be those of the classes.

    Raises:
        ValueError: they look as if they counted from 1, or count the classes of a longer list.
    """
    distinct = set(labels)
    past = [label for label in distinct if classes.is_past_end(label)]
    if not past:
        return
    largest = max(past, key=lambda label: int(float(label)))
    number = int(float(largest))
    if classes.start is None and number == len(classes) and not {"0", "0.0"} & distinct:
        raise ValueError(_ONE_BASED.format(number, len(classes)))
    if classes.names is not None:
        raise ValueError(
            f"{number} is past the last of the {len(classes.names)} classes that are listed for "
            "the labels (indices.names, or a list beside the shards)"
        )
    raise ValueError(
        f"{number} is no class of this model ({len(classes)} classes): if the labels count the "
        "classes of another list, name it with indices.names"
    )


def _class(token: str, classes: Classes, file: str) -> int:
    index = classes.find(token)
    if index is None:
        raise ValueError(f"{file}: {classes.explain(token)}")
    return index
