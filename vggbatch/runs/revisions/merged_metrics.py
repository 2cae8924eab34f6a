"""The metrics of joined outputs: from their rows, and the whole numbers in the files' footers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vggbatch.metrics.evaluate import Evaluation, evaluate_predictions, write_metrics
from vggbatch.metrics.recorded import labels_to_read
from vggbatch.metrics.sets import label_sets
from vggbatch.output.footer import footer_of_plan
from vggbatch.output.layout import Output
from vggbatch.output.ownership.fence import Fence
from vggbatch.runs.revisions.joinable import Joined


def merged_evaluations(
    joined: Output, found: Sequence[Joined], names: Sequence[str]
) -> dict[str, Evaluation]:
    """Metrics by profile, if all of the outputs have them and any image was scored."""
    source = found[0].source
    if any(one.source.record["metrics"] is None for one in found):
        return {}
    specs, _ = merged_labels(found)
    if not specs:
        return {}
    sets = label_sets(
        specs,
        joined.folder,
        source.class_lines,
        recorded=source.record["row_labels"],
        options=source.options(specs),
    )
    return {
        name: evaluate_predictions(
            joined.profile(name) if number else joined.folder,
            sets,
            class_lines=source.class_lines,
            published=source.published(),
            errors=source.record["config"].get("errors", "wrong"),
        )
        for number, name in enumerate(names)
    }


def merged_labels(found: Sequence[Joined]) -> tuple[list[str], list[str]]:
    """The label sets of the joined rows; see `labels_to_read`."""
    return labels_to_read(found[0].source.record, own=all(one.source.own for one in found))


def written(
    joined: Output, place: Fence, profile: str, evaluations: Mapping[str, Evaluation]
) -> dict[str, Any]:
    """Write the metrics of an output, and what run.json says of them."""
    if not evaluations:
        place.delete_tree("metrics")
        return {"metrics": None, "tables": None}
    plan = joined.read_plan() or {}
    own, *_ = evaluations
    footers = {name: footer_of_plan(plan, "" if name == own else name) for name in evaluations}
    if profile:
        footers = {own: footer_of_plan(plan, profile)}
    tables = write_metrics(place, evaluations, footers)
    return {"metrics": evaluations[own].lines() if tables else [], "tables": tables}
