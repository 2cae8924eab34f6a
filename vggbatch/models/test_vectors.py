"""Run the zoo's test vectors: inputs with the outputs that the model gave where it was exported."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from vggbatch.bounded import open_regular
from vggbatch.errors import UsageError
from vggbatch.models.graphs.runtime import open_network
from vggbatch.models.preparation.prepare import PreparedModel

TOLERANCE = 1e-3
"""Of the largest score: the relative tolerance of ONNX's own backend tests."""
INT8_TOLERANCE = 5e-2
"""Of the largest score: integer kernels round differently from one instruction set to the next."""
LARGEST_VECTOR = 64 * 2**20
"""Bytes. The zoo's are 600 kB; nothing larger is read out of an archive."""
_VECTOR = re.compile(r"(?:^|/)(test_data_set_\d+|test_data_\d+)/(input|output)_0\.pb$")


@dataclass(frozen=True)
class VectorResult:
    """How one test vector came out."""

    name: str
    max_difference: float
    """From the expected scores, absolute."""
    allowed: float
    """The largest difference that passes."""

    @property
    def passed(self) -> bool:
        """Whether the scores agree; a NaN never does."""
        return self.max_difference <= self.allowed


def verify(prepared: PreparedModel, vectors: Path) -> list[VectorResult]:
    """Compare a prepared model with test vectors, one result a vector, sorted by name.

    Args:
        prepared: takes float32, as `prepare` makes it without `normalize`.
        vectors: the zoo's .tar.gz, or a folder, with test_data_set_N/{input,output}_0.pb. An
            archive is read in place: nothing is unpacked.

    Raises:
        UsageError: no vectors are in it, it is damaged, or they do not fit the model.
    """
    session = open_network(prepared.path, optimize=not prepared.optimized, checked=True)
    results = []
    for name, given, expected in _vectors(vectors):
        try:
            # a network of a fixed batch gets the vector as often as it needs
            whole = np.repeat(given, prepared.batch, axis=0) if prepared.batch else given
            scores = session.run([prepared.outputs[0]], {prepared.input: whole})[0][: len(given)]
        except Exception as error:
            reason = " ".join(str(error).split())
            raise UsageError(f"{name} of {vectors} does not fit the model: {reason}") from None
        if scores.size != expected.size:
            raise UsageError(
                f"{name} of {vectors} expects {expected.size} scores; the model has {scores.size}"
            )
        flat = expected.reshape(scores.shape)
        allowed = (INT8_TOLERANCE if prepared.quantized else TOLERANCE) * float(np.abs(flat).max())
        results.append(VectorResult(name, float(np.abs(scores - flat).max()), allowed))
    return results


def _vectors(where: Path) -> Iterator[tuple[str, NDArray[np.float32], NDArray[np.float32]]]:
    found: dict[str, dict[str, NDArray[np.float32]]] = {}
    for path, data in _files(where):
        match = _VECTOR.search(path)
        if match is None:
            continue
        try:
            value = numpy_helper.to_array(onnx.TensorProto.FromString(data))
        except Exception as error:
            raise UsageError(f"{path} of {where} is no tensor ({type(error).__name__})") from None
        found.setdefault(match[1], {})[match[2]] = value
    if not found:
        raise UsageError(f"{where} has no test vectors (test_data_set_N/input_0.pb, output_0.pb)")
    for name, pair in sorted(found.items()):
        if set(pair) != {"input", "output"}:
            raise UsageError(f"{name} of {where} lacks its input_0.pb or output_0.pb")
        yield name, pair["input"], pair["output"]


def _files(where: Path) -> Iterator[tuple[str, bytes]]:
    """Paths and contents of the vector files in a folder or an archive."""
    if where.is_dir():
        for path in sorted(where.rglob("*_0.pb")):
            name = path.relative_to(where.parent).as_posix()
            try:
                with open_regular(path) as vector:
                    data = vector.read(LARGEST_VECTOR + 1)
            except OSError as error:
                raise UsageError(f"cannot read {name}: {error.strerror or error}") from None
            if len(data) > LARGEST_VECTOR:
                raise UsageError(f"{name} has more than {LARGEST_VECTOR >> 20} MiB")
            yield name, data
        return
    try:
        with open_regular(where) as file, tarfile.open(fileobj=file, mode="r|*") as archive:
            for member in archive:
                wanted = member.isfile() and member.size <= LARGEST_VECTOR
                found = (
                    archive.extractfile(member) if wanted and _VECTOR.search(member.name) else None
                )
                if found is not None:
                    yield member.name, found.read()
    except FileNotFoundError:
        raise UsageError(f"no test vectors at {where}") from None
    except (tarfile.TarError, EOFError, OSError) as error:
        raise UsageError(f"{where} is damaged or no archive: {error}") from None
