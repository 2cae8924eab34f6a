"""The named preprocessing recipes that the zoo documents for its VGG family.

They differ in how the image is resized and how its values are scaled, and accuracy depends on it,
so a run records which one it used.
"""

from __future__ import annotations

import difflib

from vggbatch.config import Preprocess
from vggbatch.errors import UsageError

ZOO = Preprocess()
"""The zoo's imagenet_preprocess.py `preprocess`: short side 256, bilinear, centre 224, ImageNet
mean and standard deviation."""

SQUASH = Preprocess(resize_mode="squash")
"""256 x 256 without regard to the aspect ratio: the zoo's validation notebook (gluon Resize with
keep_ratio off), its onnxruntime notebook and Intel's VGG-16 recipe."""

MXNET224 = Preprocess(resize=224)
"""The zoo's imagenet_preprocess.py `preprocess_mxnet`: short side 224, centre 224."""

CAFFE2 = Preprocess(channels="BGR", scale=1.0, mean=(103.939, 116.779, 123.68), std=(1.0, 1.0, 1.0))
"""Simonyan and Zisserman's own values: BGR, 0..255, the mean pixel taken off."""

PROFILES: dict[str, Preprocess] = {
    "zoo": ZOO,
    "squash": SQUASH,
    "mxnet224": MXNET224,
    "caffe2": CAFFE2,
}


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
