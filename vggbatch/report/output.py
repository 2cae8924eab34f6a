"""What a page is made of: run.json, the metrics tables and the class names of an output."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from vggbatch import uris
from vggbatch.config import LabelOptions
from vggbatch.errors import UsageError
from vggbatch.labels.spec import is_in_rows
from vggbatch.metrics import RECORDED, LabelSet, Metric
from vggbatch.metrics.layout import old_table_name, own_profile, table_name
from vggbatch.metrics.recorded import options_of, recorded_classes
from vggbatch.metrics.rows import Outputs, Predictions
from vggbatch.metrics.sets import label_sets
from vggbatch.metrics.summary import SUMMARY_SCHEMA
from vggbatch.metrics.superclasses import SUPERCLASSES_SCHEMA
from vggbatch.metrics.tables import (
    CALIBRATION_SCHEMA,
    CONFUSIONS_SCHEMA,
    PER_CLASS_SCHEMA,
    RISK_COVERAGE_SCHEMA,
)
from vggbatch.models.catalog import synset
from vggbatch.output.checks.unchanged import Seen
from vggbatch.output.documents.metadata import foreign, tables_of
from vggbatch.output.layout import Output
from vggbatch.output.names import PROFILES, RUN, SUCCESS
from vggbatch.output.ownership.confined import check_confined
from vggbatch.output.verify import believe
from vggbatch.storage.filesystem import Folder, arrow_file, public_uri
from vggbatch.storage.parquet_check import open_checked

_SCHEMAS = {
    "summary": SUMMARY_SCHEMA,
    "per_class": PER_CLASS_SCHEMA,
    "confusions": CONFUSIONS_SCHEMA,
    "calibration": CALIBRATION_SCHEMA,
    "risk_coverage": RISK_COVERAGE_SCHEMA,
    "superclasses": SUPERCLASSES_SCHEMA,
}


@dataclass(frozen=True)
class RunOutput:
    """An output that has run.json: of a run, or of rescored predictions."""

    folder: Folder
    """Where metrics/ is, and where the page goes."""
    predictions: Predictions
    """The output whose predictions/ are shown; another one where they were rescored, or several."""
    record: dict[str, Any]
    """run.json; for rescored predictions on top of the scoring run's own."""
    succeeded: bool
    seen: tuple[Seen, ...]
    """Which runs these are."""
    own: bool
    """Whether this user has recorded it here (see recorded.py): what others record may name files
    of this machine."""

    @property
    def title(self) -> str:
        """The model's name, without the path of a file; those of an ensemble, joined."""
        networks = [self.record["model"], *self.record.get("ensemble", ())]
        return " + ".join(network["name"].rstrip("/").rsplit("/", 1)[-1] for network in networks)

    @property
    def views(self) -> str | None:
        """What was averaged for each image; None for the single center crop."""
        protocol = self.record.get("protocol", {})
        if protocol.get("views_an_image", 1) == 1:
            return None
        sizes = ", ".join(map(str, protocol["scales"]))
        return f"{protocol['views_an_image']} views an image ({protocol['views']}, sizes {sizes})"

    @property
    def synthetic(self) -> bool:
        """Whether any weights were made up."""
        networks = [self.record["model"], *self.record.get("ensemble", ())]
        return any(network["synthetic"] for network in networks)

    def metrics(self) -> list[Metric]:
        """The lines of metrics/summary.parquet; none for a run that was not evaluated."""
        return self._summary

    @cached_property
    def _summary(self) -> list[Metric]:
        return _metrics(self.folder, self._profile)

    @property
    def unread_labels(self) -> bool:
        """Whether the labels of the first set are in a file that is not opened."""
        specs, recorded = self._specs()
        return not self.own and not all(is_in_rows(spec, recorded) for spec in specs[:1])

    def _specs(self) -> tuple[list[str], str | None]:
        """The label sets that were scored, and which of them is in the rows."""
        if "rescored" in self.record:
            return self.record["rescored"]["labels"], None
        return self.record["config"]["labels"], self.record["row_labels"]

    @property
    def _profile(self) -> str | None:
        return own_profile(self.record)

    def profiles(self) -> dict[str, list[Metric]]:
        """The same by profile, of a run that scored several in one pass; else nothing."""
        first, *further = self.record.get("profiles", [""])
        if not further or self.record.get("profile") or "rescored" in self.record:
            return {}
        output = Output(self.folder)
        return {first: self.metrics()} | {p: _metrics(output.profile(p)) for p in further}

    def table(self, name: str) -> pa.Table | None:
        """A metrics table, of the first label set; None if there is none."""
        metrics = self.metrics()
        if not metrics:
            return None
        return _table(self.folder, name, metrics[0].label_set, self._profile)

    def class_lines(self) -> dict[int, str]:
        """`wnid name` by class index, as far as the output or the project knows the classes."""
        if (recorded := recorded_classes(self.record)) is not None:
            return dict(enumerate(recorded))
        per_class = self.table("per_class")
        if per_class is not None:
            rows = per_class.select(["class_index", "wnid", "name"]).to_pylist()
            return {row["class_index"]: f"{row['wnid']} {row['name']}" for row in rows}
        lines = synset()
        digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
        known = digest == self.record["model"]["classes_sha256"]
        return dict(enumerate(lines)) if known else {}

    def label_set(self, class_lines: dict[int, str]) -> LabelSet:
        """What is right in the tables: the first set of the summary, or what the run recorded.

        It has no labels where they are in a file that another user's output names: none is opened.

        Raises:
            UsageError: the label file is not there any more.
        """
        metrics = self.metrics()
        if not metrics:
            return RECORDED
        if self.unread_labels:
            return LabelSet(metrics[0].label_set, _Unread())
        lines = [class_lines[i] for i in sorted(class_lines)]
        specs, recorded = self._specs()
        for spec in specs:
            options = {spec: options_of(self.record, spec, LabelOptions(), own=self.own)}
            [found] = label_sets(
                [spec], self.predictions, lines, recorded=recorded, options=options
            )
            if found.name == metrics[0].label_set:
                return found
        raise UsageError(f"none of the labels {', '.join(specs)} is {metrics[0].label_set!r}")

    @contextmanager
    def reading(self) -> Iterator[None]:
        """For a block that reads it; see `Seen.reading`."""
        with ExitStack() as stack:
            for seen in self.seen:
                stack.enter_context(seen.reading())
            yield


