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


def plain_protocol(
    model: Path, path: Path, p: Preprocess, kind: str, scales: tuple[int, ...], stride: int
) -> npt.NDArray[np.float64]:
    """Probabilities of one image under a protocol of several views, each run on its own.

    Args:
        model: gives logits; its feature map is not padded, so that a window of it is what the
            network sees of a crop.
        path: the image.
        p: how it is resized and normalized.
        kind: `ten`, `grid`, `dense` or `grid+dense`, mirrored too; `center`, not mirrored.
        scales: sizes of the short side.
        stride: pixels from one place of the feature map to the next.
    """
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def logits(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        ordered = pixels[:, :, ::-1] if p.channels == "BGR" else pixels
        values = ((ordered / p.scale - p.mean) / p.std).transpose(2, 0, 1).astype(np.float32)
        return session.run(None, {name: values[None]})[0][0].astype(np.float64)

    def softmax(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        exp = np.exp(scores - scores.max())
        return exp / exp.sum()

    crops, whole = [], []
    for scale in scales:
        image = Image.open(path).convert("RGB")
        width, height = image.size
        ratio = scale / min(width, height)
        small = (max(scale, round(ratio * width)), max(scale, round(ratio * height)))
        if p.resize_mode == "squash":
            small = (scale, scale)
        image = image.resize(small, Image.BILINEAR)
        mirrored = [] if kind == "center" else [image.transpose(Image.FLIP_LEFT_RIGHT)]
        for picture in [image, *mirrored]:
            pixels, c = np.asarray(picture), p.crop
            bottom, right = pixels.shape[0] - c, pixels.shape[1] - c
            if kind == "dense":
                corners = []
            elif kind == "center":
                corners = [(pixels.shape[0] // 2 - c // 2, pixels.shape[1] // 2 - c // 2)]
            elif kind == "ten":
                middle = pixels.shape[1] // 2 - c // 2
                if picture is not image:  # the mirrored crop, not a crop of the mirrored image
                    middle = right - middle
                corners = [(0, 0), (0, right), (bottom, 0), (bottom, right)]
                corners.append((pixels.shape[0] // 2 - c // 2, middle))
            else:
                across = [round(i * right / 4) for i in range(5)]
                if picture is not image:
                    across = [right - x for x in across]
                corners = [(round(i * bottom / 4), x) for i in range(5) for x in across]
            crops += [softmax(logits(pixels[y : y + c, x : x + c])) for y, x in corners]
            if kind.endswith("dense"):
                windows = [
                    logits(pixels[y : y + c, x : x + c])
                    for y in range(0, bottom + 1, stride)
                    for x in range(0, right + 1, stride)
                ]
                whole.append(softmax(np.mean(windows, axis=0)))
    parts = [np.mean(part, axis=0) for part in (crops, whole) if part]
    return np.mean(parts, axis=0)
