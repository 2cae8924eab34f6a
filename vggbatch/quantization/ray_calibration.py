"""Calibration by tasks of a Ray cluster: each looks at some of the images; the sums are exact."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import ray
from numpy.typing import NDArray

from vggbatch.errors import VggbatchError
from vggbatch.executors.ray_data.model_broadcast import blocks_of
from vggbatch.quantization.calibration import BATCH, Histograms, LocalObserver, Normalize, Ranges
from vggbatch.versions import check_versions, result_versions

_Seen = TypeVar("_Seen", Ranges, Histograms)


@dataclass(frozen=True)
class _Network:
    blocks: list[Any]
    """Of the ONNX file, as references into the object store."""
    input: str
    normalize: Normalize
    threads: int


class ClusterObserver:
    """Has the network run by tasks; their sums are those of one process, to the last bit.

    Each task takes whole batches, for a batch of another size may round otherwise.

    Args:
        graph: fp32 ONNX file of this machine; reaches the nodes through the object store.
        name: the network's input.
        normalize: makes the input of images.
        node_cpus: logical CPUs of the nodes.
    """

    def __init__(
        self,
        graph: Path,
        name: str,
        normalize: Normalize,
        *,
        node_cpus: Sequence[float],
    ) -> None:
        usable = [int(cpus) for cpus in node_cpus if cpus >= 1]
        # one process a node where they are alike: each holds all weights
        self._threads = min(usable, default=1)
        self._tasks = sum(cpus // self._threads for cpus in usable) or 1
        self._network = _Network(blocks_of(graph), name, normalize, self._threads)
        self._versions = result_versions()

    def ranges(self, images: NDArray[np.uint8]) -> Ranges:
        """As models.calibration.Observer has it.

        Raises:
            VggbatchError: a node has other versions, or a task failed.
        """
        parts = self._each(images, lambda observer, part: observer.ranges(part))
        return sum(parts[1:], parts[0])

    def histograms(self, images: NDArray[np.uint8], ranges: Ranges, bins: int) -> Histograms:
        """As models.calibration.Observer has it."""
        parts = self._each(images, lambda observer, part: observer.histograms(part, ranges, bins))
        return sum(parts[1:], parts[0])

    def _each(
        self,
        images: NDArray[np.uint8],
        look: Callable[[LocalObserver, NDArray[np.uint8]], _Seen],
    ) -> list[_Seen]:
        """What tasks see of their parts of the images."""
        batches = -(-len(images) // BATCH)
        cuts = np.linspace(0, batches, min(self._tasks, batches) + 1).astype(int) * BATCH
        remote: Any = ray.remote  # its types know no generic function
        task = remote(_look).options(num_cpus=self._threads)
        running = [
            task.remote(self._network, self._versions, images[start:end], look)
            for start, end in itertools.pairwise(cuts)
        ]
        try:
            found: list[_Seen] = ray.get(running)
        except ray.exceptions.RayError as error:
            reason = getattr(error, "cause", None) or error
            line = str(reason).strip().splitlines()[-1]
            raise VggbatchError(f"calibration failed on the cluster: {line}") from None
        return found


def _look(
    network: _Network,
    versions: Mapping[str, str],
    images: NDArray[np.uint8],
    look: Callable[[LocalObserver, NDArray[np.uint8]], _Seen],
) -> _Seen:
    check_versions(versions)
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "network.onnx"
        with graph.open("wb") as file:
            for block in network.blocks:
                file.write(ray.get(block))
        observer = LocalObserver(graph, network.input, network.normalize, network.threads)
        return look(observer, images)