class _Unread:
    """The labels of a file that was not opened."""

    def match(self, image_ids: list[str], _tokens: list[str | None], /) -> pa.Array:
        """None of them."""
        return pa.nulls(len(image_ids), pa.int32())


def open_output(folder: Folder, roots: Sequence[str] = ()) -> RunOutput:
    """The output of a finished run or of `rescore`.

    Args:
        folder: the output.
        roots: folders or URIs below which the predictions may be that it names, if another user
            has rescored them; they may always be beside the output.

    Raises:
        UsageError: it is not finished, or is not the output of a run.
    """
    check_confined(folder)
    seen = [Seen.of(folder)]
    believe(folder)
    output = Output(folder)
    record = output.read_run()
    # the output of a further profile lies in that of its run, which has the state
    run = Output(Folder(folder.uri.removesuffix(f"/{PROFILES}/{record.get('profile')}")))
    own = output.has_own_record() if "rescored" in record else run.has_own_shards()
    predictions: Predictions = folder
    if "rescored" in record:
        named = record["rescored"]["predictions"]
        several = named if isinstance(named, list) else [named]
        found = [Folder(uri if own else _named(folder, uri, roots)) for uri in several]
        for one in found:
            seen.append(Seen.of(one))
            believe(one)
        predictions = found[0] if len(found) == 1 else Outputs(tuple(found))
        plans = record["rescored"].get("plans") or [record["rescored"].get("plan")]
        if len(plans) != len(found):
            raise foreign(f"{folder.uri}/{RUN}", "it has not a plan for each of the predictions")
        scored = [_scored(*one) for one in zip(found, plans, strict=True) if one[0].exists(RUN)]
        record = {**(scored[0] if scored else {}), **record}
    if "model" not in record:
        raise UsageError(
            f"{predictions.uri} has predictions without a {RUN}, and a report needs one: it says "
            "which network and which images they are of"
        )
    return RunOutput(folder, predictions, record, folder.exists(SUCCESS), tuple(seen), own)


def _scored(predictions: Folder, plan: str | None) -> dict[str, Any]:
    """run.json of rescored predictions, of the run that they were rescored from.

    Earlier versions did not record which that was.

    Raises:
        UsageError: they are another run's by now.
    """
    found = Output(predictions).read_run()
    if plan is not None and plan != found.get("plan"):
        raise UsageError(
            f"{predictions.uri} was scored again since its predictions were rescored: rescore it "
            "again"
        )
    return found


def _named(folder: Folder, uri: str, roots: Sequence[str]) -> str:
    """The predictions that another user's output names.

    Raises:
        UsageError: they are neither beside the output nor below one of some folders.
    """
    if not folder.local and uris.is_local(uri):
        raise UsageError(f"{folder.uri}/{RUN} names {uri}, a file of this machine")
    uris.check(uri)
    if any(uris.is_below(uri, root) for root in (folder.uri.rpartition("/")[0] or "/", *roots)):
        return uri
    raise UsageError(
        f"{folder.uri} was not recorded here by you, so the predictions that it names are not "
        f"opened ({public_uri(uri)}): name their folder with --images, or rescore them again"
    )


def _metrics(folder: Folder, profile: str | None = None) -> list[Metric]:
    table = _table(folder, "summary", profile=profile)
    return [Metric(**row) for row in table.to_pylist()] if table is not None else []


def _table(
    folder: Folder, name: str, label_set: str | None = None, profile: str | None = None
) -> pa.Table | None:
    place = table_name(name, label_set, profile).rpartition("/")[0]
    listed = [file["name"] for file in tables_of(Output(folder).read_run()) or ()]
    own = [path for path in listed if path.rpartition("/")[0] == place]
    for path in (*own, old_table_name(name)):
        try:
            data = folder.read_bytes(path)
        except FileNotFoundError:
            continue
        schema = _SCHEMAS[name]
        try:
            found = open_checked(arrow_file(data)).read()
            return found.select(schema.names).cast(schema)
        except (ValueError, KeyError, OSError) as error:
            # pyarrow raises any of them for a damaged file
            raise foreign(f"{folder.uri}/{path}", error) from None
    return None
