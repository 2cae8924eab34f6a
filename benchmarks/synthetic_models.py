"""Print a table of the zoo's models from synthetic models of full size: equality, load time, rate.

    python -m benchmarks.synthetic_models FOLDER [NAME...] [--step prepare|measure]

For each model: the largest difference of the prepared file's scores from the original graph's,
relative to the largest score (onnxruntime runs the original; of opsets below 7, which it does not,
the tests' interpreter in numpy); the seconds to prepare it once and to open it in each classifier;
and the images/s of one thread.

FOLDER keeps the prepared files, 1 GB a model, and the figures: a step that was done is not done
again. To prepare takes a minute of all cores a model; to measure takes seconds and wants a quiet
machine, so the steps can be run apart.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.models import numpy_onnx
from vggbatch.classifier.session import INT8_MICRO_BATCH, MICRO_BATCH, Session, SessionSpec
from vggbatch.config import ModelOptions
from vggbatch.models.catalog import catalog
from vggbatch.models.preparation.prepare import PreparedModel, prepare
from vggbatch.models.resolve import resolve
from vggbatch.models.synthesis import synthesize
from vggbatch.preprocess.profiles import resolve_profile
from vggbatch.preprocess.transform import Normalizer

RUNS = 5


def prepare_step(name: str, folder: Path) -> dict[str, Any]:
    """Prepare a synthetic and prove it equal."""
    clock = time.perf_counter()
    prepared = prepared_synthetic(name, folder)
    seconds = time.perf_counter() - clock
    session, images = opened(name, prepared)
    difference, judge = difference_of(name, prepared, session, images[:1])
    return {"prepare_seconds": seconds, "difference": difference, "judge": judge}


def measure_step(name: str, folder: Path) -> dict[str, Any]:
    """Open a prepared synthetic and run it."""
    prepared = prepared_synthetic(name, folder)
    opened(name, prepared)  # the file is in memory from here on, as on a node at work
    clock = time.perf_counter()
    session, images = opened(name, prepared)
    seconds = time.perf_counter() - clock
    session(images)
    runs = []
    for _ in range(RUNS):
        clock = time.perf_counter()
        session(images)
        runs.append(time.perf_counter() - clock)
    return {"open_seconds": seconds, "rate": len(images) / statistics.median(runs)}


STEPS: dict[str, Callable[[str, Path], dict[str, Any]]] = {
    "prepare": prepare_step,
    "measure": measure_step,
}


def prepared_synthetic(name: str, folder: Path) -> PreparedModel:
    """Its prepared file, made if need be."""
    model = resolve(ModelOptions(name=f"{name}@synthetic"))
    return prepare(model, cache_dir=str(folder / "cache"))


def opened(name: str, prepared: PreparedModel) -> tuple[Session, NDArray[np.float32]]:
    """It as a classifier of one thread opens it, and a micro-batch of images of noise."""
    batch = INT8_MICRO_BATCH if prepared.quantized else MICRO_BATCH
    spec = SessionSpec(
        str(prepared.path), prepared.input, prepared.outputs, "NCHW", False, True, batch
    )
    _, profile = resolve_profile(resolve(ModelOptions(name=f"{name}@synthetic")).preprocess)
    pixels = np.random.default_rng(0).integers(0, 256, (batch, 224, 224, 3), np.uint8)
    return Session(spec, threads=1), Normalizer(profile)(pixels)


def difference_of(
    name: str, prepared: PreparedModel, session: Session, image: NDArray[np.float32]
) -> tuple[float, str]:
    """The largest difference from the original's scores, relative, and what ran the original."""
    scores, _ = session(image)
    largest = float(np.abs(scores).max())
    if prepared.max_difference is not None:
        return prepared.max_difference / largest, "onnxruntime"
    expected = numpy_onnx.run(synthesize(name), image)
    return float(np.abs(expected.reshape(scores.shape) - scores).max()) / largest, "numpy"


def line(name: str, found: dict[str, Any]) -> str:
    """A line of the table; a dash for what was not measured yet."""

    def cell(figure: str, form: str) -> str:
        return format(found[figure], form) if figure in found else "-"

    difference = f"{cell('difference', '.1e')} ({found.get('judge', '-')})"
    cells = [name, str(catalog()[name].opset), difference, cell("prepare_seconds", ".0f")]
    cells += [cell("open_seconds", ".2f"), cell("rate", ".1f")]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Do the steps that are left, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("names", nargs="*", default=list(catalog()), metavar="NAME")
    parser.add_argument("--step", choices=list(STEPS), help="Do only this one.")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for name in options.names:
        kept = options.folder / f"{name}.json"
        found = json.loads(kept.read_text()) if kept.exists() else {}
        for step in [options.step] if options.step else STEPS:
            if step not in found.get("done", []):
                figures = STEPS[step](name, options.folder)
                found = {**found, **figures, "done": [*found.get("done", []), step]}
                kept.write_text(json.dumps(found, indent=1))
        lines.append(line(name, found))
    print("| model | opset | difference | prepare s | open s | images/s |")
    print("| --- | --- | --- | --- | --- | --- |")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
