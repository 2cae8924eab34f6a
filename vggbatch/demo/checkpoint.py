"""Read the tensors of a PyTorch checkpoint in its form before version 1.6, without PyTorch.

Such a file is five pickles (a magic number, a version, the machine's byte order, the state dict,
the keys of its storages) and then, in the order of the keys, each storage's count and numbers.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from vggbatch.demo.state_pickle import Storage, Tensor, load

_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001


def read_checkpoint(data: bytes) -> dict[str, NDArray[Any]]:
    """The tensors of a checkpoint by name, as views of its bytes.

    Raises:
        ValueError: it is no such checkpoint, is damaged, or has anything but named tensors.
    """
    file = io.BytesIO(data)
    if load(file) != _MAGIC or load(file) != _VERSION:
        raise ValueError("no PyTorch checkpoint in the form before version 1.6")
    machine = load(file)
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise ValueError("the checkpoint's numbers are not little-endian")
    tensors = load(file)
    if not isinstance(tensors, dict) or not all(isinstance(t, Tensor) for t in tensors.values()):
        raise ValueError("the checkpoint has something else than tensors")
    storages = _in_order(tensors, load(file))
    numbers = _numbers(data, file.tell(), storages)
    return {name: _part(numbers[t.storage.key], t) for name, t in tensors.items()}


def _in_order(tensors: dict[str, Tensor], keys: Any) -> list[Storage]:
    """The storages of the tensors, as they follow in the file."""
    storages: dict[str, Storage] = {}
    for tensor in tensors.values():
        if storages.setdefault(tensor.storage.key, tensor.storage) != tensor.storage:
            raise ValueError("the checkpoint describes a storage in two ways")
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise ValueError("the checkpoint does not name its storages")
    if len(keys) != len(storages) or set(keys) != set(storages):
        raise ValueError("the checkpoint has other storages than its tensors")
    return [storages[key] for key in keys]


def _numbers(data: bytes, position: int, storages: list[Storage]) -> dict[str, NDArray[Any]]:
    """The numbers of each storage, which must fill the rest of the file."""
    found = {}
    for storage in storages:
        count = int.from_bytes(data[position : position + 8], "little")
        start, dtype = position + 8, np.dtype(storage.dtype)
        position = start + count * dtype.itemsize
        if count != storage.count or position > len(data):
            raise ValueError("the checkpoint has a storage of another size than it says")
        found[storage.key] = np.frombuffer(data, dtype, count, start)
    if position != len(data):
        raise ValueError("the checkpoint continues after its last storage")
    return found


def _part(numbers: NDArray[Any], tensor: Tensor) -> NDArray[Any]:
    """What a tensor has of its storage; that it is inside was checked when it was read."""
    strides = [step * numbers.itemsize for step in tensor.strides]
    return as_strided(numbers[tensor.offset :], tensor.shape, strides, writeable=False)
