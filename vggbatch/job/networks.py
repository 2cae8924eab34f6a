"""The networks of a job on a node: their files made ready, and how a classifier opens them.

Imports no more than that takes: a worker has it before its first image.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vggbatch.classifier import NetworkSpec, SessionSpec
from vggbatch.classifier.provider import Provider
from vggbatch.classifier.session import INT8_MICRO_BATCH, MICRO_BATCH
from vggbatch.config import Protocol
from vggbatch.models.cache import trust_cache
from vggbatch.models.model import Model
from vggbatch.models.preparation.prepare import prepare

if TYPE_CHECKING:
    from vggbatch.job.job import Job
    from vggbatch.models.source_files import Source


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
        VggbatchError: its bytes are missing or wrong.
    """
    prepared = prepare(
        model,
        cache_dir=cache_dir,
        features=features,
        dense=dense,
        portable=provider is not None,
        source=source,
    )
    return SessionSpec(
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
