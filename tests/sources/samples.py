"""Small images and tars for the tests of sources."""

import io
import tarfile

import fsspec
import numpy as np
import pytest
from PIL import Image


def requests_of_memory(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int | None, int | None]]:
    """The ranges asked of fsspec's store in memory from now on, as they come."""
    kind = type(fsspec.filesystem("memory"))
    asked = []
    original = kind.cat_file

    def counted(self, path, start=None, end=None, **options):
        asked.append((start, end))
        return original(self, path, start=start, end=end, **options)

    monkeypatch.setattr(kind, "cat_file", counted)
    return asked


def jpeg(seed: int, size: tuple[int, int] = (40, 30)) -> bytes:
    """A JPEG whose pixels differ from seed to seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "JPEG")
    return sink.getvalue()


def tar_bytes(files: dict[str, bytes], format: int = tarfile.GNU_FORMAT) -> bytes:
    """A tar with the files in their order."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=format) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return sink.getvalue()
