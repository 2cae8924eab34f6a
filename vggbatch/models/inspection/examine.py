"""What a network's scores are, found out on a run of it before the work, once per network."""

from __future__ import annotations

import functools
import hashlib
import json
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import onnx
import onnxruntime

from vggbatch import json_text
from vggbatch.config import Preprocess
from vggbatch.errors import UsageError
from vggbatch.models.cache import open_cache
from vggbatch.models.durable import write_durably
from vggbatch.models.graphs.graph import OLDEST_OPSET, make_batchable, opset
from vggbatch.models.graphs.ports import Layout, Ports, probable
from vggbatch.models.inspection.pictures import as_input, made_pictures
from vggbatch.models.inspection.scores import Scores, find_scores
from vggbatch.models.inspection.trial import PICTURES, Rows, TrialFailed, run_trial
from vggbatch.models.local_files import LocalModel

_VERSION = 2
"""Part of the key: raised whenever the same run is read in another way."""


@dataclass(frozen=True)
class ScoresQuestion:
    """What is to be found out of a network, and what is known of it."""

    name: str
    """For messages."""
    layout: Layout | None
    """None: whichever it runs with."""
    profile: Preprocess
    """Gives the pictures the values, and where the input has none, the size."""
    classes: int
    chosen: str | None
    """The output that the user names."""
    stated: Literal["logits", "probabilities"] | None
    """What the user says the scores are."""


def examine(
    local: LocalModel, ports: Ports, question: ScoresQuestion, cache_dir: str | None
) -> tuple[Scores, Layout]:
    """Run a network on made pictures, and say which of its outputs are scores, and of what kind.

    What was found is kept in the cache, if that can be written to.

    Raises:
        UsageError: it does not run, no output fits, or several do.
    """
    key = {
        "version": _VERSION,
        "onnxruntime": onnxruntime.__version__,
        "model": local.sha256,
        "ports": asdict(ports),
        "question": {**asdict(question), "profile": question.profile.model_dump(mode="json")},
    }
    digest = hashlib.sha256(json.dumps(key, sort_keys=True, default=str).encode()).hexdigest()
    try:
        record = open_cache(cache_dir) / "examined" / f"{digest[:32]}.json"
    except UsageError:  # without a cache that is fit it is found out each time
        return _examine(local, ports, question)
    with suppress(OSError, ValueError, TypeError, KeyError):
        known = json_text.parse(record.read_text())
        return Scores(**known["scores"]), known["layout"]
    scores, layout = _examine(local, ports, question)
    with suppress(OSError):
        record.parent.mkdir(mode=0o700, exist_ok=True)
        document = {"scores": asdict(scores), "layout": layout}
        write_durably(record, json.dumps(document, indent=1).encode())
    return scores, layout


def _examine(local: LocalModel, ports: Ports, question: ScoresQuestion) -> tuple[Scores, Layout]:
    layouts: tuple[Layout, ...] = (question.layout,) if question.layout else ("NCHW", "NHWC")
    with tempfile.TemporaryDirectory(prefix="vggbatch-trial-") as folder:
        graph, names = _runnable(local, ports, Path(folder), question.chosen)
        for layout in layouts:
            try:
                rows = _run(graph, names, ports, layout, question)
            except TrialFailed as failure:
                if layout != layouts[-1]:
                    continue
                raise _cannot_run(ports, layout, question, failure) from None
            break
    scores = find_scores(
        rows,
        classes=question.classes,
        chosen=question.chosen,
        stated=question.stated,
        operator=functools.partial(probable, local.outline.graph),
        described=ports.described,
    )
    return scores, layout


def _runnable(
    local: LocalModel, ports: Ports, folder: Path, chosen: str | None
) -> tuple[Path, tuple[str, ...]]:
    """A file that onnxruntime runs, and its outputs that may be scores."""
    given = {value.name for value in local.outline.graph.output}
    if opset(local.outline) >= OLDEST_OPSET and given >= set(ports.outputs):
        return local.graph, ports.outputs
    whole = onnx.load(local.graph)
    outputs = ports.outputs
    if opset(whole) < OLDEST_OPSET:
        name = chosen if chosen in outputs else outputs[0]
        outputs = make_batchable(whole, input_name=ports.input, scores=name)
    else:
        hidden = [name for name in outputs if name not in given]
        whole.graph.output.extend(map(onnx.helper.make_empty_tensor_value_info, hidden))
    path = folder / "network.onnx"
    onnx.save(whole, path, save_as_external_data=True, location="network.data")
    return path, outputs


def _run(
    graph: Path, names: tuple[str, ...], ports: Ports, layout: Layout, question: ScoresQuestion
) -> dict[str, Rows | None]:
    pixels = made_pictures(PICTURES, *_size(ports, layout, question))
    values: Any = as_input(pixels, question.profile, layout)
    return run_trial(
        graph,
        input=ports.input,
        values=values.astype(ports.input_type),
        outputs=names,
        batch=ports.batch or 1,
    )


def _size(ports: Ports, layout: Layout, question: ScoresQuestion) -> tuple[int, int]:
    return ports.size(layout) or (question.profile.crop, question.profile.crop)


def _cannot_run(
    ports: Ports, layout: Layout, question: ScoresQuestion, failure: TrialFailed
) -> UsageError:
    height, width = _size(ports, layout, question)
    batch = ports.batch or 1
    given = [batch, 3, height, width] if layout == "NCHW" else [batch, height, width, 3]
    declared = [size or "?" for size in ports.input_shape]
    shape = f"[{', '.join(map(str, declared))}]"
    return UsageError(
        f"{question.name} cannot be run on its input {ports.input!r} {ports.input_type} {shape}, "
        f"given {given} (model.layout={layout}, model.preprocess.crop={question.profile.crop}): "
        f"{failure}"
    )
