"""How labels and images fit together, as far as it shows before the work."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from vggbatch.errors import UsageError
from vggbatch.job.job import Job
from vggbatch.job.known_images import Image, known_images, listed_images
from vggbatch.labels import Labels
from vggbatch.labels.tables import check_indices, check_signs
from vggbatch.sources import InputWarning, Shard, input_warning
from vggbatch.sources.classes import as_integer
from vggbatch.sources.input_warnings import NO_CLASS

UNLABELED = "images without a label"
UNUSED = "labels without an image"
FEW_CLASSES = (
    "labels that are only the first of the network's classes: if they count the classes of another "
    "list, name it with indices.names"
)
FROM_ONE = (
    "labels without a 0 or a gap: if the network's first class is their 1, say so with "
    "indices.start=1; if they count the classes of another list, name it with indices.names"
)
_BINARY = 10
"""Images from which on labels of two classes look like those of another list."""


@dataclass(frozen=True)
class LabelCount:
    """How many of the listed images have a label."""

    matched: int
    unmatched: int


def check_labeled(job: Job) -> tuple[InputWarning, ...]:
    """Make sure that labels which were asked for are of these images, as far as they are known.

    Known are the images that are listed, and the first of the first and the last shard.

    Returns:
        What is odd about the labels.

    Raises:
        UsageError: none of the images has one; one may be either of two classes, or of two
            images; or integers among them cannot be the network's outputs.
    """
    labels = job.labels
    if labels is None:
        return ()
    images = list(known_images(job.shards))
    if not images:
        return ()
    found = labels.match([i.image_id for i in images], [i.token for i in images])
    if labels.keys is None:
        return _check_embedded(labels, images, found)
    listed = all(shard.members is not None for shard in job.shards)
    if found.null_count == len(found) and listed:
        raise UsageError(
            f"no image has a label in {job.row_labels}; the first of {len(images):,} images is "
            f"{images[0].image_id}, the first label is of {labels.name_at(0)}"
            if len(labels)
            else f"{job.row_labels} has no labels"
        )
    _check_one_image_each(labels, images)
    unmatched = [
        i.image_id for i, label in zip(images, found.to_pylist(), strict=True) if label is None
    ]
    odd = [input_warning(UNLABELED, unmatched)] if unmatched else []
    if (
        job.config.select.everything
        and listed
        and (unused := labels.without_image([i.image_id for i in images]))
    ):
        odd.append(input_warning(UNUSED, unused))
    if labels.numbered and labels.indices is not None:
        odd += _of_another_list(set(labels.indices.tolist()), len(labels), len(labels.classes))
    return tuple(odd)


def count_labeled(shards: Iterable[Shard], labels: Labels) -> LabelCount | None:
    """How many listed images have a label; None where no image is listed."""
    images = [image for shard in shards for image in listed_images(shard)]
    if not images:
        return None
    found = labels.match([i.image_id for i in images], [i.token for i in images])
    return LabelCount(len(found) - found.null_count, found.null_count)


def _check_embedded(
    labels: Labels, images: list[Image], found: pa.Array
) -> tuple[InputWarning, ...]:
    tokens = [labels.token_of(image.image_id, image.token) for image in images]
    by_token = {token: image for token, image in zip(tokens, images, strict=True) if token}
    try:
        check_signs({image.token for image in images if image.token}, labels.classes)
        check_indices(list(by_token), labels.classes)
    except ValueError as error:
        raise UsageError(f"labels embedded: {error}") from None
    for token, image in by_token.items():
        if len(labels.classes.candidates(token)) > 1:
            raise UsageError(f"{image.image_id}: {labels.classes.explain(token)}")
    if found.null_count == len(found):
        raise UsageError(
            f"no image has a label in embedded; the first of {len(images):,} images is "
            f"{images[0].image_id}{_advice(labels, images[0], by_token)}"
        )
    unknown = {token for token in by_token if labels.classes.find(token) is None}
    odd = (
        [input_warning(NO_CLASS, [token for token in tokens if token in unknown])]
        if unknown
        else []
    )
    numbers = {number for token in by_token if (number := as_integer(token)) is not None}
    plain = labels.classes.start is None and labels.classes.names is None
    if plain:
        odd += _of_another_list(numbers, len(images), len(labels.classes))
    return tuple(odd)


def _of_another_list(numbers: set[int], images: int, classes: int) -> list[InputWarning]:
    """What to say of integers that seem to count other classes than the network's."""
    first = min(numbers, default=0)
    gapless = first in (0, 1) and numbers == set(range(first, first + len(numbers)))
    enough = images >= (2 * len(numbers) if len(numbers) > 2 else _BINARY)
    if not gapless or len(numbers) < 2 or not enough:
        return []
    examples = sorted(map(str, numbers))
    if first == 1:
        return [input_warning(FROM_ONE, examples)]
    return [input_warning(FEW_CLASSES, examples)] if len(numbers) <= classes // 2 else []


def _advice(labels: Labels, image: Image, tokens: dict[str, Image]) -> str:
    """What to do where no image has a label."""
    if tokens:
        token = min(tokens)
        return f": {labels.classes.explain(token)}; indices.names names a data set's own classes"
    folder = image.image_id.rpartition("/")[0].rpartition("/")[2]
    if as_integer(folder) is not None:
        return (
            f": if the folders' numbers ({folder}) are the network's outputs, say so with "
            "--set indices.folders=true; else write a label file of `path,class`"
        )
    return (
        ": labels are folders named by WordNet ids or classes, .cls members or a column; write a "
        "label file of `path,class`, or name the column with columns.label"
    )


def _check_one_image_each(labels: Labels, images: list[Image]) -> None:
    """Make sure that no label is of two images, which would be by chance."""
    taken: dict[int, Image] = {}
    for image in images:
        places = labels.places(image.image_id)
        if len(places) != 1:
            continue
        other = taken.setdefault(places[0], image)
        if other.source != image.source:
            raise UsageError(
                f"the label of {labels.name_at(places[0])} fits two images, {other.image_id} and "
                f"{image.image_id}: give more of their paths in the label file"
            )
