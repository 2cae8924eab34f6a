"""The named preprocessing recipes that the zoo's files, and those they come from, have for VGG.

They differ in how the image is resized and how its values are scaled, and accuracy depends on it
by more than int8 does, so a run records which one it used.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from vggbatch.config import Preprocess
from vggbatch.errors import UsageError


@dataclass(frozen=True)
class Profile:
    """A named recipe and where it comes from."""

    preprocess: Preprocess
    origin: str
    """The files that have it, in one line."""


_PROFILES = {
    "gluon256": Profile(
        Preprocess(resize_mode="squash", resizer="opencv"),
        "the zoo's imagenet_validation.ipynb and train_vgg.ipynb: gluon Resize(256), which does "
        "not keep the ratio, CenterCrop(224)",
    ),
    "intel256": Profile(
        Preprocess(resize_mode="squash", resizer="opencv", pixels="float32"),
        "Intel Neural Compressor's vgg16.yaml and the zoo's onnxrt_inference.ipynb: cv2.resize of "
        "the float image to 256 x 256, center 224",
    ),
    "gluoncv": Profile(
        Preprocess(resizer="opencv", long_side="truncate"),
        "GluonCV's validation of its VGG networks: Resize(256, keep_ratio=True), CenterCrop(224)",
    ),
    "zoo": Profile(
        Preprocess(),
        "the zoo's imagenet_preprocess.py `preprocess`, there since 2023, and the page's text: "
        "short side 256 with Pillow, center 224",
    ),
    "mxnet224": Profile(
        Preprocess(resize=224, resize_mode="squash", resizer="opencv"),
        "the zoo's imagenet_preprocess.py `preprocess_mxnet`: gluon Resize(224), which does not "
        "keep the ratio",
    ),
    "squash": Profile(
        Preprocess(resize_mode="squash"),
        "no file of the zoo; 256 x 256 with Pillow, what gluon256 is often taken for",
    ),
    "caffe2": Profile(
        Preprocess(channels="BGR", scale=1.0, mean=(103.939, 116.779, 123.68), std=(1.0, 1.0, 1.0)),
        "inferred from Simonyan and Zisserman's own networks; the zoo's page has nothing of its "
        "own for these files",
    ),
}

PROFILES: dict[str, Preprocess] = {name: known.preprocess for name, known in _PROFILES.items()}
"""Every profile's parts by its name."""

ORIGINS: dict[str, str] = {name: known.origin for name, known in _PROFILES.items()}
"""For every profile the files that have it."""


def resolve_profile(spec: str | Preprocess) -> tuple[str, Preprocess]:
    """A profile's name and its parts; parts that equal no profile are named `custom`.

    Raises:
        UsageError: no profile has that name.
    """
    if isinstance(spec, str):
        if spec not in PROFILES:
            near = difflib.get_close_matches(spec, PROFILES, n=1, cutoff=0.0)[0]
            raise UsageError(
                f"unknown preprocessing profile {spec!r}, did you mean {near!r}? "
                f"(known: {', '.join(PROFILES)}; or give its parts)"
            )
        return spec, PROFILES[spec]
    for name, parts in PROFILES.items():
        if parts == spec:
            return name, spec
    return "custom", spec
