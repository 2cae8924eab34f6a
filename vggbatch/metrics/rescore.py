"""Metrics anew from saved predictions: other labels or another policy, no inference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from hashlib import sha256
from typing import Any

import vggbatch
from vggbatch.errors import UsageError
from vggbatch.metrics.evaluate import Evaluation, MapFn, evaluate_predictions
from vggbatch.metrics.rows import PREDICTIONS
from vggbatch.metrics.sets import ILSVRC2012, label_sets
from vggbatch.metrics.summary import ErrorPolicy
from vggbatch.models import catalog, synset
from vggbatch.pipeline.state import RUN, SUCCESS
from vggbatch.sources.labels import LabelSpec
from vggbatch.sources.names import public_uri
from vggbatch.storage import Folder, filesystem


@dataclass(frozen=True)
class Source:
    """What is known of the run whose predictions are scored."""

    folder: Folder
    record: dict[str, Any]
    """run.json; empty where there is none."""
    class_lines: tuple[str, ...]

    @property
    def model(self) -> dict[str, Any]:
        """The model as run.json records it."""
        facts: dict[str, Any] = self.record.get("model", {})
        return facts

    @property
    def title(self) -> str:
        """The model and where its predictions are."""
        return f"{self.model.get('name', 'predictions')} in {self.folder.uri}"

    @property
    def synthetic(self) -> bool:
        """Whether the weights were made up, so that the metrics mean nothing."""
        return bool(self.model.get("synthetic"))

    def published(self) -> dict[str, dict[str, float]]:
        """The zoo's accuracies of this model by benchmark; none for a synthetic twin."""
        entry = None if self.synthetic else catalog().get(self.model.get("name", ""))
        return {ILSVRC2012: entry.published} if entry is not None and entry.published else {}


def open_source(folder: Folder, classes: str | None = None) -> Source:
    """A run's output, or any folder with predictions/*.parquet of its schema.

    Args:
        folder: the output.
        classes: file of the network's classes, one a line in output order; by default the
            project's own, if run.json does not say that the network had others.

    Raises:
        UsageError: the class file cannot be read, or is needed.
    """
    record = folder.read_json(RUN) if folder.exists(RUN) else {}
    lines = synset() if classes is None else _read_lines(classes)
    digest = record.get("model", {}).get("classes_sha256")
    if digest is not None and digest != sha256("\n".join(lines).encode()).hexdigest():
        which = "--classes names other classes" if classes else "name its class file with --classes"
        raise UsageError(
            f"{folder.uri}: the network has classes of its own ({record['model'].get('classes')}): "
            f"{which}"
        )
    return Source(folder, record, lines)


def rescore(
    source: Source,
    specs: Sequence[str],
    target: Folder | None = None,
    *,
    errors: ErrorPolicy = "wrong",
    map_fn: MapFn = map,
) -> Evaluation:
    """Score saved predictions against label sets.

    Args:
        source: what `open_source` gave.
        specs: label sets, see `vggbatch.metrics.sets`.
        target: gets metrics/*.parquet, run.json and _SUCCESS; None: nothing is written.
        errors: what a labelled image that could not be scored counts as.
        map_fn: where the files are read, see `evaluate_predictions`.

    Raises:
        UsageError: no predictions, unreadable labels, or a target that holds a run.
    """
    if target is not None and (target.exists(PREDICTIONS) or target.uri == source.folder.uri):
        raise UsageError(f"{target.uri} is the output of a run: give the metrics another folder")
    sets = label_sets(specs, source.folder, source.class_lines)
    evaluation = evaluate_predictions(
        source.folder,
        sets,
        class_lines=source.class_lines,
        published=source.published(),
        errors=errors,
        map_fn=map_fn,
    )
    if target is not None:
        target.delete(SUCCESS)
        target.delete_tree("metrics")
        evaluation.write(target)
        target.write_json(RUN, _record(source, specs, errors))
        target.write_bytes(SUCCESS, b"")
    return evaluation


def _record(source: Source, specs: Sequence[str], errors: ErrorPolicy) -> dict[str, Any]:
    """run.json of the rescored output: what was scored, and the run it came from."""
    inherited = ("model", "preprocess", "counts", "versions")
    return {
        "vggbatch": vggbatch.__version__,
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "rescored": {
            "predictions": public_uri(source.folder.uri),
            "labels": [LabelSpec.parse(spec).public() for spec in specs],
            "errors": errors,
        },
        **{name: source.record[name] for name in inherited if name in source.record},
    }


def _read_lines(path: str) -> tuple[str, ...]:
    fs, inner = filesystem(path)
    try:
        return tuple(fs.cat_file(inner).decode().splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read classes {path}: {error}") from None
