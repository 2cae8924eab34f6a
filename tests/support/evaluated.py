"""Metrics of made runs."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from vggbatch.metrics import RECORDED, Evaluation, LabelSet, Metric, evaluate_predictions


def evaluate(run, *label_sets: LabelSet, **options) -> Evaluation:
    return evaluate_predictions(
        run.folder, label_sets or (RECORDED,), class_lines=run.class_lines, **options
    )


def lines(evaluation: Evaluation, label_set: str = RECORDED.name) -> dict[str, Metric]:
    return {m.metric: m for m in evaluation.metrics if m.label_set == label_set}


def labeled(run) -> np.ndarray:
    return np.array([label is not None for label in run.labels])


class Lookup:
    """Accepted classes by image id."""

    def __init__(self, table: dict[str, list[int]]) -> None:
        self.table = table

    def match(self, image_ids, tokens):
        assert tokens == [None] * len(image_ids)
        return pa.array([self.table.get(i) for i in image_ids], pa.list_(pa.int32()))
