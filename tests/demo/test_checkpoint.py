"""Checkpoints in PyTorch's old form, and everything else that a pickle can be."""

import builtins
import collections
import io
import os
import pickle
import pickletools
import struct
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vggbatch.demo.checkpoint import read_checkpoint
from vggbatch.demo.state_pickle import load

MAGIC = 0x1950A86A20F9469CFC6C


def name(module, attribute):
    """What pickle writes for a class or function of a module that need not be here."""
    return f"c{module}\n{attribute}\n".encode()


def put(value):
    """The instructions that put a plain value together, without those around a pickle."""
    return pickle.dumps(value, 2)[2:-1]


def tensor(key, shape, strides=None, *, offset=0, count=None, kind=b"FloatStorage"):
    """The instructions of a tensor, as PyTorch 1.5 writes them."""
    size = int(np.prod(shape))
    dense = tuple(int(np.prod(shape[axis + 1 :])) for axis in range(len(shape)))
    identity = b"(" + put("storage") + name("torch", kind.decode()) + put(key) + put("cpu")
    identity += put(size if count is None else count) + b"Nt"
    rest = put(offset) + put(tuple(shape)) + put(strides or dense) + b"\x89"
    hooks = name("collections", "OrderedDict") + b")R"
    return (
        name("torch._utils", "_rebuild_tensor_v2") + b"(" + identity + b"Q" + rest + hooks + b"tR"
    )


def state(**tensors):
    """The pickle of a state dict with tensors."""
    items = b"".join(put(key) + value for key, value in tensors.items())
    notes = b"}" + put("_metadata") + name("collections", "OrderedDict") + b")Rsb"
    return b"\x80\x02" + name("collections", "OrderedDict") + b")R(" + items + b"u" + notes + b"."


def checkpoint(pickled, storages, *, magic=MAGIC, version=1001, machine=None, keys=None):
    """A whole file."""
    machine = {"little_endian": True} if machine is None else machine
    parts = [pickle.dumps(part, 2) for part in (magic, version, machine)]
    parts += [pickled, pickle.dumps(list(storages) if keys is None else keys, 2)]
    parts += [struct.pack("<q", len(array)) + array.tobytes() for array in storages.values()]
    return b"".join(parts)


NUMBERS = np.arange(12, dtype="<f4")


def test_tensors_are_read_with_their_shape_and_strides():
    pickled = state(
        dense=tensor("1", (3, 4)),
        turned=tensor("1", (4, 3), (1, 4)),
        part=tensor("1", (2,), offset=10, count=12),
        one=tensor("2", (), kind=b"LongStorage"),
    )
    found = read_checkpoint(checkpoint(pickled, {"2": np.array([7], "<i8"), "1": NUMBERS}))
    np.testing.assert_array_equal(found["dense"], NUMBERS.reshape(3, 4))
    np.testing.assert_array_equal(found["turned"], NUMBERS.reshape(3, 4).T)
    np.testing.assert_array_equal(found["part"], [10, 11])
    assert (found["one"], found["one"].dtype) == (7, np.int64)


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"PK\x03\x04",
        checkpoint(state(), {}, magic=1),
        checkpoint(state(), {}, version=1002),
        checkpoint(state(), {}, machine={"little_endian": False}),
        checkpoint(state(), {}, machine=[]),
        checkpoint(pickle.dumps([1], 2), {}),
        checkpoint(pickle.dumps({"a": 1}, 2), {}),
        checkpoint(state(a=tensor("1", (12,))), {"1": NUMBERS})[:-1],
        checkpoint(state(a=tensor("1", (12,))), {"1": NUMBERS}) + b"\0",
        checkpoint(state(a=tensor("1", (12,))), {"1": NUMBERS[:11]}),
        checkpoint(state(a=tensor("1", (12,))), {"1": NUMBERS}, keys=["2"]),
        checkpoint(state(a=tensor("1", (12,))), {"1": NUMBERS}, keys=["1", "1"]),
        checkpoint(state(a=tensor("1", (12,))), {"1": NUMBERS}, keys=[1]),
        checkpoint(state(a=tensor("1", (12,))), {"1": NUMBERS}, keys={}),
        checkpoint(state(a=tensor("1", (12,)), b=tensor("1", (2,))), {"1": NUMBERS}),
        checkpoint(state(a=tensor("1", (12,), kind=b"HalfStorage")), {"1": NUMBERS}),
        checkpoint(state(a=tensor("1", (13,), count=12)), {"1": NUMBERS}),
        checkpoint(state(a=tensor("1", (3, 4), (5, 1), count=12)), {"1": NUMBERS}),
        checkpoint(state(a=tensor("1", (12,), offset=1)), {"1": NUMBERS}),
        checkpoint(state(a=tensor("1", (12,), offset=-1)), {"1": NUMBERS}),
        checkpoint(state(a=tensor("1", (3, 4), (-4, 1))), {"1": NUMBERS}),
        checkpoint(state(a=tensor("1", (2**30, 2**30), (0, 0), count=12)), {"1": NUMBERS}),
        checkpoint(state(a=tensor("1", (12,), count=2**62)), {"1": NUMBERS}),
        checkpoint(state(a=tensor("1", (True,))), {"1": NUMBERS[:1]}),
    ],
)
def test_what_is_no_such_checkpoint_is_refused(damaged):
    with pytest.raises(ValueError):
        read_checkpoint(damaged)


