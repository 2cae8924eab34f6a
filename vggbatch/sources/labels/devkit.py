"""The ILSVRC2012 development kit, as published: ILSVRC2012_devkit_t12.tar.gz or its folder.

Its validation ground truth numbers the classes in an order of its own. meta.mat translates: of
its synsets those without children are the thousand classes, `ILSVRC2012_ID` is the number in the
ground truth, `WNID` the WordNet id; the class index is the place among the model's classes, which
for ImageNet is the place among the sorted WordNet ids.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable

import numpy as np

from vggbatch.errors import UsageError
from vggbatch.sources.classes import Classes
from vggbatch.sources.labels.lookup import Labels

META = "meta.mat"
GROUND_TRUTH = "ILSVRC2012_validation_ground_truth.txt"


def is_archive(name: str) -> bool:
    """Whether a file is a development kit by its name."""
    base = name.rstrip("/").rsplit("/", 1)[-1]
    return "devkit" in base and base.endswith((".tar.gz", ".tgz", ".tar"))


def from_archive(data: bytes, classes: Classes) -> Labels:
    """Labels from the bytes of the .tar.gz. Raises ValueError if it is no development kit."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for member in archive:
                base = member.name.rsplit("/", 1)[-1]
                file = archive.extractfile(member) if base in (META, GROUND_TRUTH) else None
                if file is not None:
                    found[base] = file.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ValueError(f"not a readable archive ({error})") from None
    return _labels(found.__getitem__, classes)


def from_folder(read: Callable[[str], bytes], classes: Classes) -> Labels:
    """Labels from a folder: `read` gives a file of its `data` folder.

    Raises:
        ValueError: it is no development kit.
    """
    return _labels(read, classes)


def _labels(read: Callable[[str], bytes], classes: Classes) -> Labels:
    try:
        meta, truth = read(META), read(GROUND_TRUTH)
    except (KeyError, FileNotFoundError):
        raise ValueError(f"no development kit: {META} and {GROUND_TRUTH} are needed") from None
    wnid_of = _leaves(meta)
    names, indices = [], []
    for line, text in enumerate(truth.decode("ascii").split(), 1):
        wnid = wnid_of.get(int(text))
        if wnid is None:
            raise ValueError(f"{GROUND_TRUTH} line {line}: {text} is no class of {META}")
        index = classes.find(wnid)
        if index is None:
            raise ValueError(classes.explain(wnid))
        # without a suffix: the images may have been converted
        names.append(f"ILSVRC2012_val_{line:08d}")
        indices.append(index)
    return Labels.of(names, indices, classes)


def _leaves(meta: bytes) -> dict[int, str]:
    """ILSVRC2012_ID -> WordNet id of the synsets without children."""
    try:
        from scipy.io import loadmat
    except ImportError:
        raise UsageError("reading the devkit needs scipy: pip install 'vggbatch[devkit]'") from None
    try:
        rows = np.atleast_1d(loadmat(io.BytesIO(meta), squeeze_me=True)["synsets"])
        return {
            int(row["ILSVRC2012_ID"]): str(row["WNID"])
            for row in rows
            if int(row["num_children"]) == 0
        }
    except (KeyError, ValueError, TypeError) as error:
        raise ValueError(f"{META} cannot be read ({error})") from None
