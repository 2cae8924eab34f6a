"""Thumbnails for a page, read again from the input as the network saw it."""

from __future__ import annotations

import base64
import io
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image
from pydantic import ValidationError

from vggbatch import uris
from vggbatch.chunks.chunk import NumberedShard
from vggbatch.config import DecodeOptions, Preprocess
from vggbatch.errors import ImageError, VggbatchError
from vggbatch.metrics.rows import Outputs, Predictions
from vggbatch.output.layout import Output
from vggbatch.output.names import PROFILES
from vggbatch.preprocess.decode import decode_image
from vggbatch.preprocess.pillow_globals import kept_globals
from vggbatch.preprocess.transform import center_crop
from vggbatch.report.example import Example
from vggbatch.sources import reader_for
from vggbatch.storage.filesystem import Folder, public_uri

SIZE = 224
"""Pixels of a side, which most networks see: nothing is lost when it is enlarged; 6 to 9 kB each
as WebP."""
_QUALITY = 70
"""Of WebP, in the quick way: less than half the time, for 4 % more bytes (measured)."""
_AT_ONCE = 4
"""Images that are made small at a time; Pillow leaves other threads their turn meanwhile."""
_LIMITS = frozenset({"max_bytes", "max_pixels", "max_memory_mb", "timeout_s"})
"""Decoding options that another user's output does not set."""


@dataclass
class Thumbnails:
    """What could be read of some images."""

    uris: dict[str, str] = field(default_factory=dict)
    """`data:` URIs by image id."""
    problem: str | None = None
    """Why the input could not be read, if it could not."""

    @cached_property
    def numbers(self) -> dict[str, int]:
        """By image id, the number by which the page's style names an image.

        So it is in the page once, however many of its sections show it.
        """
        return {image_id: number for number, image_id in enumerate(self.uris)}


@kept_globals()
def thumbnails(
    predictions: Predictions,
    examples: Sequence[Example],
    record: dict[str, Any],
    images: Sequence[str] = (),
    *,
    trusted: bool = True,
) -> Thumbnails:
    """Read images of a run's input again and make them small.

    Each is resized and cropped as for the network. Of images that were not scored, what can be
    decoded is shown. An input that has moved is no error: `problem` says so.

    Args:
        predictions: the output of the run.
        examples: the images.
        record: the run's run.json.
        images: folders or URIs below which images may be read, in an output that this user has not
            recorded here: one that somebody else has made may name any file.
        trusted: False: not even in one that this user has recorded.
    """
    if isinstance(predictions, Outputs):
        return _of_several(predictions, examples, record, images, trusted=trusted)
    found = Thumbnails()
    wanted = {example.image_id: example for example in examples}
    settings = {k: v for k, v in record["preprocess"].items() if k != "profile"}
    decode = record.get("config", {}).get("decode", {})
    try:
        preprocess = Preprocess(**settings)
        lenient = DecodeOptions(**{**decode, "truncated": True})
    except ValidationError:
        found.problem = "another version of vggbatch recorded how they were decoded"
        return found
    # the output of a further profile lies in that of its run, which has the state
    run = Folder(predictions.uri.removesuffix(f"/{PROFILES}/{record.get('profile')}"))
    try:
        output = Output(run)
        shards, own = output.read_own_shards()
        if not (own and trusted):
            lenient = DecodeOptions(
                **{k: v for k, v in lenient.model_dump().items() if k not in _LIMITS}
            )
            shards = [shard for one in shards for shard in _below(one, images)]
            if not shards and wanted:
                found.problem = (
                    "the run was not recorded here by you, so what it names is not opened; "
                    "vggbatch report --images FOLDER shows its images that are below that folder"
                )
                return found
        contents = _contents(output, shards, wanted, lenient.max_bytes)
        found.uris |= _data_uris(contents, lenient, preprocess)
    except (OSError, VggbatchError) as error:
        found.problem = f"the input could not be read: {' '.join(str(error).split())}"
    if not found.uris and wanted and not found.problem:
        found.problem = "the images are not where they were when they were scored"
    return found


def _of_several(
    outputs: Outputs,
    examples: Sequence[Example],
    record: dict[str, Any],
    images: Sequence[str],
    *,
    trusted: bool,
) -> Thumbnails:
    """From each output those that it has."""
    found = Thumbnails()
    for folder in outputs.folders:
        left = [example for example in examples if example.image_id not in found.uris]
        some = thumbnails(folder, left, record, images, trusted=trusted) if left else Thumbnails()
        found.uris |= some.uris
        found.problem = some.problem or found.problem
    if len(found.uris) == len(examples):
        found.problem = None
    return found


def _below(numbered: NumberedShard, roots: Sequence[str]) -> Iterator[NumberedShard]:
    """A shard with the members that are below one of some folders, if there are any."""
    number, group, shard = numbered
    if shard.members is None:
        if any(uris.is_below(shard.uri, root) for root in roots):
            # rows may name any file in place of their bytes
            yield number, group, replace(shard, follows=False)
        return
    chosen = [
        any(uris.is_below(source or shard.uri, root) for root in roots)
        for source in shard.members["source"].to_pylist()
    ]
    if any(chosen):
        yield number, group, replace(shard, members=shard.members.filter(pa.array(chosen)))


def _contents(
    output: Output, shards: Sequence[NumberedShard], wanted: dict[str, Example], max_bytes: int
) -> Iterator[tuple[str, bytes | ImageError]]:
    """The bytes of the wanted images, by image id."""
    sources = {example.source for example in wanted.values()}
    left = set(wanted)
    indexes = output.index_folder()
    for _, _, shard in shards:
        if not left:
            return
        if shard.members is None and public_uri(shard.uri) not in sources:
            continue
        prefix = f"{shard.name}/" if shard.name else ""
        members = reader_for(shard.format).members(shard, indexes)
        inside = [name.removeprefix(prefix) for name in left if name.startswith(prefix)]
        names = pa.array(inside, pa.string())
        chosen = members.filter(pc.field("name").isin(names))
        contents = reader_for(shard.format).read(shard, chosen, max_bytes)
        for image_id, data in zip(shard.image_ids(chosen), contents, strict=True):
            left.discard(image_id)
            yield image_id, data


def _data_uris(
    contents: Iterator[tuple[str, bytes | ImageError]],
    decode: DecodeOptions,
    preprocess: Preprocess,
) -> Iterator[tuple[str, str]]:
    """Thumbnails of the images that can be decoded, a few made at a time."""

    def make(data: bytes) -> str | None:
        try:
            return _data_uri(decode_image(data, decode), preprocess)
        except ImageError:
            return None

    begun: deque[tuple[str, Future[str | None]]] = deque()
    with ThreadPoolExecutor(_AT_ONCE, "thumbnails") as pool:
        for image_id, data in contents:
            if not isinstance(data, ImageError):
                begun.append((image_id, pool.submit(make, data)))
            # their bytes are all that is held
            while len(begun) > _AT_ONCE:
                yield from _made(*begun.popleft())
        for one in begun:
            yield from _made(*one)


def _made(image_id: str, uri: Future[str | None]) -> Iterator[tuple[str, str]]:
    made = uri.result()
    if made is not None:
        yield image_id, made


def _data_uri(image: Image.Image, preprocess: Preprocess) -> str:
    # the pixels' rounding is not visible
    shown = preprocess.model_copy(update={"pixels": "uint8"})
    crop = Image.fromarray(center_crop(image, shown))
    small = crop.resize((SIZE, SIZE), Image.Resampling.LANCZOS, reducing_gap=3)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=_QUALITY, method=2)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
