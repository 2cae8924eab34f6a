"""PyTorch: the same weights in torch.nn modules, a DataLoader with workers before them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from vggbatch.bench.plain import crop_of, network_input
from vggbatch.bench.systems.base import Program
from vggbatch.bench.task import Task

BATCH = 16


class Torch(Program):
    """PyTorch in inference mode; plain chains such as the VGG family, in fp32."""

    name = "torch"
    title = "PyTorch"
    package = "torch"
    install = "pip install torch"

    def unfit(self, task: Task) -> str | None:
        """Networks that are no plain chain of a VGG's layers."""
        graph = onnx.load(task.model, load_external_data=False).graph
        foreign = {node.op_type for node in graph.node} - _LAYERS.keys()
        if foreign or task.layout != "NCHW":
            return f"no plain chain of layers ({', '.join(sorted(foreign)) or task.layout})"
        return None

    def run(self, task: Task) -> None:
        """Score the images in the order of their names."""
        import torch
        from torch.utils.data import DataLoader

        torch.set_num_threads(task.cores)
        network = to_torch(onnx.load(task.model)).eval()
        files = task.files()
        dataset: Any = _Images(task)
        loader = DataLoader(dataset, batch_size=BATCH, num_workers=task.cores)
        found = []
        with torch.inference_mode():
            for values in loader:
                found.append(network(values).argmax(dim=1).numpy())
                task.mark(len(values))
        task.save_top1([file.name for file in files], np.concatenate(found))


class _Images:
    """A map-style dataset."""

    def __init__(self, task: Task) -> None:
        self.task, self.files = task, task.files()

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, number: int) -> Any:
        crop = crop_of(self.files[number], self.task.recipe)
        return network_input(crop[None], self.task.recipe, self.task.layout)[0]


def to_torch(model: onnx.ModelProto) -> Any:
    """The chain of layers as torch.nn.Sequential, with the file's weights."""
    import torch

    weights = {
        tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy())
        for tensor in model.graph.initializer
    }
    return torch.nn.Sequential(*_layers(model.graph, weights))


def _layers(graph: onnx.GraphProto, weights: dict[str, Any]) -> Iterator[Any]:
    for node in graph.node:
        options = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        given = [weights[name] for name in node.input if name in weights]
        layer = _LAYERS[node.op_type](options, given)
        if layer is not None:
            yield layer


def _conv(options: dict[str, Any], weights: list[Any]) -> Any:
    import torch

    weight = weights[0]
    layer = torch.nn.Conv2d(
        weight.shape[1] * options.get("group", 1),
        weight.shape[0],
        tuple(weight.shape[2:]),
        stride=tuple(options.get("strides", (1, 1))),
        padding=tuple(options.get("pads", (0, 0, 0, 0))[:2]),
        groups=options.get("group", 1),
        bias=len(weights) > 1,
    )
    return _filled(layer, weights)


def _gemm(options: dict[str, Any], weights: list[Any]) -> Any:
    import torch

    weight = weights[0] if options.get("transB") else weights[0].T
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=len(weights) > 1)
    return _filled(layer, [weight, *weights[1:]])


def _filled(layer: Any, weights: list[Any]) -> Any:
    import torch

    with torch.no_grad():
        for parameter, value in zip(layer.parameters(), weights, strict=True):
            parameter.copy_(value)
    return layer


def _norm(options: dict[str, Any], weights: list[Any]) -> Any:
    import torch

    layer = torch.nn.BatchNorm2d(len(weights[0]), eps=options.get("epsilon", 1e-5))
    layer.running_mean, layer.running_var = weights[2], weights[3]
    return _filled(layer, weights[:2])


def _pool(options: dict[str, Any], weights: list[Any]) -> Any:
    import torch

    del weights
    return torch.nn.MaxPool2d(
        tuple(options["kernel_shape"]),
        stride=tuple(options.get("strides", (1, 1))),
        padding=tuple(options.get("pads", (0, 0, 0, 0))[:2]),
    )


def _average(options: dict[str, Any], weights: list[Any]) -> Any:
    import torch

    del weights
    return torch.nn.AvgPool2d(
        tuple(options["kernel_shape"]), stride=tuple(options.get("strides", (1, 1)))
    )


def _module(name: str) -> Callable[[dict[str, Any], list[Any]], Any]:
    def make(options: dict[str, Any], weights: list[Any]) -> Any:
        import torch

        del options, weights
        return getattr(torch.nn, name)()

    return make


def _nothing(options: dict[str, Any], weights: list[Any]) -> None:
    del options, weights


_LAYERS: dict[str, Callable[[dict[str, Any], list[Any]], Any]] = {
    "Conv": _conv,
    "Gemm": _gemm,
    "BatchNormalization": _norm,
    "MaxPool": _pool,
    "AveragePool": _average,
    "Relu": _module("ReLU"),
    "Flatten": _module("Flatten"),
    # the graph's only use of it is to flatten before the first dense layer
    "Reshape": _module("Flatten"),
    "Dropout": _nothing,
    "Identity": _nothing,
    # keeps the order of the scores
    "Softmax": _nothing,
}
