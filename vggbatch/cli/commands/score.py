"""The commands that run the pipeline: score and evaluate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vggbatch.cli import console
from vggbatch.cli.job_command import job_command

if TYPE_CHECKING:
    from vggbatch.api.jobs import Scored
    from vggbatch.config import JobConfig
    from vggbatch.executors.base import Executor
    from vggbatch.job.job import Job


def run_score(config: JobConfig) -> Scored:
    """Write the top-5 predictions of images to Parquet.

    Repeat a command that was interrupted and it continues where it stopped.
    """
    with console.interruptible(), _entered(config) as executor, console.progress() as on_progress:
        # only here: beside what the executor has begun
        from vggbatch import api

        scored = api.score(config, on_progress=on_progress, announce=announce, executor=executor)
    console.result(scored.to_json(), lambda: summarize(scored))
    _warn_of_result(scored)
    return scored


def run_evaluate(config: JobConfig) -> Scored:
    """Score labeled images, and write the metrics beside the predictions."""
    with console.interruptible(), _entered(config) as executor, console.progress() as on_progress:
        # only here: beside what the executor has begun
        from vggbatch import api
        from vggbatch.cli.tables import render, render_profiles

        scored = api.evaluate(config, on_progress=on_progress, announce=announce, executor=executor)
    evaluation = scored.evaluation
    assert evaluation is not None

    def show() -> None:
        several = len(scored.evaluations) > 1
        console.out.print(render_profiles(scored.evaluations) if several else render(evaluation))
        console.out.print()
        summarize(scored)

    console.result(scored.to_json(), show)
    _warn_of_result(scored)
    return scored


@contextmanager
def _entered(config: JobConfig) -> Iterator[Executor]:
    """The executor, which begins what takes long, in a process that does nothing else."""
    from vggbatch.executors.choose import executor_for
    from vggbatch.executors.pandas_later import postpone_pandas

    postpone_pandas()
    with executor_for(config.compute) as executor:
        yield executor


def announce(job: Job) -> None:
    """Say what will run."""
    from vggbatch.output.image_total import counted_images
    from vggbatch.preprocess.views import describe, in_words

    for odd in job.input_warnings:
        console.note(f"input: {odd}")
    for model in job.models:
        if model.synthetic:
            console.warning(
                f"{model.name} has random weights made on this machine: its predictions mean "
                "nothing"
            )
    warn_of_assumptions(job)
    counted = all(counted_images(shard) is not None for shard in job.shards)
    images = ("" if counted else "~") + console.plural(job.estimated_images, "image")
    shards = sum(shard.members is None for shard in job.shards)
    where = f" in {console.plural(shards, 'shard')}" if shards else ""
    models = " + ".join(model.name for model in job.models)
    profiles = ", ".join(recipe.name for recipe in job.recipes)
    console.note(f"{images}{where}, {models}, preprocessing {profiles}")
    if not job.config.select.everything:
        console.note(f"of the input only {job.config.select.in_words()}")
    if not job.protocol.single:
        console.note(in_words(describe(job.protocol, job.preprocess)))


def warn_of_assumptions(job: Job) -> None:
    """Say what was assumed of the networks and makes the results wrong if it is not true."""
    for assumption in job.assumptions:
        if assumption.warning:
            console.warning(assumption.sentence())


def summarize(scored: Scored) -> None:
    """The end of a run: counts, rate, and where the output is."""
    from vggbatch.runs.run_record import left_out_in, unused_labels_in

    counts, result = scored.record["counts"], scored.result
    kinds = ", ".join(f"{count} {kind}" for kind, count in counts["errors_by_kind"].items())
    rate = "nothing was left to do" if result.complete_before else "nothing was left to score"
    if result.scored_now:
        rate = f"{console.rate(result.images_per_second)}, {result.seconds:.1f} s in all"
    console.facts(
        [
            ("images", f"{counts['images']:,}" + _of_the_input(scored.record)),
            ("errors", f"{counts['errors']:,}" + (f" ({kinds})" if kinds else "")),
            *(("no rows", str(kind)) for kind in left_out_in(scored.record)),
            *(("unused", str(kind)) for kind in unused_labels_in(scored.record)),
            ("rate", rate),
            *((("executor", executor),) if (executor := scored.record.get("executor")) else ()),
            ("output", result.output.folder.uri),
        ]
    )
    if any(model["synthetic"] for model in (scored.record["model"], *scored.record["ensemble"])):
        console.warning("synthetic weights: these predictions mean nothing")


def _of_the_input(record: Mapping[str, Any]) -> str:
    """That not all images of the input were wanted; nothing where they were."""
    from vggbatch.config import Selection

    wanted = Selection.model_validate(record["config"].get("select", {}))
    return "" if wanted.everything else f", of the input {wanted.in_words()}"


def _warn_of_result(scored: Scored) -> None:
    """Say what is wrong with the run as a whole, though the user allows it."""
    for message in scored.record.get("warnings", ()):
        console.warning(message)


score = job_command(run_score)
evaluate = job_command(run_evaluate)
