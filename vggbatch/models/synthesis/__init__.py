"""Synthetic models: the structure of the zoo's files with seeded weights, without a download.

A synthetic model has the zoo's node and tensor names, IR version and opset. Its predictions mean
nothing, but they differ from image to image, and its activations have a deviation near 1 in every
layer.
"""

from __future__ import annotations

import onnx

from vggbatch.models.catalog import catalog
from vggbatch.models.synthesis.builder import SyntheticBuilder
from vggbatch.models.synthesis.exporters import caffe2_graph, mxnet_graph
from vggbatch.models.synthesis.quantized import quantized_graph
from vggbatch.models.synthesis.weights import GENERATOR_VERSION

__all__ = ["GENERATOR_VERSION", "synthesize"]


def synthesize(
    name: str, *, seed: int = 0, shrink: int = 1, size: int = 224, classes: int = 1000
) -> onnx.ModelProto:
    """The synthetic model with the structure of a zoo file.

    Args:
        name: zoo name, such as `vgg16-12`.
        seed: other seeds give other weights.
        shrink: divides the width of every layer; 1 is full size, 16 is good for tests.
        size: input height and width, a multiple of 32; 224 in the zoo.
        classes: width of the output.

    Returns:
        A model as the zoo's file has it: batch dimension 1, input float32 [1, 3, size, size].

    Raises:
        ValueError: the size is no multiple of 32.
    """
    entry = catalog()[name]
    if size % 32:
        raise ValueError(f"size must be a multiple of 32, not {size}")
    builder = SyntheticBuilder(entry, seed, shrink, size, classes)
    if entry.quantized:
        return quantized_graph(builder)
    return caffe2_graph(builder) if entry.exporter == "caffe2" else mxnet_graph(builder)
