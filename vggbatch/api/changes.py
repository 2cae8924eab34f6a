"""What changes finished outputs without scoring their images again."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from typing import Any

from vggbatch.api.locations import texts
from vggbatch.config import Location
from vggbatch.errors import UsageError
from vggbatch.runs.revisions.forget import forget as forget_images
from vggbatch.runs.revisions.merge import merge as merge_outputs


def merge(
    outputs: Sequence[Location], output: Location, *, overwrite: bool = False
) -> dict[str, Any]:
    """Join finished outputs to one; does nothing if that is done.

    >>> for k in (1, 2):
    ...     done = score("images", output=f"half-{k}", model="net.onnx", select={"part": f"{k}/2"})
    >>> merge(["half-1", "half-2"], "joined")["counts"]["images"]
    3

    Args:
        outputs: all parts of one input, or outputs of the same settings that have no image in
            common.
        output: gets the rows of all: a new folder or URI.
        overwrite: delete what is in the output and start again.

    Returns:
        The content of its run.json.

    Raises:
        UsageError: an output is not finished, or they do not belong together.
        JobFailed: another run has taken the output over.
    """
    if not os.fspath(output):
        raise UsageError("no output: name a folder or URI with -o OUTPUT")
    return merge_outputs(texts(outputs), os.fspath(output), overwrite=overwrite)


def forget(output: Location, images: Collection[str]) -> int:
    """Take images out of a finished output: rows, features, metrics and pages.

    >>> forget("joined", ["00001.jpg"])
    1
    >>> len(load_predictions("joined"))
    2

    Args:
        output: output of a run or a merge.
        images: image ids; a warning names those that it does not have.

    Returns:
        How many rows were there, and are no more.

    Raises:
        UsageError: it is not finished or damaged, another command is at work on it, or `images`
            is one text.
    """
    if isinstance(images, str):
        raise UsageError(f"images is a list of image ids: forget(output, [{images!r}])")
    return forget_images(os.fspath(output), images)
