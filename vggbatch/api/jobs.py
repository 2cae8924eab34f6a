"""Jobs: score and evaluate.

A job is given as its input and keyword options, the keys of a YAML file, or as a JobConfig:
`score("images", output="out", model="vgg16-12-int8", compute={"threads": 2})`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from vggbatch import html_table
from vggbatch.api.checked import checked_job
from vggbatch.api.notebook import in_cell
from vggbatch.config import Input, JobConfig, JobOptions, job_config
from vggbatch.errors import UsageError
from vggbatch.executors.base import Executor
from vggbatch.executors.choose import executor_for
from vggbatch.job.job import Job
from vggbatch.metrics import Evaluation, evaluate_predictions
from vggbatch.metrics.evaluate import write_metrics
from vggbatch.metrics.nearest import nearest
from vggbatch.metrics.rescore import published_accuracies
from vggbatch.metrics.sets import label_sets
from vggbatch.output.footer import footer_of_plan
from vggbatch.output.names import REPORT
from vggbatch.runs.finish import finish
from vggbatch.runs.progress.tracker import ProgressCallback
from vggbatch.runs.result import Metrics, RunResult, WrittenMetrics
from vggbatch.runs.run import run
from vggbatch.storage.filesystem import public_uri

if TYPE_CHECKING:
    from typing import Unpack


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

    def _repr_html_(self) -> str:
        """Counts, metrics and where the output is, as a notebook shows them."""
        counts, uri = self.record["counts"], public_uri(self.result.output.folder.uri)
        rows: list[tuple[object, ...]] = [
            ("images", f"{counts['images']:,}"),
            ("errors", f"{counts['errors']:,}"),
            *((f"  {kind}", f"{count:,}") for kind, count in counts["errors_by_kind"].items()),
        ]
        if self.result.scored_now:
            rows.append(("images/s", f"{self.result.images_per_second:,.1f}"))
        several = len(self.evaluations) > 1
        parts = [html_table.as_html(rows)]
        for name, found in self.evaluations.items():
            parts.append(f"<p>{escape(name)}</p>" if several else "")
            parts.append(found._repr_html_())
        where = f"output {uri}"
        if self.result.output.folder.exists(REPORT):
            where = html_table.link(f"{uri}/{REPORT}", "report")
        else:
            where = escape(f"{where}; vggbatch.write_report({uri!r}) makes a page of it")
        return "".join([*parts, f"<p>{where}</p>"])

    def to_json(self) -> dict[str, Any]:
        """What `score --json` and `evaluate --json` print.

        Evaluated: `metrics` and `notes`; with several profiles, `profiles` has those of each and
        `nearest_to_published` says which comes nearest to the published accuracy.
        """
        model = {key: self.record["model"][key] for key in ("name", "sha256", "synthetic")}
        several = len(self.evaluations) > 1
        profiles = {name: found.to_json() for name, found in self.evaluations.items()}
        best = nearest({name: found.metrics for name, found in self.evaluations.items()})
        return {
            "output": public_uri(self.result.output.folder.uri),
            "model": model,
            "preprocess": self.record["preprocess"],
            "executor": self.record.get("executor"),
            "counts": self.record["counts"],
            "left_out": self.record.get("left_out", []),
            "images_this_run": self.result.scored_now,
            "images_per_second": self.result.images_per_second,
            "seconds": self.result.seconds,
            **(self.evaluation.to_json() if self.evaluation is not None else {}),
            **({"profiles": profiles} if several else {}),
            **({"nearest_to_published": list(map(asdict, best))} if best else {}),
        }


Announce = Callable[[Job], None]


def score(
    input: Input,
    *,
    on_progress: ProgressCallback | None = None,
    announce: Announce | None = None,
    executor: Executor | None = None,
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
        on_progress: called with a Snapshot (`rows`, `total`, `errors`, `images_per_second`) while
            results come in; None: in a notebook a bar in the cell, else nothing.
        announce: called with the checked job before anything runs.
        executor: one that was entered before (`executor_for`); None: by `compute.executor`.
        **options: the job's settings, of which it needs an `output`.

    Raises:
        UsageError: the job is impossible as asked; nothing was started.
        JobFailed: it started and could not be completed; what is committed stays.
    """
    config = job_config(input, options)
    while True:
        with _run(config, on_progress, announce, executor) as (job, result):
            scored = Scored(result, finish(job, result), {})
        if not result.more:
            return scored


def evaluate(
    input: Input,
    *,
    on_progress: ProgressCallback | None = None,
    announce: Announce | None = None,
    executor: Executor | None = None,
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
    while True:
        with _run(config, on_progress, announce, executor, metrics=True) as (job, result):
            evaluations = _evaluated(job, result)
            written = labeled = None
            if not result.complete_before:
                written = _written(evaluations, result)
                labeled = max(evaluation.labeled for evaluation in evaluations.values())
            record = finish(job, result, written, labeled=labeled)
        if not result.more:
            return Scored(result, record, evaluations)


def _evaluated(job: Job, result: RunResult) -> dict[str, Evaluation]:
    """The metrics of a run, by profile."""
    config, classes = job.config, job.model.classes
    options = dict.fromkeys(config.labels, config.label_options)
    sets = label_sets(
        config.labels, result.output.folder, classes, recorded=job.row_labels, options=options
    )
    published = published_accuracies(job.model_facts(), job.protocol)
    return {
        name: evaluate_predictions(
            folder,
            sets,
            class_lines=classes,
            published=published,
            errors=config.errors,
            files=[file["name"] for file in result.files[name]],
        )
        for name, folder in result.folders.items()
    }


def _written(evaluations: dict[str, Evaluation], result: RunResult) -> Metrics:
    """Write the metrics of each profile's output; those of the run's own output are of all."""
    if result.stats.error_rows == result.rows:
        return {name: WrittenMetrics([], []) for name in evaluations}
    revision = result.revision
    plan = revision.plan if revision is not None else result.output.read_plan() or {}
    generation = int(plan.get("generation", 0))
    own, *_ = evaluations
    footers = {name: footer_of_plan(plan, "" if name == own else name) for name in evaluations}
    written = {}
    for name, evaluation in evaluations.items():
        some = evaluations if name == own else {name: evaluation}
        tables = write_metrics(
            result.fence(name), some, footers, generation, beside=revision is not None
        )
        written[name] = WrittenMetrics(tables, evaluation.lines() if tables else [])
    return written


@contextmanager
def _run(
    config: JobConfig,
    on_progress: ProgressCallback | None,
    announce: Announce | None,
    executor: Executor | None,
    *,
    metrics: bool = False,
) -> Iterator[tuple[Job, RunResult]]:
    """A job that has been run, under the lease of its output for the block."""
    # what an executor begins when it is entered continues while the job is checked
    entered = nullcontext(executor) if executor else executor_for(config.compute)
    with entered as chosen, in_cell(on_progress) as shown:
        job = checked_job(config)
        if announce:
            announce(job)
        with run(job, chosen, shown, metrics=metrics) as result:
            yield job, result
