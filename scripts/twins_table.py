"""Print a table of the zoo's models from full-size twins made here: equality, load time, rate.

    python scripts/twins_table.py [NAME...] [--cache-dir FOLDER]

For each model: the largest difference of the prepared file's scores from the original graph's,
relative to the largest score (onnxruntime runs the original; of opsets below 7, which it does not,
the tests' interpreter in numpy); the seconds to prepare it once and to open it in each classifier;
and the images/s of one thread. It takes about a minute a model and 2 GB of disk, which it gives
back; with --cache-dir the prepared files stay, and a second run measures at once.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from vggbatch.classifier.session import INT8_MICRO_BATCH, MICRO_BATCH, Session, SessionSpec
from vggbatch.config import ModelOptions
from vggbatch.models import catalog, prepare, resolve, synthesize
from vggbatch.models.prepare import PreparedModel
from vggbatch.preprocess.profiles import resolve_profile
from vggbatch.preprocess.transform import Normaliser

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.models import numpy_onnx

RUNS = 5


def row(name: str, cache_dir: str) -> list[str]:
    """One model's figures."""
    model = resolve(ModelOptions(name=f"{name}@synthetic"))
    clock = time.perf_counter()
    prepared = prepare(model, cache_dir=cache_dir)
    preparing = time.perf_counter() - clock
    clock = time.perf_counter()
    batch = INT8_MICRO_BATCH if prepared.quantized else MICRO_BATCH
    spec = SessionSpec(
        str(prepared.path), prepared.input, prepared.outputs, "NCHW", False, True, batch
    )
    session = Session(spec, threads=1)
    opening = time.perf_counter() - clock
    _, profile = resolve_profile(model.preprocess)
    pixels = np.random.default_rng(0).integers(0, 256, (batch, 224, 224, 3), np.uint8)
    images = Normaliser(profile)(pixels)
    session(images)
    seconds = []
    for _ in range(RUNS):
        clock = time.perf_counter()
        session(images)
        seconds.append(time.perf_counter() - clock)
    difference, judge = difference_of(name, prepared, session, images[:1])
    return [
        name,
        str(catalog()[name].opset),
        f"{difference:.1e} ({judge})",
        f"{preparing:.0f}",
        f"{opening:.2f}",
        f"{batch / statistics.median(seconds):.1f}",
    ]


def difference_of(
    name: str, prepared: PreparedModel, session: Session, image: np.ndarray
) -> tuple[float, str]:
    """The largest difference from the original's scores, relative, and what ran the original."""
    scores, _ = session(image)
    largest = float(np.abs(scores).max())
    if prepared.max_difference is not None:
        return prepared.max_difference / largest, "onnxruntime"
    expected = numpy_onnx.run(synthesize(name), image)
    return float(np.abs(expected.reshape(scores.shape) - scores).max()) / largest, "numpy"


def main() -> None:
    """Print the table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(catalog()), metavar="NAME")
    parser.add_argument("--cache-dir")
    options = parser.parse_args()
    print("| model | opset | difference | prepare s | open s | images/s |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in options.names:
        with tempfile.TemporaryDirectory() as folder:
            cells = row(name, options.cache_dir or folder)
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
