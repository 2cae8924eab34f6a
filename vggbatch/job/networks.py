"""The networks of a job on a node: their files made ready, and how a classifier opens them.

Imports no more than that takes: a worker has it before its first image.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vggbatch.classifier import NetworkSpec, SessionSpec
from vggbatch.classifier.provider import Provider
from vggbatch.classifier.session import INT8_MICRO_BATCH, MICRO_BATCH, Session
from vggbatch.config import Protocol
from vggbatch.errors import VggbatchError
from vggbatch.models.cache import trust_cache
from vggbatch.models.model import Model
from vggbatch.models.preparation.prepare import prepare

if TYPE_CHECKING:
    from vggbatch.job.job import Job
    from vggbatch.models.source_files import Source


_PICTURES = 3
_LARGEST_DIFFERENCE = 0.05
"""Of the range of a network's scores: half precision stays below 0.01. OpenVINO was 0.36 off with
an int8 network on a processor without VNNI, where its sums are cut off at 16 bits (measured)."""


def open_model(
    model: Model,
    cache_dir: str | None,
    features: bool,
    *,
    dense: bool = False,
    source: Source | None = None,
    provider: Provider | None = None,
) -> SessionSpec:
    """Get the model file ready on this node, and say how to open it.

    Raises:
        UsageError: the model cannot be prepared.
        VggbatchError: its bytes are missing or wrong, or the provider cannot be used or gives
            other scores than the CPU.
    """
    prepared = prepare(
        model,
        cache_dir=cache_dir,
        features=features,
        dense=dense,
        portable=provider is not None,
        source=source,
    )
    spec = SessionSpec(
        path=str(prepared.path),
        input=prepared.input,
        outputs=prepared.outputs,
        layout=model.layout,
        probabilities=prepared.output_kind == "probabilities",
        micro_batch=INT8_MICRO_BATCH if prepared.quantized else MICRO_BATCH,
        optimized=prepared.optimized,
        batch=prepared.batch,
        provider=provider,
    )
    if provider is not None:
        _check_provider(model, spec, provider)
    return spec


def _check_provider(model: Model, spec: SessionSpec, provider: Provider) -> None:
    """Compare a provider with the CPU on a few pictures, on the machine that is to use it."""
    # which runs on the CPU have no use for
    from vggbatch.models.inspection.pictures import as_input, made_pictures
    from vggbatch.preprocess.profiles import resolve_profile

    _, profile = resolve_profile(model.preprocess)
    size = model.input_size or (profile.crop, profile.crop)
    values = as_input(made_pictures(_PICTURES, *size), profile, model.layout)
    found, expected = (
        Session(replace(spec, provider=one), 1)(values)[0] for one in (provider, None)
    )
    check_scores(found, expected, f"{provider.name} and {model.name}")


def check_scores(found: NDArray[np.float32], expected: NDArray[np.float32], named: str) -> None:
    """Refuse scores (n, classes) that are not the same but for their precision.

    Args:
        found: those of a provider.
        expected: those of the CPU.
        named: the provider and the network, for the message.

    Raises:
        VggbatchError: they differ.
    """
    difference, width = float(np.abs(found - expected).max()), float(np.ptp(expected))
    if not difference <= _LARGEST_DIFFERENCE * width:  # nor is NaN
        raise VggbatchError(
            f"{named} do not go together on this machine: its scores are up to {difference:.3g} "
            f"off, of a range of {width:.3g} on the CPU; take another compute.provider, or the "
            "network in fp32"
        )


def open_networks(
    models: Sequence[Model],
    protocol: Protocol,
    cache_dir: str | None,
    features: bool,
    sources: Sequence[Source | None],
    cache_trusted: bool = False,
    provider: Provider | None = None,
) -> list[NetworkSpec]:
    """Get the files of all networks ready on this node, those that the protocol needs."""
    if cache_trusted:
        trust_cache(cache_dir)
    specs = []
    for model, source in zip(models, sources, strict=True):
        opened = functools.partial(open_model, model, cache_dir, source=source, provider=provider)
        specs.append(
            NetworkSpec(
                opened(features) if protocol.crops else None,
                opened(False, dense=True) if protocol.dense else None,
            )
        )
    return specs


def network_opener(
    job: Job, sources: Sequence[Source | None] | None = None
) -> functools.partial[list[NetworkSpec]]:
    """`open_networks` bound to a job, to be called on the nodes.

    Args:
        job: names the models.
        sources: for each model what gives its files where a node cannot read them; None: the
            nodes are this machine.
    """
    return functools.partial(
        open_networks,
        job.models,
        job.protocol,
        job.config.cache_dir,
        job.config.features is not None,
        sources or [None] * len(job.models),
        job.config.cache_trusted,
        job.provider,
    )
