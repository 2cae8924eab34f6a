"""OpenVINO, which reads the ONNX file itself and keeps several requests in flight."""

from __future__ import annotations

from typing import Any

import numpy as np

from vggbatch.bench.plain import batches_of_crops, network_input
from vggbatch.bench.systems.base import Program
from vggbatch.bench.task import Task

BATCH = 4


class OpenVINO(Program):
    """OpenVINO's throughput mode with decoding threads before it."""

    name = "openvino"
    title = "OpenVINO"
    package = "openvino"
    install = "pip install openvino"

    def run(self, task: Task) -> None:
        """Decode in threads, hand batches to the queue of requests."""
        import openvino

        core = openvino.Core()
        # its default computes an fp32 network in bfloat16 where the processor can
        options = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": "f32"}
        compiled = core.compile_model(task.model, "CPU", options)
        files = task.files()
        found = np.full(len(files), -1)
        queue = openvino.AsyncInferQueue(compiled)

        def done(request: Any, first: int) -> None:
            scores = request.get_output_tensor(0).data
            found[first : first + len(scores)] = scores.reshape(len(scores), -1).argmax(axis=1)
            task.mark(len(scores))

        queue.set_callback(done)
        first = 0
        for crops in batches_of_crops(files, task.recipe, BATCH, ahead=8):
            queue.start_async({task.input: network_input(crops, task.recipe, task.layout)}, first)
            first += len(crops)
        queue.wait_all()
        task.save_top1([file.name for file in files], found)
