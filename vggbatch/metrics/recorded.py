"""What run.json records of labels and classes, for metrics that are computed later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from vggbatch.config import LabelOptions
from vggbatch.errors import UsageError
from vggbatch.labels import EMBEDDED, LabelSpec
from vggbatch.labels.spec import is_in_rows
from vggbatch.storage.filesystem import public_uri


def classes_digest(lines: Sequence[str]) -> str:
    """The SHA-256 by which run.json identifies a class list."""
    return sha256("\n".join(lines).encode()).hexdigest()


def recorded_classes(record: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The class list that run.json holds; None where it has none that is the network's."""
    lines = record.get("classes")
    if lines and classes_digest(lines) == record.get("model", {}).get("classes_sha256"):
        return tuple(lines)
    return None


def labels_to_read(record: Mapping[str, Any], *, own: bool) -> tuple[list[str], list[str]]:
    """The label sets by which the rows of a run can be scored again, as the run has been.

    Args:
        record: run.json of the run.
        own: this user has recorded the run; label files that another's names are not opened, only
            labels that are in its rows are taken.

    Returns:
        The sets, and a line about each that is not among them.
    """
    specs: list[str] = record["config"]["labels"]
    kept = [spec for spec in specs if own or is_in_rows(spec, record["row_labels"])]
    return kept, [
        f"there are no metrics by {public_uri(spec)}: the run was not recorded here by this user, "
        "so files that it names are not opened; vggbatch rescore computes them"
        for spec in specs
        if spec not in kept
    ]


def check_given(specs: Sequence[str], given: LabelOptions) -> None:
    """Refuse options of label files where none is read.

    Raises:
        UsageError: there are options, and all of the labels are those in the rows.
    """
    if given.model_fields_set and all(LabelSpec.parse(s).source == EMBEDDED for s in specs):
        raise UsageError(
            "columns and indices say how a label file is read: they change nothing about the "
            "embedded labels, which the run has recorded by their classes"
        )


def has_read(record: Mapping[str, Any], spec: str) -> bool:
    """Whether the labels of a spec are among those that the run has read."""
    return _source(spec) in map(_source, record.get("config", {}).get("labels", ()))


def options_of(
    record: Mapping[str, Any], spec: str, given: LabelOptions, *, own: bool
) -> LabelOptions:
    """How a label file is to be read: as the run has read it, if it has, but for what is given.

    Args:
        record: run.json of the run, with that of `rescore` over it where there is one.
        spec: the label set.
        given: what the caller asks for.
        own: this user has recorded the run; files that another's names are not opened.

    Raises:
        UsageError: the run read the labels with a class list that is not opened.
    """
    rescored = record.get("rescored", {})
    source = _source(spec)
    base = _options(record["config"]) if has_read(record, spec) else LabelOptions()
    base = base.updated(_options(rescored.get("options", {}))).updated(given)
    names = base.indices.names
    if names is not None and names != given.indices.names and not own:
        raise UsageError(
            f"the run read {source} with the class list {names}, and was not recorded by this "
            "user: name that list with --set indices.names=FILE"
        )
    return base


def _source(spec: str) -> str:
    """The label file as run.json names it."""
    return public_uri(LabelSpec.parse(spec).source)


def _options(values: Mapping[str, Any]) -> LabelOptions:
    known = {name: values[name] for name in ("columns", "indices") if name in values}
    return LabelOptions.model_validate(known)
