"""What anyone would write: one image after the other through Pillow, numpy and onnxruntime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from PIL import Image

from vggbatch.config import Preprocess


def plain_input(path: Path, p: Preprocess) -> npt.NDArray[np.float32]:
    """The network's input (3, crop, crop) for an image file."""
    image = Image.open(path).convert("RGB")
    width, height = image.size
    if p.resize_mode == "squash":
        size = (p.resize, p.resize)
    elif width > height:
        size = (round(p.resize / height * width), p.resize)
    else:
        size = (p.resize, round(p.resize / width * height))
    filters = {"bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC}
    pixels = np.asarray(image.resize(size, filters[p.interpolation])).astype(np.float64)
    top, left = size[1] // 2 - p.crop // 2, size[0] // 2 - p.crop // 2
    pixels = pixels[top : top + p.crop, left : left + p.crop]
    if p.channels == "BGR":
        pixels = pixels[:, :, ::-1]
    return ((pixels / p.scale - p.mean) / p.std).transpose(2, 0, 1).astype(np.float32)


def plain_scores(model: Path, images: list[Path], p: Preprocess) -> npt.NDArray[np.float64]:
    """Softmax probabilities (n, classes), one image at a time, of a model that gives logits."""
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    rows = []
    for image in images:
        logits = session.run(None, {name: plain_input(image, p)[None]})[0][0].astype(np.float64)
        exp = np.exp(logits - logits.max())
        rows.append(exp / exp.sum())
    return np.stack(rows)