class Calls:
    """Unpickled, it calls a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


CALLS = [
    (os.system, "touch {}"),
    (builtins.eval, "open({!r}, 'w')"),
    (builtins.exec, "open({!r}, 'w')"),
    (subprocess.check_call, ["touch", "{}"]),
    (builtins.open, "{}", "w"),
    (os.mkdir, "{}"),
    (builtins.getattr, os, "system"),
    (builtins.__import__, "antigravity"),
    (pickle.loads, b"N."),
    (collections.OrderedDict, [("a", 1)]),
    (sys.exit, 3),
]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call[0].__qualname__)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_calls_something_is_refused_and_calls_nothing(call, protocol, tmp_path):
    target = str(tmp_path / "done")

    def aimed(argument):
        if isinstance(argument, list):
            return [aimed(part) for part in argument]
        return argument.format(target) if isinstance(argument, str) else argument

    function, *arguments = call
    if arguments[0] is os:
        arguments = ["os", *arguments[1:]]  # a module cannot be pickled
    hostile = pickle.dumps({"a": Calls(function, *map(aimed, arguments))}, protocol)
    with pytest.raises(ValueError):
        load(io.BytesIO(hostile))
    with pytest.raises(ValueError):
        read_checkpoint(checkpoint(hostile, {}))
    assert not os.path.exists(target)


INSTRUCTIONS = [
    bytes([ord(opcode.code)]) for opcode in pickletools.opcodes if opcode.code not in "."
]
PIECES = [
    *INSTRUCTIONS,
    *map(put, ("a", 1, -1, 2**31, (), (1, 2), {"a": 1}, [1], None, True)),
    name("os", "system"),
    name("builtins", "eval"),
    name("collections", "OrderedDict"),
    name("torch._utils", "_rebuild_tensor_v2"),
    name("torch", "FloatStorage"),
    tensor("1", (2,)),
    b"q\x00",
    b"h\x00",
]


@given(st.lists(st.sampled_from(PIECES), max_size=12))
def test_any_instructions_end_in_a_plain_value_or_a_refusal(pieces):
    try:
        value = load(io.BytesIO(b"\x80\x02" + b"".join(pieces) + b"."))
    except ValueError:
        return
    assert not callable(value)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(data):
    with pytest.raises(ValueError):
        read_checkpoint(data)


def test_values_that_hold_themselves_many_times_end():
    """Thirty tuples of the one before twice, and a list in itself: small, if nobody walks them."""
    doubling = b"\x80\x02)" + b"".join(b"q%ch%c\x86" % (n, n) for n in range(30)) + b"."
    assert isinstance(load(io.BytesIO(doubling)), tuple)
    with pytest.raises(ValueError, match="not names"):
        load(io.BytesIO(b"\x80\x02}" + doubling[2:-1] + b"Ns."))
    looped = load(io.BytesIO(b"\x80\x02]q\x00(h\x00e."))
    assert looped[0] is looped
