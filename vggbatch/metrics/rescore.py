"""Metrics again from saved predictions: other labels or another policy, no inference."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from vggbatch import class_list, uris
from vggbatch.bounded import MAX_CLASS_LIST, read_bounded
from vggbatch.config import LabelOptions, Protocol
from vggbatch.errors import JobFailed, UsageError
from vggbatch.labels import LabelSpec
from vggbatch.metrics.evaluate import Evaluation, evaluate_predictions
from vggbatch.metrics.recorded import check_given, classes_digest, options_of, recorded_classes
from vggbatch.metrics.rows import PREDICTIONS, Outputs, Predictions
from vggbatch.metrics.sets import ILSVRC2012, label_sets
from vggbatch.metrics.summary import ErrorPolicy
from vggbatch.models.catalog import catalog, synset
from vggbatch.output.checks.unchanged import Seen, SeenAll
from vggbatch.output.documents.metadata import FORMAT
from vggbatch.output.footer import footer_of_record
from vggbatch.output.layout import Output
from vggbatch.output.names import PLAN, RECORD_MARK, RUN, SUCCESS
from vggbatch.output.ownership import recorded
from vggbatch.output.ownership.confined import check_confined
from vggbatch.output.ownership.lease import OutputLease
from vggbatch.output.verify import believe, declaration
from vggbatch.storage.filesystem import Folder, filesystem, public_uri
from vggbatch.versions import __version__

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """What is known of the run whose predictions are scored."""

    folder: Predictions
    """The output, or several as one (see several.py)."""
    record: dict[str, Any]
    """run.json; empty where there is none."""
    class_lines: tuple[str, ...]
    seen: Seen | SeenAll
    """Which run that is."""
    note: str | None = None
    """What the rows lack, where those of an unfinished run were asked for."""
    own: bool = False
    """Whether this user has recorded the run on this machine."""

    @property
    def folders(self) -> tuple[Folder, ...]:
        """The output, or the several."""
        return self.folder.folders if isinstance(self.folder, Outputs) else (self.folder,)

    @property
    def model(self) -> dict[str, Any]:
        """The model as run.json records it."""
        facts: dict[str, Any] = self.record.get("model", {})
        return facts

    @property
    def networks(self) -> str:
        """The names of the networks."""
        models = [self.model, *self.record.get("ensemble", [])]
        return " + ".join(model.get("name", "predictions") for model in models)

    @property
    def title(self) -> str:
        """The networks and where their predictions are."""
        return f"{self.networks} in {self.folder.uri}"

    @property
    def synthetic(self) -> bool:
        """Whether any weights were made up, so that the metrics mean nothing."""
        return any(m.get("synthetic") for m in (self.model, *self.record.get("ensemble", [])))

    def options(
        self, specs: Sequence[str], given: LabelOptions | None = None
    ) -> dict[str, LabelOptions]:
        """How the label files of specs are to be read; see `options_of`."""
        given = given or LabelOptions()
        check_given(specs, given)
        return {spec: options_of(self.record, spec, given, own=self.own) for spec in specs}

    def published(self) -> dict[str, dict[str, float]]:
        """What the zoo says of this model; see `published_accuracies`."""
        if not self.model:
            return {}
        asked = self.record.get("config", {}).get("protocol", {})
        models = [self.model, *self.record.get("ensemble", [])]
        return published_accuracies(models, Protocol.model_validate(asked))


def published_accuracies(
    models: Sequence[Mapping[str, Any]], protocol: Protocol
) -> dict[str, dict[str, float]]:
    """The zoo's accuracies by benchmark, in percent by metric.

    None where they are no measure: for a synthetic model, an ensemble, and a protocol other than
    the single center crop that the zoo used.

    Args:
        models: facts of the networks, as run.json has them.
        protocol: the views of each image.
    """
    [first, *others] = models
    entry = catalog().get(first["name"])
    if others or first["synthetic"] or not protocol.single or entry is None:
        return {}
    return {ILSVRC2012: entry.published} if entry.published else {}


def open_source(folder: Folder, classes: str | None = None, *, partial: bool = False) -> Source:
    """A run's output, or any folder with predictions/*.parquet of its schema.

    Args:
        folder: the output.
        classes: file of the network's classes, one a line in output order; by default those that
            run.json lists, else the project's own.
        partial: take the rows of an unfinished run.

    Raises:
        UsageError: the run is not finished, or files of it are missing or damaged; the class file
            or run.json cannot be read, or a class file is needed; or the folder is the output of
            `rescore`, which has no predictions.
    """
    check_confined(folder)
    seen = Seen.of(folder)
    note = believe(folder, partial=partial)
    output = Output(folder)
    record = output.known_of_run()
    if "rescored" in record:
        raise UsageError(
            f"{folder.uri} has the metrics of rescored predictions alone: name the run they are "
            f"from, {record['rescored']['predictions']}"
        )
    known = recorded_classes(record) or synset()
    lines = known if classes is None else _read_lines(classes)
    digest = record.get("model", {}).get("classes_sha256")
    if digest is not None and digest != classes_digest(lines):
        which = "--classes names other classes" if classes else "name its class file with --classes"
        raise UsageError(
            f"{folder.uri}: the network has classes of its own ({record['model'].get('classes')}): "
            f"{which}"
        )
    return Source(folder, record, lines, seen, note, output.has_own_shards())


def rescore(
    source: Source,
    specs: Sequence[str],
    target: Folder | None = None,
    *,
    errors: ErrorPolicy = "wrong",
    options: LabelOptions | None = None,
    max_error_rate: float | None = None,
) -> Evaluation:
    """Score saved predictions against label sets.

    Args:
        source: what `open_source` gave.
        specs: label sets, see `vggbatch.metrics.sets`.
        target: gets metrics/*.parquet, run.json and _SUCCESS; None: nothing is written.
        errors: what a labeled image that could not be scored counts as.
        options: how label files are to be read; else as the run has read them, if it has.
        max_error_rate: 1 allows that no image has a label, as in a run; None: as in the run.

    Raises:
        UsageError: no predictions, unreadable labels, or a target that holds a run or cannot be
            written to.
        JobFailed: no image has a label; nothing is written.
    """
    with ExitStack() as stack:
        lease = None
        if target is not None:
            uris.check_utf8(target.uri)
            _refuse_run(target, source)
            lease = stack.enter_context(OutputLease(target))
            # another run may have come first, and be complete by now
            _refuse_run(target, source)
        with source.seen.reading():
            evaluation = _evaluated(source, specs, errors, options)
        if not evaluation.labeled:
            _allow_no_labels(source, specs, max_error_rate)
        if lease is not None:
            lease.fence.delete(SUCCESS)
            record = _record(source, specs, errors, options)
            record["metrics"] = evaluation.lines()
            record["tables"] = evaluation.write(lease.fence, footer_of_record(source.record))
            data = lease.fence.write_json(RUN, record)
            mark = recorded.mark_of(lease.folder, data)
            if mark is not None:
                lease.fence.write_bytes(RECORD_MARK, mark)
            lease.fence.create_json(SUCCESS, declaration(record))
        return evaluation


def _refuse_run(target: Folder, source: Source) -> None:
    """Raise UsageError if a folder is the output of a run."""
    own = target.uri in {folder.uri for folder in source.folders}
    if own or target.exists(PLAN) or target.exists(PREDICTIONS):
        raise UsageError(f"{target.uri} is the output of a run: give the metrics another folder")


def _allow_no_labels(source: Source, specs: Sequence[str], max_error_rate: float | None) -> None:
    """Fail, as a run does, unless that no image has a label is allowed."""
    limit = max_error_rate
    if limit is None:
        limit = source.record.get("config", {}).get("max_error_rate")
    names = ", ".join(LabelSpec.parse(spec).public() for spec in specs)
    message = (
        f"none of the scored images in {public_uri(source.folder.uri)} has a label in {names}, so "
        "nothing is evaluated and no metrics are written: are the labels of these images?"
    )
    if limit is None or limit < 1:
        raise JobFailed(f"{message} (max_error_rate=1 allows it)")
    _log.warning(message)


def _evaluated(
    source: Source, specs: Sequence[str], errors: ErrorPolicy, options: LabelOptions | None
) -> Evaluation:
    sets = label_sets(
        specs, source.folder, source.class_lines, options=source.options(specs, options)
    )
    return evaluate_predictions(
        source.folder,
        sets,
        class_lines=source.class_lines,
        published=source.published(),
        errors=errors,
    )


def _record(
    source: Source, specs: Sequence[str], errors: ErrorPolicy, options: LabelOptions | None
) -> dict[str, Any]:
    """run.json of the rescored output: what was scored, and the run it came from."""
    given = options.model_dump(exclude_unset=True) if options is not None else {}
    if (names := given.get("indices", {}).get("names")) is not None:
        given["indices"]["names"] = public_uri(names)
    named = [public_uri(folder.uri) for folder in source.folders]
    inherited = ("model", "classes", "ensemble", "preprocess", "protocol", "counts", "versions")
    return {
        "format": FORMAT,
        "vggbatch": __version__,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "rescored": {
            "predictions": named[0] if len(named) == 1 else named,
            "plan": source.record.get("plan"),
            **({"plans": source.record["plans"]} if "plans" in source.record else {}),
            "labels": [LabelSpec.parse(spec).public() for spec in specs],
            "errors": errors,
            "options": given,
        },
        **{name: source.record[name] for name in inherited if name in source.record},
    }


def _read_lines(path: str) -> tuple[str, ...]:
    fs, inner = filesystem(path)
    try:
        return class_list.parse(read_bounded(fs, inner, MAX_CLASS_LIST))
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read classes {path}: {error}") from None
