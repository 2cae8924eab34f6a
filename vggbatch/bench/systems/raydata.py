"""Ray Data as its documentation shows it: read_images, map, map_batches with a class, Parquet."""

from __future__ import annotations

import functools
import os
from typing import Any

import numpy as np
import onnxruntime as ort
from PIL import Image

from vggbatch.bench.plain import crop_pixels, network_input
from vggbatch.bench.systems.base import Program
from vggbatch.bench.task import Task
from vggbatch.exact_int8 import open_exactly

BATCH = 16


class RayData(Program):
    """Ray Data without any tuning."""

    name = "ray"
    title = "Ray Data, as documented"
    package = "ray"
    install = "pip install 'ray[data]'"
    clustered = True

    def run(self, task: Task) -> None:
        """The pipeline of the guide to batch inference on images.

        Classifiers take half of the cores' logical CPUs: with all of them, reading never gets one.
        """
        import ray
        import ray.data

        from vggbatch.cluster.internals import safe_job

        ray.init(address=task.address or "local", job_config=safe_job())
        (
            ray.data.read_images(task.images, mode="RGB", include_paths=True)
            .map(functools.partial(_preprocess, task=task))
            .map_batches(
                _Classifier,
                fn_constructor_args=(task,),
                batch_size=BATCH,
                compute=ray.data.ActorPoolStrategy(size=max(1, task.cores // 2)),
            )
            .write_parquet(os.path.join(task.work, "out"))
        )


def _preprocess(row: dict[str, Any], task: Task) -> dict[str, Any]:
    crop = crop_pixels(Image.fromarray(row["image"]), task.recipe)
    values = network_input(crop[None], task.recipe, task.layout)[0]
    return {"image": os.path.basename(row["path"]), "values": values}


class _Classifier:
    def __init__(self, task: Task) -> None:
        self.task = task
        self.session = open_exactly(task.model, ort.SessionOptions())

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        feed = {self.task.input: np.ascontiguousarray(batch["values"])}
        [scores] = self.session.run([self.task.output], feed)
        self.task.mark(len(scores))
        return {"image": batch["image"], "top1": scores.reshape(len(scores), -1).argmax(axis=1)}
