"""Whether a machine is fit for a run: its report (see node_report.py) against what a run needs."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vggbatch.classifier.provider import Provider
from vggbatch.cluster.node_report import NodeCheck, NodeReport, existing, inspect_node, may_write
from vggbatch.cluster.placement import Placement, place_here
from vggbatch.errors import UnfitForRun
from vggbatch.job.job import Job
from vggbatch.models.model import Model
from vggbatch.preprocess.effort import ORDINARY_PIXELS
from vggbatch.storage.filesystem import Folder, filesystem, public_uri
from vggbatch.versions import result_versions

_CLASSIFIER_BYTES = 200 * 2**20
"""Memory of a classifier's process beside the weights, which all processes of a node share."""
_ORDINARY_BYTES = 8 * ORDINARY_PIXELS
"""Memory of an image in a thread that decodes: CMYK while it becomes RGB."""
_PREPARATIONS = 3
"""Preparing a model holds it in memory, and writes it to the cache's disk, about so many times."""
_TEMPORARY_BYTES = 512 * 2**20
"""Free bytes on the disk of Ray's temporary folder, at least: for logs and what it spills."""


@dataclass(frozen=True)
class Needs:
    """What every node must have."""

    versions: Mapping[str, str]
    """The driver's own, as `versions.result_versions` gives them."""
    model_bytes: int
    """Size of the weights of all networks; twice that where a protocol has two files of each."""
    unreadable: Collection[str] = ()
    """Inputs that the driver cannot read either: their images become error rows anywhere."""


def needs_of(job: Job, unreadable: Collection[str] = ()) -> Needs:
    """What a job needs of a node; `unreadable` as in Needs."""
    files = (job.protocol.crops is not None) + job.protocol.dense
    return Needs(result_versions(), files * sum(map(_model_bytes, job.models)), unreadable)


def node_check_for(
    job: Job,
    *,
    temporary: str,
    inputs: tuple[str, ...] = (),
    write: bool = False,
    mark: str | None = None,
) -> NodeCheck:
    """What to ask of a machine about a job; arguments as in NodeCheck."""
    return NodeCheck(
        inputs=inputs,
        output=Folder(job.config.output).uri,
        write=write,
        mark=mark,
        cache_dir=job.config.cache_dir,
        models=tuple(m.name if m.entry is not None else Path(m.name).stem for m in job.models),
        temporary=temporary,
        cache_trusted=job.config.cache_trusted,
        image_memory_mb=job.config.decode.max_memory_mb,
    )


def check_own_machine(job: Job, note: Callable[[str], None] | None = None) -> Placement:
    """Fit a job into this machine, where Ray is, or would be, started for it; nothing is written.

    Args:
        job: the job.
        note: called with what is odd about the machine but stops nothing.

    Raises:
        UsageError: no classifier fits, or the machine is not fit for the run.
    """
    compute = job.config.compute
    Provider.named(compute.provider, compute.provider_options, here=True)
    placement = place_here(compute)
    temporary = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
    question = node_check_for(job, temporary=temporary)
    report, needs = inspect_node(question), needs_of(job)
    found = list(find_problems(report, question, needs, placement.actors))
    output = Folder(job.config.output)
    if output.local and not may_write(Path(output.root)):
        there = existing(Path(output.root))
        found.append(f"cannot write to {there}: name another output, or change its mode")
    if found:
        raise UnfitForRun(*(f"this machine {fault}" for fault in found))
    tight = tightness(report, needs, placement.actors)
    if note is not None and tight is not None:
        note(f"this machine {tight}")
    return placement


def find_problems(
    report: NodeReport, question: NodeCheck, needs: Needs, classifiers: int
) -> Iterator[str]:
    """What a machine lacks, each with what to do about it.

    Args:
        report: the machine's answer.
        question: what it was asked.
        needs: what it must have.
        classifiers: that it gets at most; 0 for a node that only coordinates.
    """
    yield from _versions(report, needs)
    yield from _storage(report, question, needs)
    if classifiers:
        yield from _room(report, question, needs, classifiers)


