"""What the commands do, for Python: score, evaluate, predict, plan, and reading the output.

A job is given as its input and keyword options, the keys of a YAML file, or as a JobConfig:
`score("images", output="out", model="vgg16-12-int8", compute={"threads": 2})`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from vggbatch import report
from vggbatch.config import Input, JobConfig, JobOptions, job_config
from vggbatch.errors import UsageError
from vggbatch.metrics import Evaluation, evaluate_predictions
from vggbatch.metrics.compare import Comparison, compare_runs
from vggbatch.metrics.rescore import open_source, published_accuracies
from vggbatch.metrics.rescore import rescore as rescore_source
from vggbatch.metrics.rows import prediction_files
from vggbatch.metrics.sets import check_subsets, label_sets
from vggbatch.metrics.summary import ErrorPolicy
from vggbatch.pipeline.headstart import HeadStart, wanted
from vggbatch.pipeline.job import Job, prepare_job
from vggbatch.pipeline.predict import predict as predict_job
from vggbatch.pipeline.preview import Preview, check_labelled, preview
from vggbatch.pipeline.reading import read_table
from vggbatch.pipeline.record import RunResult, finish
from vggbatch.pipeline.run import run
from vggbatch.pipeline.state import Output
from vggbatch.pipeline.status import Status, read_status
from vggbatch.pipeline.tally import Listener
from vggbatch.report.run import GALLERY
from vggbatch.storage import Folder, arrow_file

if TYPE_CHECKING:
    from typing_extensions import Unpack


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

    def to_json(self) -> dict[str, Any]:
        """What `score --json` and `evaluate --json` print.

        Evaluated: `metrics` and `notes`; with several profiles, `profiles` has those of each.
        """
        model = {key: self.record["model"][key] for key in ("name", "sha256", "synthetic")}
        several = len(self.evaluations) > 1
        profiles = {name: found.to_json() for name, found in self.evaluations.items()}
        return {
            "output": self.result.output.folder.uri,
            "model": model,
            "preprocess": self.record["preprocess"],
            "counts": self.record["counts"],
            "images_this_run": self.result.scored_now,
            "images_per_second": self.result.images_per_second,
            "seconds": self.result.seconds,
            **(self.evaluation.to_json() if self.evaluation is not None else {}),
            **({"profiles": profiles} if several else {}),
        }


Announce = Callable[[Job], None]


def score(
    input: Input,
    *,
    listener: Listener | None = None,
    announce: Announce | None = None,
    **options: Unpack[JobOptions],
) -> Scored:
    """Score images into an output; resumes what is there, does nothing if it is complete.

    >>> scored = score("images", output="out", model="net.onnx")
    >>> scored.record["counts"]["images"], scored.record["counts"]["errors"]
    (3, 0)
    >>> load_predictions("out").column_names[:3]
    ['image_id', 'source', 'label']

    Args:
        input: the images, or a whole job.
        listener: called with a Snapshot (`rows`, `total`, `errors`, `images_per_second`) while
            results come in.
        announce: called with the checked job before anything runs.
        **options: the job's settings, of which it needs an `output`.

    Raises:
        UsageError: the job is impossible as asked; nothing was started.
        JobFailed: it started and could not be completed; what is committed stays.
    """
    job, result = _run(job_config(input, options), listener, announce)
    return Scored(result, finish(job, result), {})


def evaluate(
    input: Input,
    *,
    listener: Listener | None = None,
    announce: Announce | None = None,
    **options: Unpack[JobOptions],
) -> Scored:
    """Score images that have labels, and write metrics/ beside the predictions.

    Arguments and errors as for `score`; the job needs `labels` too.

    >>> scored = evaluate("images", output="evaluated", model="net.onnx", labels="labels.csv")
    >>> [(line.metric, line.n) for line in scored.evaluation.metrics][:2]
    [('top1', 3), ('top5', 3)]
    """
    config = job_config(input, options)
    if not config.labels:
        raise UsageError("evaluate needs labels: --labels FILE, or --labels embedded")
    job, result = _run(config, listener, announce)
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


def plan(input: Input, **options: Unpack[JobOptions]) -> Preview:
    """Check a job as `score` would, and say what would run; nothing is written or started.

    >>> found = plan("images", output="elsewhere", model="net.onnx")
    >>> found.output, sum(count.images for count in found.formats)
    ('new', 3)

    Raises:
        UsageError: the job is impossible as asked.
    """
    return preview(_checked(job_config(input, options)))


def predict(input: Input, **options: Unpack[JobOptions]) -> pa.Table:
    """The predictions of a few images, in this process and without Ray.

    >>> table = predict("images/00001.jpg", model="net.onnx")
    >>> len(table["top5_synset"][0])
    5

    Returns:
        A table of image_id, error, and lists top5_index, top5_probability, top5_synset, one row an
        image in input order.
    """
    return predict_job(prepare_job(job_config(input, options)))


def load_predictions(output: str, columns: Sequence[str] | None = None) -> pa.Table:
    """The predictions of a finished or unfinished run, as one Arrow table.

    Raises:
        UsageError: there are none, or one is damaged.
    """
    folder = Folder(output)
    chosen = list(columns) if columns is not None else None
    tables = []
    for name in prediction_files(folder):
        try:
            tables.append(read_table(arrow_file(folder.read_bytes(name)), chosen))
        except pa.ArrowInvalid as error:
            raise UsageError(f"{folder.uri}/{name} is damaged: {error}") from None
    return pa.concat_tables(tables).unify_dictionaries()


def load_run(output: str) -> dict[str, Any]:
    """The content of a finished run's run.json. Raises UsageError if there is none."""
    return Output(Folder(output)).read_run()


