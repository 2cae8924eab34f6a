"""Plain loops in one process, without a framework."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort

from vggbatch.bench.plain import batches_of_crops, crop_of, network_input
from vggbatch.bench.systems.base import Program
from vggbatch.bench.task import Task
from vggbatch.exact_int8 import open_exactly

BATCH = 16


class Loop(Program):
    """One image after the other, as the zoo's notebook does it."""

    name = "loop1"
    title = "plain loop, batch 1"

    def run(self, task: Task) -> None:
        """Decode, normalize, run, again and again."""
        session = open_exactly(task.model, ort.SessionOptions())
        files, found = task.files(), []
        for file in files:
            values = network_input(crop_of(file, task.recipe)[None], task.recipe, task.layout)
            [scores] = session.run([task.output], {task.input: values})
            found.append(int(scores.argmax()))
            task.mark(1)
        task.save_top1([file.name for file in files], np.array(found))


class BatchedLoop(Program):
    """Batches, while two threads decode ahead."""

    name = "loop"
    title = f"plain loop, batch {BATCH}"

    def run(self, task: Task) -> None:
        """Keep a few batches of images in the decoding threads and run one after the other."""
        session = open_exactly(task.model, ort.SessionOptions())
        files, found = task.files(), []
        # a few batches ahead, not all images: memory would grow with their number
        for crops in batches_of_crops(files, task.recipe, BATCH, ahead=4):
            values = network_input(crops, task.recipe, task.layout)
            [scores] = session.run([task.output], {task.input: values})
            found.append(scores.reshape(len(crops), -1).argmax(axis=1))
            task.mark(len(crops))
        task.save_top1([file.name for file in files], np.concatenate(found))