def tightness(report: NodeReport, needs: Needs, classifiers: int) -> str | None:
    """What to say of a machine that is fit, but not for all the large images it may meet at once.

    It still scores: of images that take much memory it decodes fewer at a time, and the kernel ends
    the process of one for which the memory does not do, which is an error row.
    """
    if not classifiers:
        return None
    classifying, decoding = _memory(report, needs, classifiers)
    if report.memory >= classifying + decoding:
        return None
    large = report.large_images
    return (
        f"has {_gigabytes(report.memory)} of memory free, and {_gigabytes(classifying + decoding)} "
        f"may be needed: {_gigabytes(classifying)} by its classifiers, {_gigabytes(decoding)} to "
        f"decode, {large.count} large images at a time among it; if images are so large, lower "
        "compute.actors or decode.max_memory_mb"
    )


def _memory(report: NodeReport, needs: Needs, classifiers: int) -> tuple[int, int]:
    """Bytes that classifiers take, and that decoding for them takes at most."""
    copies = 1 if report.prepared else _PREPARATIONS
    return (
        needs.model_bytes * copies + classifiers * _CLASSIFIER_BYTES,
        classifiers * _ORDINARY_BYTES + report.large_images.bytes,
    )


def memory_of_node(needs: Needs, classifiers: int) -> int:
    """Bytes of memory that a run takes on a node whose networks are prepared, about.

    Args:
        needs: what it must have.
        classifiers: that it gets.
    """
    return needs.model_bytes + classifiers * (_CLASSIFIER_BYTES + _ORDINARY_BYTES)


def find_warnings(reports: Sequence[NodeReport]) -> list[str]:
    """What is odd about the nodes together but stops nothing, a line each."""
    kinds = sorted({report.instructions for report in reports})
    if len(kinds) < 2:
        return []
    return [
        f"the nodes have different CPUs ({', '.join(kinds)}): the last digits of a probability, "
        "and more of an int8 model's, may depend on the node"
    ]


def _versions(report: NodeReport, needs: Needs) -> Iterator[str]:
    other = [
        f"{name} {report.versions.get(name)} (here {version})"
        for name, version in needs.versions.items()
        if report.versions.get(name) != version
    ]
    if other:
        yield f"has {', '.join(other)}: results may differ; install the same versions everywhere"


def _storage(report: NodeReport, question: NodeCheck, needs: Needs) -> Iterator[str]:
    for uri, reason in report.unreadable.items():
        if uri not in needs.unreadable:
            yield (
                f"cannot read {public_uri(uri)}, which can be read here ({reason}): give every "
                "node the input, and the credentials for it"
            )
    output = public_uri(question.output)
    if report.output_unseen:
        yield (
            f"has another {output} than this machine: name an output in a bucket, or on storage "
            "that all nodes share"
        )
    elif report.output_failure:
        yield (
            f"cannot write to {output} ({report.output_failure}): give every node the permission "
            "to write and delete there"
        )


def _room(report: NodeReport, question: NodeCheck, needs: Needs, classifiers: int) -> Iterator[str]:
    models = " and ".join(question.models)
    classifying, decoding = _memory(report, needs, classifiers)
    memory = classifying + min(decoding, _ORDINARY_BYTES)
    if report.memory < memory:
        yield (
            f"has {_gigabytes(report.memory)} of memory free and {classifiers} classifiers of "
            f"{models} take {_gigabytes(memory)} with an image to decode: use larger nodes, fewer "
            "classifiers (compute.actors) or an int8 model"
        )
    if report.temporary_free < _TEMPORARY_BYTES:
        yield (
            f"has {_gigabytes(report.temporary_free)} free for Ray's {question.temporary}, which "
            f"takes {_gigabytes(_TEMPORARY_BYTES)} at least: free some, or start Ray with another "
            "--temp-dir"
        )
    if report.cache_refusal:
        yield f"cannot use its model cache: {report.cache_refusal}"
    if report.prepared:
        return
    if not report.cache_writable:
        yield (
            f"cannot write to the model cache {report.cache}: set cache_dir or VGGBATCH_CACHE_DIR "
            "to a folder that it can"
        )
    disk = needs.model_bytes * _PREPARATIONS
    if report.cache_free < disk:
        yield (
            f"has {_gigabytes(report.cache_free)} free for the model cache {report.cache} and "
            f"preparing {models} takes {_gigabytes(disk)}: free some, or set cache_dir or "
            "VGGBATCH_CACHE_DIR to another folder"
        )


def _model_bytes(model: Model) -> int:
    if model.entry is not None:
        return model.entry.weights.bytes
    fs, path = filesystem(model.uri or "")
    return int(fs.info(path).get("size") or 0)


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2f} GB"
