from __future__ import annotations

import io

from rich.console import Console

from vggbatch.metrics import LabelSet, evaluate_predictions
from vggbatch.metrics.render import render


def test_shows_values_intervals_published_and_notes(run):
    labels = LabelSet("val [1]", benchmark="ILSVRC2012")
    found = evaluate_predictions(
        run.folder,
        [labels],
        class_lines=run.class_lines,
        published={"ILSVRC2012": {"top1": 99.0}},
    )
    out = io.StringIO()
    Console(file=out, width=80).print(render(found))
    text = out.getvalue()
    top1 = found.metrics[0]
    row = next(line for line in text.splitlines() if line.startswith("top1 %"))
    assert f"{top1.value:.2f}" in row
    assert f"{top1.ci_low:.2f} - {top1.ci_high:.2f}" in row
    assert "99.00" in row
    assert f"! {top1.value - 99:+.2f}" in row
    assert "val [1]" in text
    assert "points from the published 99.00, more than 0.4" in text
