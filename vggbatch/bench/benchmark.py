"""The benchmark as one call, of the command and of Python."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from vggbatch.bench.bench import Settings, bench
from vggbatch.bench.registry import choose
from vggbatch.bench.render import WIDTH, render
from vggbatch.bench.summary import Summary
from vggbatch.config import Input, JobOptions, Location, job_config
from vggbatch.preprocess.pillow_globals import kept_globals

if TYPE_CHECKING:
    from typing import Unpack

OUTPUT = "bench-output"
DEMO_MODEL = "vgg16-12@synthetic"
_DEMO_IMAGES = 40


@kept_globals()
def benchmark(
    input: Input = (),
    *,
    models: Sequence[Location] = (),
    images: int | None = None,
    rounds: int = 3,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    score_settings: Sequence[str] = (),
    on_progress: Callable[[str], None] | None = None,
    **options: Unpack[JobOptions],
) -> Summary:
    """Measure vggbatch beside bare onnxruntime, plain loops, Ray Data, Daft, and the limit.

    All read the same images, one after the other, in rounds; each in processes of its own. Repeat a
    call that was interrupted and it continues. It writes bench.json, bench.parquet and bench.txt.

    Args:
        input: images, as `score` takes them; none: the photographs that come with vggbatch.
        models: networks, as `score` takes them; none: `model`, or without an input one of random
            weights.
        images: how many to score; the input is repeated under other names.
        rounds: over all systems.
        only: systems to run.
        skip: systems to leave out.
        score_settings: `key=value` pairs for vggbatch itself, as `score --set` takes them.
        on_progress: called with a line for everything that happens.
        **options: settings of a job, of which `output`, `model`, `select`, `compute` with its
            `address`, `cache_dir` and `mirrors` count.

    Raises:
        UsageError: no such input, model or system, or the output holds another benchmark.
        VggbatchError: onnxruntime cannot run a network, or no cluster answers.
    """
    job = job_config(input, options)
    chosen = choose(only, skip)
    folder = Path(job.output or OUTPUT)
    named = tuple(os.fspath(model) for model in models)
    with as_file(files("vggbatch") / "demo" / "images") as demo:
        summary = bench(
            Settings(
                inputs=job.input or (str(demo),),
                models=named or (job.model.name if job.input else DEMO_MODEL,),
                images=images or (None if job.input else _DEMO_IMAGES),
                rounds=rounds,
                systems=tuple(chosen),
                score_settings=tuple(score_settings),
                select=None if job.select.everything else job.select.model_dump(),
                address=job.compute.address,
            ),
            job,
            folder,
            on_progress or (lambda line: None),
        )
    with (folder / "bench.txt").open("w") as file:
        Console(file=file, width=WIDTH).print(render(summary))
    return summary