def status(output: str) -> Status:
    """How far a run is, from its output alone and from any machine.

    >>> status("out").state
    'complete'

    Raises:
        UsageError: nobody's output.
    """
    return read_status(Folder(output))


def rescore(
    predictions: str,
    labels: str | Sequence[str],
    output: str | None = None,
    *,
    errors: ErrorPolicy = "wrong",
    classes: str | None = None,
) -> Evaluation:
    """Metrics anew from saved predictions, with other labels; no inference.

    >>> evaluation = rescore("out", "labels.csv")
    >>> evaluation.metrics[0].n
    3

    Args:
        predictions: output of a run.
        labels: label sets, each `[NAME=]LABELS[@SUBSET]`.
        output: gets metrics/ and run.json; None: nothing is written.
        errors: what a labelled image that could not be scored counts as.
        classes: the network's class file, where it is not the project's.

    Raises:
        UsageError: no predictions, unreadable labels, or an output that holds a run.
    """
    source = open_source(Folder(predictions), classes)
    specs = [labels] if isinstance(labels, str) else labels
    target = Folder(output) if output is not None else None
    return rescore_source(source, specs, target, errors=errors)


def compare(
    a: str,
    b: str,
    *,
    labels: str = "embedded",
    errors: ErrorPolicy = "wrong",
    classes: str | None = None,
) -> Comparison:
    """Compare two runs on the same images, image by image.

    >>> compare("out", "evaluated").agreement
    100.0

    Args:
        a: output of the reference run.
        b: output of the other run.
        labels: what is right; `embedded`: what the runs recorded.
        errors: what a labelled image that could not be scored counts as.
        classes: the networks' class file, where it is not the project's.

    Raises:
        UsageError: no predictions, or no image in common.
    """
    first, second = (open_source(Folder(output), classes) for output in (a, b))
    [label_set] = label_sets([labels], first.folder, first.class_lines)
    return compare_runs(
        first.folder, second.folder, label_set, class_lines=first.class_lines, errors=errors
    )


def write_report(
    output: str, *, against: str | None = None, classes: str | None = None, gallery: int = GALLERY
) -> str:
    """Write a page about a finished run into its output: report.html, or comparison.html.

    >>> write_report("evaluated").rsplit("/", 1)[-1]
    'report.html'

    Args:
        output: output of a run, or of `rescore`.
        against: output of the reference run to compare it with.
        classes: the networks' class file, where it is not the project's; for comparisons.
        gallery: images in each gallery.

    Returns:
        The page's URI.

    Raises:
        UsageError: a run is not finished, or the two have no image in common.
    """
    if against is None:
        return report.write_report(Folder(output), gallery=gallery)
    return report.write_comparison(
        Folder(against), Folder(output), classes=classes, gallery=gallery
    )


def _run(
    config: JobConfig, listener: Listener | None, announce: Announce | None
) -> tuple[Job, RunResult]:
    # its imports go on while the job is checked
    with HeadStart() if wanted(config.compute) else nullcontext() as head:
        job = _checked(config)
        if announce:
            announce(job)
        return job, run(job, listener, head)


def _checked(config: JobConfig) -> Job:
    if not config.output:
        raise UsageError("no output: name a folder or URI with -o OUTPUT")
    Folder(config.output)  # an unknown protocol shows before anything is listed
    job = prepare_job(config)
    check_subsets(config.labels, job.model.classes)
    check_labelled(job)
    return job
