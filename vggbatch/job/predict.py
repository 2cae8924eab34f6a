"""A few images, scored in this process and at once: nothing is written, and no Ray."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from vggbatch.classifier import Classifier
from vggbatch.classifier.provider import Provider
from vggbatch.errors import ImageError
from vggbatch.job.job import Job
from vggbatch.job.networks import network_opener
from vggbatch.pipeline.recipes import pictures_for, resize_specs
from vggbatch.pipeline.stages import BAD_SCORES
from vggbatch.preprocess.image_buffer import ImageResizer
from vggbatch.sources import reader_for
from vggbatch.sources.base import left_out_of, with_left_out
from vggbatch.sources.input_warnings import merged

SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("error", pa.string()),
        ("top5_index", pa.list_(pa.int32())),
        ("top5_probability", pa.list_(pa.float32())),
        ("top5_synset", pa.list_(pa.string())),
    ]
)
"""The lists are null where there is an error, and shorter than five with fewer classes."""


def predict(job: Job) -> pa.Table:
    """Score a job's images with its first recipe, one after the other.

    Returns:
        Rows of SCHEMA, one an image in input order, with a note of what is none (`left_out_of`).
    """
    config = job.config
    Provider.named(config.compute.provider, config.compute.provider_options, here=True)
    threads = config.compute.threads or 0
    classifier = Classifier(network_opener(job)(), job.protocol, threads=threads, pin=False)
    recipes = job.recipes[:1]
    make = ImageResizer(config.decode, resize_specs(recipes), job.protocol)
    rows: list[dict[str, Any]] = []
    left_out = job.left_out
    for shard in job.shards:
        reader = reader_for(shard.format)
        members = reader.members(shard)
        left_out = merged(left_out, left_out_of(members))
        contents = reader.read(shard, members, config.decode.max_bytes)
        for image_id, data in zip(shard.image_ids(members), contents, strict=True):
            row: dict[str, Any] = {"image_id": image_id}
            rows.append(row)
            try:
                if isinstance(data, ImageError):
                    raise data
                packers = make.packers(1)
                for packer, pictures in zip(packers, make(data), strict=True):
                    packer.add(pictures)
            except ImageError as error:
                row["error"] = str(error)
                continue
            packed = [packer.packed() for packer in packers]
            found = classifier(pictures_for(recipes[0], recipes, packed), recipes[0].preprocess)
            if found.bad[0]:
                row["error"] = BAD_SCORES
                continue
            known = [i for i in found.index[0].tolist() if i >= 0]
            row["top5_index"] = known
            row["top5_probability"] = found.probability[0].tolist()[: len(known)]
            row["top5_synset"] = [job.model.classes[i] for i in known]
    return with_left_out(pa.Table.from_pylist(rows, schema=SCHEMA), left_out)
