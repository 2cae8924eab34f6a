"""ReaL, the reassessed labels of the ILSVRC2012 validation set: several a image, or none.

real.json (Beyer et al. 2020, Are we done with ImageNet?) is a list of 50,000 lists of class
indices in the order of the images' names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vggbatch import class_list, json_text
from vggbatch.labels.lookup import Labels
from vggbatch.sources.classes import Classes


@dataclass(frozen=True)
class MultiLabels:
    """Accepted classes by image name. Pickles as three arrays.

    `images` gives the place of an image; its classes are `classes[offsets[i]:offsets[i + 1]]`.
    """

    images: Labels
    offsets: npt.NDArray[np.int64]
    classes: npt.NDArray[np.int32]

    def match(self, image_ids: Sequence[str], tokens: Sequence[str | None]) -> pa.Array:
        """The accepted classes of each image, list<int32>, null where the image is unknown.

        Args:
            image_ids: as in the predictions.
            tokens: not used; as in `Labels.match`.
        """
        places = self.images.match(image_ids, tokens).to_pylist()
        found = [
            None if place is None else self.classes[self.offsets[place] : self.offsets[place + 1]]
            for place in places
        ]
        return pa.array(found, pa.list_(pa.int32()))


def from_json(data: bytes, classes: Classes) -> MultiLabels:
    """Labels from the bytes of real.json.

    Raises:
        ValueError: it has another form, or a class the model does not have.
    """
    lists = json_text.parse(data)
    if not isinstance(lists, list) or not all(isinstance(item, list) for item in lists):
        raise ValueError("not a list of lists of class indices, as real.json is")
    lengths = [len(item) for item in lists]
    flat = [value for item in lists for value in item]
    # the indices are ImageNet's own, whatever the order of the network's classes
    wnids = [line[:9] for line in class_list.imagenet()]
    bad = [value for value in flat if type(value) is not int or not 0 <= value < len(wnids)]
    if bad:
        raise ValueError(f"{bad[0]!r} is no class of ImageNet ({len(wnids)} classes)")
    found = [classes.find(wnids[value]) for value in flat]
    if None in found:
        raise ValueError(classes.explain(wnids[flat[found.index(None)]]))
    names = [f"ILSVRC2012_val_{number:08d}" for number in range(1, len(lists) + 1)]
    return MultiLabels(
        images=Labels.of(names, range(len(names)), classes),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        classes=np.array(found, np.int32),
    )
