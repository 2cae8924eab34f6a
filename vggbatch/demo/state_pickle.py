"""Read the pickle of a PyTorch state dict without running it.

A pickle is a program, and Python's unpickler does what it says. Here its instructions are read one
by one, and of about eighty only those are followed that put strings, numbers, tuples, lists and
dicts together. The names of functions in it stay names: four are known, none is looked up.
"""

from __future__ import annotations

import math
import pickletools
from dataclasses import dataclass
from typing import Any, BinaryIO

_MAX_NUMBER = 2**40
"""Of a size, an offset or a stride."""


@dataclass(frozen=True)
class Storage:
    """A named run of numbers, which follows after the pickles."""

    key: str
    dtype: str
    """As numpy writes it."""
    count: int


@dataclass(frozen=True)
class Tensor:
    """A part of a storage, inside it."""

    storage: Storage
    offset: int
    """Like the strides, in numbers, not bytes."""
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class _Name:
    """A class or function that a pickle names; nothing but that name."""

    name: str


_DICT = _Name("collections OrderedDict")
_TENSOR = _Name("torch._utils _rebuild_tensor_v2")
_DTYPES = {_Name("torch FloatStorage"): "<f4", _Name("torch LongStorage"): "<i8"}
_KNOWN = {_DICT, _TENSOR, *_DTYPES}


def load(file: BinaryIO) -> Any:
    """The value of the pickle that begins where a file is read next.

    Returns:
        Strings, numbers, tuples, lists, dicts and `Tensor`; the file stands behind the pickle.

    Raises:
        ValueError: it is damaged, or has anything that a state dict does not need.
    """
    machine = _Machine()
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name == "STOP":
            return machine.result()
        machine.step(opcode.name, argument)
    raise ValueError("the pickle has no end")


class _Machine:
    """The values that a pickle has put together so far."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def result(self) -> Any:
        """The one value that is left."""
        if len(self.stack) != 1 or self.marks:
            raise ValueError("the pickle ends with several values, or none")
        return self.stack[0]

    def step(self, name: str, argument: Any) -> None:
        """Follow one instruction."""
        match name:
            case "PROTO":
                pass
            case "MARK":
                self.marks.append(len(self.stack))
            case "BINUNICODE" | "BININT" | "BININT1" | "BININT2" | "LONG1":
                self.stack.append(argument)
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                self.stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[name])
            case "EMPTY_DICT" | "EMPTY_LIST" | "EMPTY_TUPLE":
                self.stack.append({"EMPTY_DICT": {}, "EMPTY_LIST": [], "EMPTY_TUPLE": ()}[name])
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                self.stack.append(tuple(self._pop(int(name[-1]))))
            case "TUPLE":
                self.stack.append(tuple(self._since_mark()))
            case "APPENDS":
                values = self._since_mark()
                self._top(list).extend(values)
            case "SETITEM":
                self._set_items(self._pop(2))
            case "SETITEMS":
                self._set_items(self._since_mark())
            case "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = self._top(object)
            case "BINGET" | "LONG_BINGET":
                if argument not in self.memo:
                    raise ValueError("the pickle refers to a value that it does not have")
                self.stack.append(self.memo[argument])
            case "GLOBAL":
                if _Name(argument) not in _KNOWN:
                    raise ValueError(f"the pickle names {argument[:100]!r}, no part of a tensor")
                self.stack.append(_Name(argument))
            case "REDUCE":
                self.stack.append(_made(*self._pop(2)))
            case "BINPERSID":
                self.stack.append(_storage(*self._pop(1)))
            case "BUILD":
                # attributes of a dict: what PyTorch notes on the versions of its layers
                self._pop(1)
                self._top(dict)
            case _:
                raise ValueError(f"the pickle has {name}, which a state dict does not need")

    def _pop(self, count: int) -> list[Any]:
        """Take the last values; those before a mark belong to something else."""
        start = len(self.stack) - count
        if start < (self.marks[-1] if self.marks else 0):
            raise ValueError("the pickle lacks a value")
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def _since_mark(self) -> list[Any]:
        if not self.marks:
            raise ValueError("the pickle lacks a mark")
        values = self._pop(len(self.stack) - self.marks[-1])
        self.marks.pop()
        return values

    def _top(self, kind: type) -> Any:
        [value] = self._pop(1)
        if not isinstance(value, kind):
            raise ValueError(f"the pickle treats a {type(value).__name__} as a {kind.__name__}")
        self.stack.append(value)
        return value

    def _set_items(self, values: list[Any]) -> None:
        keys = values[::2]
        if len(values) % 2 or not all(isinstance(key, str) for key in keys):
            raise ValueError("the pickle has a dict whose keys are not names")
        self._top(dict).update(zip(keys, values[1::2], strict=True))


def _made(function: Any, arguments: Any) -> Any:
    """What a call makes, of the two that are known."""
    if function == _DICT and arguments == ():
        return {}
    if function == _TENSOR and isinstance(arguments, tuple) and len(arguments) == 6:
        return _tensor(*arguments[:4])
    raise ValueError("the pickle calls what makes neither a dict nor a tensor")


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any) -> Tensor:
    if not isinstance(storage, Storage) or not _are_sizes((offset,)):
        raise ValueError("the pickle has a tensor without numbers")
    if not (_are_sizes(shape) and _are_sizes(strides) and len(shape) == len(strides)):
        raise ValueError("the pickle has a tensor without a shape")
    reach = sum((size - 1) * step for size, step in zip(shape, strides, strict=True))
    if 0 in shape or offset + reach >= storage.count or math.prod(shape) > storage.count:
        raise ValueError("the pickle has a tensor that is empty or larger than its storage")
    return Tensor(storage, offset, shape, strides)


def _storage(identity: Any) -> Storage:
    match identity:
        case ("storage", _Name() as kind, str() as key, str(), int() as count, None) if (
            kind in _DTYPES and _are_sizes((count,))
        ):
            return Storage(key, _DTYPES[kind], count)
    raise ValueError("the pickle has a storage of an unknown kind")


def _are_sizes(values: Any) -> bool:
    """Whether these are a few whole numbers of a plausible size."""
    return (
        isinstance(values, tuple)
        and len(values) <= 8
        and all(type(value) is int and 0 <= value <= _MAX_NUMBER for value in values)
    )
