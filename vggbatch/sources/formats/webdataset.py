"""Which image of a WebDataset sample is the picture, where masks and the like lie beside it.

A sample is the members of a tar whose names are alike up to the first dot: `000.jpg`, `000.cls`,
`000.seg.png`. In a tar that is no WebDataset such names are pictures of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from vggbatch.sources import names

_USUAL = ("jpg", "jpeg", "png", "webp", "image", "img", "input", "rgb", "photo", "original")
"""What the picture of a sample is called, the most usual first."""
NO_PICTURE = frozenset(
    {"alpha", "annotation", "canny", "depth", "disparity", "edge", "edges", "flow", "gt", "inst"}
    | {"instance", "label", "labels", "labelids", "mask", "masks", "matte", "normal", "normals"}
    | {"panoptic", "sal", "scribble", "seg", "segm", "segmentation", "segmap", "sem", "semantic"}
    | {"semseg", "sketch", "target", "thumb", "thumbnail", "trimap", "trimaps", "annotations"}
    | {"groundtruth", "gtfine", "gtcoarse", "segmentationclass", "segmentationobject"}
)
"""What it is never called, nor a folder of pictures."""


def split_key(name: str) -> tuple[str, str]:
    """The key of a member, with its folder, and the rest of the name: `a/000`, `seg.png`."""
    folder, slash, base = name.rpartition("/")
    key, _, rest = base.partition(".")
    return folder + slash + key, rest.lower()


def further_images(
    images: Sequence[str], sample_keys: Collection[str], chosen: str | None = None
) -> set[str]:
    """Names of images that are not the picture of their sample.

    Args:
        images: names of a tar's image members.
        sample_keys: keys for which there is something else than images: those are samples.
        chosen: what follows the key in the name of the picture (`seg.png`), where the user says so.
    """
    if chosen is not None:
        wanted = chosen.lower().lstrip(".")
        return {name for name in images if split_key(name)[1] != wanted}
    count = Counter(split_key(name)[0] for name in images)
    by_key: dict[str, list[tuple[str, str]]] = {}
    for name in images:
        key, rest = split_key(name)
        if count[key] > 1:
            by_key.setdefault(key, []).append((rest, name))
    further: set[str] = set()
    for key, members in by_key.items():
        kept = _kept([rest for rest, _ in members], key in sample_keys)
        further |= {name for rest, name in members if rest not in kept}
    return further


def _kept(rests: list[str], is_sample: bool) -> set[str]:
    """Which of the images under one key are rows."""
    pictures = [rest for rest in rests if not NO_PICTURE.intersection(rest.split(".")[:-1])]
    if not pictures:
        return set(rests)
    if is_sample:
        for usual in _USUAL:
            if found := {rest for rest in pictures if rest.split(".")[0] == usual}:
                return found
    return set(pictures)


def is_metadata(rest: str) -> bool:
    """Whether what follows the key says that the key is a sample's: `cls`, `json`, `txt`."""
    return bool(rest) and "." not in rest and not names.is_image(f"x.{rest}")
