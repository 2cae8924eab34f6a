"""What the commands do, for Python: score, evaluate, predict, plan, and reading the output."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from vggbatch.classifier import Ensemble
from vggbatch.config import JobConfig
from vggbatch.errors import ImageError, UsageError
from vggbatch.metrics import Evaluation, evaluate_predictions
from vggbatch.metrics.rescore import published_accuracies
from vggbatch.metrics.sets import check_subsets, label_sets
from vggbatch.pipeline.job import Job, network_opener, prepare_job
from vggbatch.pipeline.preview import Preview, preview
from vggbatch.pipeline.recipe import geometries, pictures_for
from vggbatch.pipeline.run import RunResult, finish, run
from vggbatch.pipeline.state import PREDICTIONS, Output
from vggbatch.pipeline.tally import Listener
from vggbatch.preprocess.pictures import PictureMaker
from vggbatch.sources import reader_for
from vggbatch.storage import Folder


@dataclass(frozen=True)
class Scored:
    """A finished run."""

    result: RunResult
    record: dict[str, Any]
    """The content of run.json."""
    evaluations: dict[str, Evaluation]
    """Metrics by profile, the first that of the output itself; empty if it was not evaluated."""

    @property
    def evaluation(self) -> Evaluation | None:
        """Metrics of the output itself."""
        return next(iter(self.evaluations.values()), None)


Announce = Callable[[Job], None]


def score(
    config: JobConfig, *, listener: Listener | None = None, announce: Announce | None = None
) -> Scored:
    """Score images into `config.output`; resumes what is there, does nothing if it is complete.

    Args:
        config: the job.
        listener: called with a Snapshot while results come in.
        announce: called with the checked job before anything runs.

    Raises:
        UsageError: the job is impossible as asked; nothing was started.
        JobFailed: it started and could not be completed; what is committed stays.
    """
    job = _checked(config)
    if announce:
        announce(job)
    result = run(job, listener)
    return Scored(result, finish(job, result), {})


def evaluate(
    config: JobConfig, *, listener: Listener | None = None, announce: Announce | None = None
) -> Scored:
    """Score images that have labels, and write metrics/ beside the predictions.

    Arguments and errors as for `score`.
    """
    if not config.labels:
        raise UsageError("evaluate needs labels: --labels FILE, or --labels embedded")
    job = _checked(config)
    if announce:
        announce(job)
    result = run(job, listener)
    classes = job.model.classes
    sets = label_sets(config.labels, result.output.folder, classes, recorded=job.row_labels)
    evaluations = {}
    for name, folder in result.folders.items():
        evaluations[name] = evaluate_predictions(
            folder,
            sets,
            class_lines=classes,
            published=published_accuracies(job.model_facts(), job.protocol),
            errors=config.errors,
        )
        if not result.complete_before:
            evaluations[name].write(folder)
    return Scored(result, finish(job, result), evaluations)


def plan(config: JobConfig) -> Preview:
    """Check a job as `score` would, and say what would run; nothing is written or started.

    Raises:
        UsageError: the job is impossible as asked.
    """
    return preview(_checked(config))


def predict(config: JobConfig) -> pa.Table:
    """The predictions of a few images, in this process and without Ray.

    Returns:
        A table of image_id, error, and lists top5_index, top5_probability, top5_synset, one row an
        image in input order.
    """
    job = prepare_job(config)
    threads = config.compute.threads or 0
    classifier = Ensemble(network_opener(job)(), job.protocol, threads=threads, pin=False)
    recipes = job.recipes[:1]
    make = PictureMaker(config.decode, geometries(recipes), job.protocol)
    rows: list[dict[str, Any]] = []
    for shard in job.shards:
        reader = reader_for(shard.format)
        members = reader.members(shard)
        contents = reader.read(shard, members, config.decode.max_bytes)
        for image_id, data in zip(shard.image_ids(members), contents, strict=True):
            row: dict[str, Any] = {"image_id": image_id}
            rows.append(row)
            try:
                if isinstance(data, ImageError):
                    raise data
                packers = make.packers(1)
                for packer, pictures in zip(packers, make(data), strict=True):
                    packer.add(pictures)
            except ImageError as error:
                row["error"] = str(error)
                continue
            packed = [packer.packed() for packer in packers]
            found = classifier(pictures_for(recipes[0], recipes, packed), recipes[0].preprocess)
            known = [i for i in found.index[0].tolist() if i >= 0]
            row["top5_index"] = known
            row["top5_probability"] = found.probability[0].tolist()[: len(known)]
            row["top5_synset"] = [job.model.classes[i] for i in known]
    schema = pa.schema(
        [
            ("image_id", pa.string()),
            ("error", pa.string()),
            ("top5_index", pa.list_(pa.int32())),
            ("top5_probability", pa.list_(pa.float32())),
            ("top5_synset", pa.list_(pa.string())),
        ]
    )
    return pa.Table.from_pylist(rows, schema=schema)


def load_predictions(output: str, columns: Sequence[str] | None = None) -> pa.Table:
    """The predictions of a finished or unfinished run, as one Arrow table.

    Raises:
        UsageError: there are none.
    """
    import pyarrow.dataset  # only here: it takes pandas along

    folder = Folder(output)
    if not folder.list(PREDICTIONS, suffix=".parquet"):
        raise UsageError(f"{output} has no predictions (no {PREDICTIONS}/*.parquet)")
    dataset = pyarrow.dataset.dataset(
        folder.path(PREDICTIONS), filesystem=folder.fs, format="parquet"
    )
    return dataset.to_table(columns=list(columns) if columns is not None else None)


def load_run(output: str) -> dict[str, Any]:
    """The content of a finished run's run.json. Raises UsageError if there is none."""
    return Output(Folder(output)).read_run()


def _checked(config: JobConfig) -> Job:
    if not config.output:
        raise UsageError("no output: name a folder or URI with -o OUTPUT")
    job = prepare_job(config)
    check_subsets(config.labels, job.model.classes)
    return job
