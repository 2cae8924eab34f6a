"""Daft with a class that holds the onnxruntime session, as its documentation shows it."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import onnxruntime as ort

from vggbatch.bench.plain import crop_of, network_input
from vggbatch.bench.systems.base import Program
from vggbatch.bench.task import Task
from vggbatch.exact_int8 import open_exactly

BATCH = 16


class Daft(Program):
    """Daft's local runner."""

    name = "daft"
    title = "Daft"
    package = "daft"
    install = "pip install 'vggbatch[bench]'"

    def run(self, task: Task) -> None:
        """Glob, decode with a function, classify with a class, write Parquet."""
        import daft

        recipe = task.recipe

        @daft.func(return_dtype=daft.DataType.binary())
        def crop(path: str) -> bytes:
            with open(path.removeprefix("file://"), "rb") as file:
                return crop_of(file, recipe).tobytes()

        @daft.func(return_dtype=daft.DataType.string())
        def name(path: str) -> str:
            return os.path.basename(path)

        @daft.cls(max_concurrency=1)
        class Classifier:
            def __init__(self) -> None:
                self.session = open_exactly(task.model, ort.SessionOptions())

            @daft.method.batch(return_dtype=daft.DataType.int64(), batch_size=BATCH)
            def __call__(self, crops: Any) -> Any:
                size = recipe.crop
                pixels = np.frombuffer(b"".join(crops.to_pylist()), recipe.pixels)
                values = network_input(pixels.reshape(-1, size, size, 3), recipe, task.layout)
                [scores] = self.session.run([task.output], {task.input: values})
                task.mark(len(values))
                return scores.reshape(len(values), -1).argmax(axis=1)

        frame = daft.from_glob_path(os.path.join(task.images, "*"))
        frame = frame.select(name(frame["path"]).alias("image"), crop(frame["path"]).alias("crop"))
        frame = frame.select("image", Classifier()(frame["crop"]).alias("top1"))
        frame.write_parquet(os.path.join(task.work, "out"))
