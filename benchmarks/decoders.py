"""What decoding and resizing an image costs, beside other decoders on the same files.

    pip install PyTurboJPEG torch torchvision opencv-python-headless
    python -m benchmarks.decoders images/

Each reads the same JPEGs from memory, in one thread, and makes the same crop of them: short side
256, bilinear, center 224. They take turns; printed are CPU milliseconds an image of the fastest
round, and how many of vggbatch's values differ and by how much. What is not installed is left out.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.command_line import at_least_one, run
from vggbatch.config import DecodeOptions, Preprocess
from vggbatch.config.protocol import Protocol
from vggbatch.errors import ImageError, VggbatchError
from vggbatch.preprocess.image_buffer import ImageResizer
from vggbatch.sources import discover, reader_for

Crop = npt.NDArray[Any]
_SHORT, _SIDE = 256, 224


def _size(width: int, height: int) -> tuple[int, int]:
    scale = _SHORT / min(width, height)
    return round(scale * width), round(scale * height)


def _center(image: Image.Image) -> Crop:
    """The crop by Pillow."""
    resized = image.resize(_size(*image.size), Image.Resampling.BILINEAR)
    left, top = (resized.width - _SIDE) // 2, (resized.height - _SIDE) // 2
    return np.asarray(resized.crop((left, top, left + _SIDE, top + _SIDE)))


def decoders() -> Iterator[tuple[str, Callable[[bytes], Crop]]]:
    """Those that are installed, by name, vggbatch's own first."""
    profile = Preprocess(resize=_SHORT, crop=_SIDE, interpolation="bilinear")
    resizer = ImageResizer(DecodeOptions(), (profile,), Protocol())
    yield "vggbatch", lambda data: resizer(data)[0][0]
    yield "Pillow", lambda data: _center(Image.open(io.BytesIO(data)).convert("RGB"))
    with suppress(ImportError):
        from turbojpeg import TJPF_RGB, TurboJPEG

        turbo = TurboJPEG()
        yield (
            "PyTurboJPEG, then Pillow",
            lambda data: _center(Image.fromarray(turbo.decode(data, pixel_format=TJPF_RGB))),
        )
    with suppress(ImportError):
        import cv2

        cv2.setNumThreads(1)

        def by_opencv(data: bytes) -> Crop:
            image: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
            size = _size(image.shape[1], image.shape[0])
            resized = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
            left, top = (size[0] - _SIDE) // 2, (size[1] - _SIDE) // 2
            crop: Crop = resized[top : top + _SIDE, left : left + _SIDE]
            return crop

        yield "OpenCV (without antialiasing)", by_opencv
    with suppress(ImportError):
        import torch
        from torchvision.io import ImageReadMode, decode_jpeg
        from torchvision.transforms.v2 import functional

        torch.set_num_threads(1)

        def by_torchvision(data: bytes) -> Crop:
            encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
            image = decode_jpeg(encoded, mode=ImageReadMode.RGB)
            width, height = _size(image.shape[2], image.shape[1])
            resized = functional.resize(image, [height, width], antialias=True)
            left, top = (width - _SIDE) // 2, (height - _SIDE) // 2
            window = resized[:, top : top + _SIDE, left : left + _SIDE]
            crop: Crop = window.permute(1, 2, 0).numpy()
            return crop

        yield "torchvision", by_torchvision


def contents(inputs: list[str], most: int) -> list[bytes]:
    """The bytes of the first images.

    Raises:
        VggbatchError: an input cannot be read, or there is no image in them.
    """
    found: list[bytes] = []
    for shard in discover(inputs):
        reader = reader_for(shard.format)
        for data in reader.read(shard, reader.members(shard)):
            if isinstance(data, ImageError):
                raise VggbatchError(f"{shard.uri}: {data}")
            found.append(data)
            if len(found) == most:
                return found
    if not found:
        raise VggbatchError("there is no image in the inputs")
    return found


def main() -> None:
    """Print a line for each decoder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("inputs", nargs="+", metavar="INPUT")
    parser.add_argument("-n", "--images", type=at_least_one, default=200)
    parser.add_argument("--rounds", type=at_least_one, default=7)
    args = parser.parse_args()
    measure(contents(args.inputs, args.images), args.rounds)


def measure(images: list[bytes], rounds: int) -> None:
    """Print the table.

    Raises:
        ImageError: an image cannot be decoded.
    """
    known = dict(decoders())
    seconds: dict[str, list[float]] = {name: [] for name in known}
    for _ in range(rounds):
        for name, decode in known.items():
            started = time.process_time()
            for data in images:
                decode(data)
            seconds[name].append(time.process_time() - started)
    own = [known["vggbatch"](data).astype(int) for data in images]
    print(f"{'':32}{'ms':>6}{'x':>6}  values that differ, by at most")
    for name, decode in known.items():
        best = min(seconds[name])
        apart = np.abs(np.stack([decode(i).astype(int) for i in images]) - np.stack(own))
        print(
            f"{name:32}{best / len(images) * 1e3:6.2f}{best / min(seconds['vggbatch']):6.2f}"
            f"  {np.mean(apart > 0):.2%}, {apart.max()}"
        )


if __name__ == "__main__":
    run(main)
