"""What all systems share: the same image files, and the same network in a file all can read."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx
from PIL import Image

from vggbatch.bench.plain import Recipe
from vggbatch.bench.task import Graph, Task
from vggbatch.config import DecodeOptions, JobConfig, Selection
from vggbatch.errors import ImageError, UsageError
from vggbatch.models.graphs.graph import make_batchable
from vggbatch.models.model import Model
from vggbatch.models.preparation.prepare import PreparedModel, is_prepared, prepare
from vggbatch.models.resolve import resolve
from vggbatch.models.source_files import original_file
from vggbatch.models.synthesis import synthesize
from vggbatch.preprocess.decode import decode_image
from vggbatch.preprocess.profiles import resolve_profile
from vggbatch.sources import discover, reader_for, select

_SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "GIF": ".gif", "BMP": ".bmp", "TIFF": ".tif"}
"""Formats that every system reads, by the names that Ray Data asks for."""
_QUANTIZED = {"QLinearConv", "QLinearMatMul", "QuantizeLinear", "ConvInteger", "MatMulInteger"}


@dataclass(frozen=True)
class Images:
    """A folder of image files for a benchmark."""

    folder: Path
    count: int
    distinct: int
    """The first so many files by name; the rest are further names of theirs."""


@dataclass(frozen=True)
class Network:
    """A network for a benchmark."""

    label: str
    """`fp32` or `int8`, or the model's name where two would have the same."""
    name: str
    """As `vggbatch score --model` takes it."""
    sha256: str
    file: str
    """ONNX with a free batch dimension and the original's operators."""
    input: str
    output: str
    layout: str
    recipe: Recipe
    prepared: Graph
    """What vggbatch runs."""
    prepare_seconds: float | None
    """What making it took, before any clock; None: it was in the cache already."""
    cache_dir: str | None

    def task(self, images: Images, *, work: Path, cores: int, **others: Any) -> Task:
        """The task of a system that runs this network on those images."""
        return Task(
            images=str(images.folder),
            count=images.count,
            distinct=images.distinct,
            model=self.file,
            score_model=self.name,
            input=self.input,
            output=self.output,
            layout=self.layout,
            recipe=self.recipe,
            prepared=self.prepared,
            cache_dir=self.cache_dir,
            work=str(work),
            cores=cores,
            **others,
        )


def collect_images(
    inputs: Sequence[str], count: int | None, folder: Path, wanted: Selection | None = None
) -> Images:
    """Write images of any source as files of one folder, repeated under other names up to `count`.

    Images that do not decode are left out: most systems end at one.

    Args:
        inputs: as `vggbatch score` takes them.
        count: how many files; None: as many as the inputs have.
        folder: a new folder.
        wanted: which images of the inputs; None: all.

    Raises:
        UsageError: there is no image.
    """
    folder.mkdir(parents=True)
    files: list[Path] = []
    for data in _contents(inputs, wanted or Selection()):
        suffix = _suffix(data)
        if suffix is not None:
            files.append(folder / f"{len(files):07d}{suffix}")
            files[-1].write_bytes(data)
        if len(files) == count:
            break
    if not files:
        raise UsageError(f"no image in {', '.join(inputs)} decodes (JPEG, PNG, GIF, BMP or TIFF)")
    total = count or len(files)
    for number in range(len(files), total):
        original = files[number % len(files)]
        os.link(original, folder / f"{number:07d}{original.suffix}")
    return Images(folder, total, len(files))


def prepare_networks(names: Sequence[str], config: JobConfig, work: Path) -> list[Network]:
    """The networks, made batchable for the peers, and prepared in the cache for vggbatch.

    Raises:
        UsageError: no such model, or its weights are missing.
    """
    found = []
    for number, name in enumerate(names):
        options = config.model.model_copy(update={"name": _absolute(name)})
        model = resolve(options, cache_dir=config.cache_dir, mirrors=config.mirrors)
        there = is_prepared(model, cache_dir=config.cache_dir)
        clock = time.perf_counter()
        prepared = prepare(model, cache_dir=config.cache_dir)
        seconds = None if there else time.perf_counter() - clock
        folder = work / f"model{number}"
        folder.mkdir()
        network = _network(model, prepared, config.cache_dir, folder)
        found.append(replace(network, prepare_seconds=seconds))
    if len({network.label for network in found}) < len(found):
        found = [replace(network, label=Path(network.name).stem) for network in found]
    return found


def _network(model: Model, prepared: PreparedModel, cache_dir: str | None, folder: Path) -> Network:
    if model.synthetic_of is not None:
        graph = synthesize(model.synthetic_of)
    else:
        graph = onnx.load(original_file(model, folder, cache_dir, None))
    outputs = make_batchable(
        graph,
        input_name=model.input,
        scores=model.scores,
        binary=model.output if model.binary else None,
    )
    quantized = any(node.op_type in _QUANTIZED for node in graph.graph.node)
    file = folder / "network.onnx"
    onnx.save(graph, file)
    _, preprocess = resolve_profile(model.preprocess)
    return Network(
        label="int8" if quantized else "fp32",
        name=model.name,
        sha256=model.sha256,
        file=str(file),
        input=model.input,
        output=outputs[0],
        layout=model.layout,
        recipe=Recipe(**preprocess.model_dump()),
        prepared=Graph(
            str(prepared.path),
            prepared.input,
            prepared.outputs[0],
            prepared.optimized,
            prepared.batch,
        ),
        prepare_seconds=None,
        cache_dir=cache_dir,
    )


def _absolute(name: str) -> str:
    return os.path.abspath(name) if os.path.exists(name) else name


def _contents(inputs: Sequence[str], wanted: Selection) -> Iterator[bytes]:
    limit = DecodeOptions().max_bytes
    for shard in select(discover(list(inputs)), wanted):
        reader = reader_for(shard.format)
        for data in reader.read(shard, reader.members(shard), limit):
            if isinstance(data, bytes):
                yield data


def _suffix(data: bytes) -> str | None:
    """For a file of these bytes; None where they cannot take part."""
    try:
        decode_image(data, DecodeOptions())
    except ImageError:
        return None
    with Image.open(io.BytesIO(data)) as image:
        return _SUFFIXES.get(image.format or "")
