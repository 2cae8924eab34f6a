"""An image that really kills the process that decodes it.

No image file does that reliably, so a `sitecustomize` module changes Pillow's BMP plugin in every
Python process that is started with `environment(folder)`: on MAGIC it segfaults.
"""

from __future__ import annotations

import os
from pathlib import Path

MAGIC = b"CRASHME!"
HANG = b"HANGHERE"

_PLUGIN = f"""
import signal, time
import PIL.BmpImagePlugin
import PIL.Image

def accept(prefix):
    if prefix[:8] == {MAGIC!r}:
        signal.raise_signal(signal.SIGSEGV)
    if prefix[:8] == {HANG!r}:
        time.sleep(600)
    return before(prefix)

factory, before = PIL.Image.OPEN["BMP"]
PIL.Image.OPEN["BMP"] = (factory, accept)
"""


def environment(folder: Path) -> dict[str, str]:
    """What a process needs in its environment so that MAGIC kills it and HANG hangs it."""
    (folder / "sitecustomize.py").write_text(_PLUGIN)
    return {"PYTHONPATH": os.pathsep.join([str(folder), *_paths()])}


def _paths() -> list[str]:
    before = os.environ.get("PYTHONPATH")
    return [before] if before else []


_CLASSIFIER = """
import signal
import onnxruntime

def run(self, outputs, feed, *args):
    for values in feed.values():
        if any(image.min() == image.max() for image in values[:, 0]):
            signal.raise_signal(signal.SIGSEGV)
    return plain(self, outputs, feed, *args)

plain = onnxruntime.InferenceSession.run
onnxruntime.InferenceSession.run = run
"""


def classifier_environment(folder: Path) -> dict[str, str]:
    """What a process needs in its environment so that an image of one color kills onnxruntime."""
    (folder / "sitecustomize.py").write_text(_CLASSIFIER)
    return {"PYTHONPATH": os.pathsep.join([str(folder), *_paths()])}
