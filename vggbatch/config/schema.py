"""The job's configuration: one validated, immutable model.

Everything that changes what is written is named in `JobConfig.identity`; the rest (how many
actors, where the cluster is) may differ from one run to the next on the same output.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from vggbatch.config.protocol import Protocol
from vggbatch.config.selection import Selection
from vggbatch.errors import ERROR_KINDS, UsageError
from vggbatch.text import public

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_word_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """YAML reads `yes` and `on` as true, which would be 1 where a number is wanted."""
        kind = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, bool) and bool not in (kind, *get_args(kind)):
            raise ValueError(f"{str(value).lower()} is no value of it")
        return value


class Preprocess(_Strict):
    """How an image becomes the network's input.

    `resize`, `crop`: pixels. `scale`, `mean`, `std`: value = (pixel / scale - mean) / std, with
    mean and std in the order of `channels`.
    """

    resize: int = Field(256, ge=1, le=8192)
    """Pixels of the shorter side, or of both sides, after the resize."""
    resize_mode: Literal["shorter", "squash"] = "shorter"
    """`shorter` keeps the ratio of the sides, `squash` makes the image a square."""
    long_side: Literal["round", "truncate"] = "round"
    """With resize_mode `shorter`, how the longer side becomes whole: rounded, or cut as GluonCV
    and torchvision cut it."""
    crop: int = Field(224, ge=1, le=8192)
    """Pixels of each side of the crop."""
    interpolation: Interpolation = "bilinear"
    """The filter that resizes."""
    resizer: Literal["pillow", "opencv"] = "pillow"
    """Whose filter resizes. OpenCV's bilinear reads two pixels each way and does not antialias;
    that alone is worth one to two points of accuracy."""
    pixels: Literal["uint8", "float32"] = "uint8"
    """Type of the resized pixels. float32, with OpenCV's filter only, leaves them unrounded."""
    channels: Literal["RGB", "BGR"] = "RGB"
    """Order of the channels."""
    scale: float = Field(255.0, gt=0)
    """What pixels from 0 to 255 are divided by."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    """What is subtracted after that, for each channel."""
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    """What is divided by after that, for each channel."""

    @model_validator(mode="after")
    def _consistent(self) -> Preprocess:
        if self.crop > self.resize:
            raise ValueError(f"crop {self.crop} is larger than resize {self.resize}")
        if min(self.std) <= 0:
            raise ValueError("std must be above 0")
        brightest = 255 / self.scale
        if max(map(abs, self.mean)) > brightest * 1.001:
            raise ValueError(
                f"mean {max(self.mean, key=abs):g} is outside of the values that it is taken from, "
                f"0 to {brightest:g} with scale {self.scale:g}: for pixels from 0 to 255 as they "
                "are, scale is 1"
            )
        if self.resizer == "opencv" and self.interpolation != "bilinear":
            raise ValueError(f"resizer opencv has interpolation bilinear, not {self.interpolation}")
        if self.pixels == "float32" and self.resizer != "opencv":
            raise ValueError("pixels float32 needs resizer opencv")
        return self

    def resize_spec(self) -> Preprocess:
        """What decides the pixels: the same resize and crop, the values of the default."""
        return Preprocess(
            resize=self.resize,
            resize_mode=self.resize_mode,
            long_side=self.long_side,
            crop=self.crop,
            interpolation=self.interpolation,
            resizer=self.resizer,
            pixels=self.pixels,
        )


ProfileOrParts = Annotated[
    Annotated[str, Tag("profile")] | Annotated[Preprocess, Tag("parts")],
    Discriminator(lambda value: "profile" if isinstance(value, str) else "parts"),
]
"""A profile's name or its parts; the tags make an error name the fault in the branch meant."""


class ModelOptions(_Strict):
    """Which network, and what its file does not say. None: from net.yaml, the catalog or the graph.

    `name` is a zoo name, `NAME@synthetic`, or a path or URI of an ONNX file.
    """

    name: str = "vgg16-12-int8"
    """Zoo name, NAME@synthetic, or path or URI of an ONNX file."""
    input: str | None = None
    """The input that takes the image. None: the graph's only input."""
    layout: Literal["NCHW", "NHWC"] | None = None
    """Order of the input's dimensions. None: as the input's shape says."""
    output: Literal["logits", "probabilities"] | None = None
    """What the scores are. None: recognized by what they are on a few made pictures."""
    scores: str | None = None
    """The output that has the scores. None: the one with as many as there are classes."""
    preprocess: ProfileOrParts | None = None
    """A profile's name, or its parts. None: what the catalog or the network's files state, else
    `zoo`, with a warning."""
    classes: str | None = None
    """File of the classes, one a line, in output order. None: what the network's files state, else
    the thousand of the project's synset.txt."""
    features: str | None = None
    """The tensor that `--features` writes. None: what the layer of the classes takes."""


class DecodeOptions(_Strict):
    """How image bytes become pixels."""

    exif_orientation: bool = False
    """Apply the EXIF orientation. Off, because every published ImageNet number ignores it."""
    truncated: bool = False
    """Accept truncated images, their missing part gray, instead of an error row."""
    draft: bool = False
    """Let libjpeg decode a JPEG at a half, a quarter or an eighth of its size, where that leaves
    no side shorter than the resize needs. Three times as fast on photographs of a camera's size;
    the pixels are not those that published numbers were measured on."""
    max_pixels: int = Field(178_956_970, ge=1)
    """Larger images are error rows (Pillow's decompression-bomb limit, 2 x 89,478,485)."""
    max_bytes: int = Field(256 * 2**20, ge=1)
    """Larger files are error rows, unread."""
    timeout_s: float = Field(30.0, gt=0)
    """Seconds of CPU that decoding an image may take, after which it is an error row `timeout`. An
    image of few bytes gets fewer: 3, and 0.6 for each megabyte."""
    max_memory_mb: int = Field(1536, ge=64)
    """Memory that decoding an image may take, beside its bytes; one that takes more is an error row
    `too_large`. 179 million pixels take 716 MB, and twice that in CMYK. So many large images are
    decoded at a time as a quarter of a machine's memory has room for, at least one, which gets half
    of that memory at most."""


class ComputeOptions(_Strict):
    """Where the work runs. None: chosen from the machine."""

    executor: Literal["auto", "local", "ray"] = "auto"
    """What executes a run: `local`, worker processes of this machine, without Ray; `ray`, Ray Data,
    on the cluster at `address`, else on a Ray that is started here for the run. `auto`: Ray where
    there is a cluster to join (`address`, RAY_ADDRESS, a Ray job), else local."""
    address: str | None = None
    """Ray cluster to join: `auto` or host:port. None: a cluster of its own."""
    num_cpus: int | None = Field(None, ge=1)
    """Logical CPUs of the cluster that vggbatch starts itself."""
    max_cpus: int | None = Field(None, ge=1)
    """Share of a cluster that others use too: logical CPUs that the run takes at most."""
    actors: int | None = Field(None, ge=1)
    """Classifier actors in all."""
    threads: int | None = Field(None, ge=1)
    """Intra-op threads, and so pinned cores, of each actor."""
    micro_batch: int | None = Field(None, ge=1, le=1024)
    """Images in one run of the network."""
    decode_tasks: int | None = Field(None, ge=1)
    """Decoding tasks of a cluster at a time, in place of classifiers that decode themselves."""
    pin: bool = True
    """Pin each actor to cores of its own where the machine allows it; those of a provider other
    than cpu never are."""
    provider: str = "cpu"
    """What computes the networks: a provider that the installed onnxruntime has, such as `cuda` or
    `openvino` (see `vggbatch doctor`). Its scores may differ from the CPU's, so an output keeps to
    the one that it was begun with."""
    provider_options: dict[str, str] = {}
    """Options of that provider, as onnxruntime documents them: device_type: CPU."""
    log_format: Literal["text", "json"] = "text"
    """Format of the log lines of the driver and its workers; json for log collectors."""

    @field_validator("provider_options", mode="before")
    @classmethod
    def _as_text(cls, options: Any) -> Any:
        """Numbers as onnxruntime takes them: YAML reads `device_id: 0` as one."""
        if not isinstance(options, Mapping):
            return options
        return {
            name: str(value) if isinstance(value, bool | int | float) else value
            for name, value in options.items()
        }

    @field_validator("provider")
    @classmethod
    def _short(cls, name: str) -> str:
        return name.removesuffix("ExecutionProvider").lower()

    @model_validator(mode="after")
    def _options_of_a_provider(self) -> ComputeOptions:
        if self.provider_options and self.provider == "cpu":
            raise ValueError("provider_options need a provider other than cpu")
        return self

    @property
    def cluster_address(self) -> str | None:
        """The cluster to join, None where none is named."""
        return self.address or os.environ.get("RAY_ADDRESS") or None

    @model_validator(mode="after")
    def _one_place(self) -> ComputeOptions:
        if self.executor == "local" and self.address:
            raise ValueError(
                f"executor local takes no address, and address is {self.address}: give one of them"
            )
        return self

    def check_address(self) -> None:
        """Make sure that a run can be on the cluster that is named.

        Raises:
            UsageError: it is named for Ray Client, through which Ray Data does not run.
        """
        address = self.cluster_address
        if address is not None and address.startswith("ray://"):
            raise UsageError(
                f"{public(address)}: Ray Data does not run through Ray Client (ray://): run the "
                "command on a node of the cluster with --address auto or --address HOST:6379, or "
                "send it there with `vggbatch submit --address http://HOST:8265 -- score ...`"
            )


class ColumnOptions(_Strict):
    """Which columns of a table hold what, be it Parquet, CSV or JSON Lines, input or labels.

    None: the column whose content fits; where two fit, the job is refused.
    """

    file: str | None = None
    """Column of the paths or URIs of the images, or of their names."""
    label: str | None = None
    """Column of the classes: WordNet ids, names or indices."""
    bytes: str | None = None
    """Column of the encoded images. In tars: what follows the key in the names of the images to
    score (`png`, `seg.png`), where WebDataset samples have several."""


class IndexOptions(_Strict):
    """What integers among the labels mean. As they are, they are the network's outputs from 0."""

    start: int | None = None
    """The label of the first class: 1 where labels count from 1, -1 where they are ImageNet's from
    0 and the network has a background class in front. None: 0."""
    names: str | None = None
    """File of the data set's own classes in the order of its labels, as WordNet ids or names (a
    line for each class, or JSON). None: those that the data set brings, else the network's."""
    folders: bool = False
    """Take folders whose names are integers as labels, as ImageNet-V2 has them."""


class LabelOptions(_Strict):
    """How label files are to be read, where what they say is not enough."""

    columns: ColumnOptions = ColumnOptions()
    indices: IndexOptions = IndexOptions()

    def updated(self, given: LabelOptions) -> LabelOptions:
        """These with what was set in others."""
        set_, own = given.model_dump(exclude_unset=True), self.model_dump()
        return LabelOptions(
            columns=ColumnOptions(**own["columns"] | set_.get("columns", {})),
            indices=IndexOptions(**own["indices"] | set_.get("indices", {})),
        )


class JobConfig(_Strict):
    """One scoring or evaluation job."""

    input: tuple[str, ...] = ()
    """Folders, shards, globs or list files; paths or URIs."""
    output: str = ""
    """Folder or URI for the output."""
    select: Selection = Selection()
    """Some of the input's images: the first, a sample, one of several parts."""
    labels: tuple[str, ...] = ()
    """Label sets, each `[NAME=]LABELS[@SUBSET]`; the rows get the embedded labels, if they are
    among them, else those of the first set that has one class for an image."""
    errors: Literal["wrong", "left_out"] = "wrong"
    """In the metrics: what a labeled image that could not be scored counts as."""
    columns: ColumnOptions = ColumnOptions()
    indices: IndexOptions = IndexOptions()
    model: ModelOptions = ModelOptions()
    ensemble: tuple[ModelOptions, ...] = ()
    """Further networks, whose probabilities are averaged with those of `model`."""
    profiles: dict[str, ProfileOrParts] = {}
    """Several preprocessing recipes by name, all scored in one pass; the first one's output is the
    run's, the others' are in its folder profiles/NAME. `all`: every one that is plausible for the
    network of the zoo. None: that of each network."""
    protocol: Protocol = Protocol()
    decode: DecodeOptions = DecodeOptions()
    compute: ComputeOptions = ComputeOptions()
    features: Literal["float32", "float16"] | None = None
    """Also write the activations of the last hidden layer as this type: what the layer of the
    classes takes, or the tensor that `model.features` names. Spark and Delta Lake cannot read
    float16."""
    chunk_size: int | None = Field(None, ge=1, le=4096)
    """Images in the unit of work that is read, scored and committed as one. None: by the input.
    A Parquet row group of up to 128 images stays whole, whatever this is."""
    rows_per_file: int | None = Field(None, ge=1)
    """Rows in a predictions file, about. None: a million, or about 128 MB with features."""
    max_error_rate: float | None = Field(None, ge=0, le=1)
    """The job fails when more than this share of the images ended in an error row. None: half; and
    it fails where labels were wanted and no image has one, which 1 allows too."""
    append: bool = False
    """Score what the input has gained since the output was finished, and nothing else."""
    changed: bool = False
    """With `append`: score images again whose files have changed, in place of what they had."""
    prune: bool = False
    """With `append`: take out the rows of images that are in the input no more."""
    retry: str | None = None
    """`errors`: score the images of a finished output again that have an error; of some kinds,
    `errors=missing,timeout`."""
    overwrite: bool = False
    """Delete what is in the output and start again."""
    cache_dir: str | None = None
    """Where model files are kept. None: $XDG_CACHE_HOME/vggbatch or ~/.cache/vggbatch."""
    cache_trusted: bool = False
    """Use the cache although others may write to it, and so replace networks in it."""
    mirrors: tuple[str, ...] = ()
    """Folders or URIs with the zoo's files, tried before the public ones."""
    allow_protocols: tuple[str, ...] = ()
    """Further protocols of fsspec that may be opened, beside local files, s3, gs, abfs (az), hf,
    http and https: ftp or hdfs, say. What a list of images names is opened with them as well, so
    name only those that you need and trust."""

    @model_validator(mode="before")
    @classmethod
    def _shorthands(cls, data: Any) -> Any:
        if isinstance(data, dict):
            data = dict(data)
            data["model"], *further = _networks(data.get("model")) or [{}]
            data["ensemble"] = [*further, *_networks(data.get("ensemble"))]
            if isinstance(data.get("profiles"), str):
                data["profiles"] = [name.strip() for name in data["profiles"].split(",")]
            if isinstance(data.get("profiles"), list | tuple):
                data["profiles"] = {name: name for name in data["profiles"]}
            for key in ("input", "labels"):
                if isinstance(data.get(key), str):
                    data[key] = (data[key],)
            if isinstance(data.get("mirrors"), str):
                data["mirrors"] = tuple(data["mirrors"].split())
            if isinstance(data.get("allow_protocols"), str):
                data["allow_protocols"] = tuple(data["allow_protocols"].replace(",", " ").split())
        return data

    @model_validator(mode="after")
    def _fits_together(self) -> JobConfig:
        for name in self.allow_protocols:
            if not re.fullmatch(r"[a-z][a-z0-9+.-]*", name):
                raise ValueError(f"allow_protocols: {name!r} is no protocol of a URI")
        for name in self.profiles:
            if not re.fullmatch(r"\w[\w.-]*", name):
                raise ValueError(f"profile {name!r} cannot name a folder")
        if (self.changed or self.prune) and not self.append:
            raise ValueError("changed and prune say how to append: give append too")
        if self.append and (self.overwrite or not self.select.everything):
            raise ValueError(
                "append takes all of the input to an output that is there: neither "
                "overwrite nor limit, sample or part go with it"
            )
        if self.retry is not None:
            if not re.fullmatch(r"errors(=\w+(,\w+)*)?", self.retry):
                raise ValueError(f"retry is errors or errors=KIND,KIND, not {self.retry!r}")
            for kind in self.retried_kinds:
                if kind not in ERROR_KINDS:
                    known = ", ".join(ERROR_KINDS)
                    raise ValueError(f"retry: no error is of the kind {kind!r}; kinds are {known}")
            if self.append or self.overwrite:
                raise ValueError("retry goes neither with append nor with overwrite")
        if self.features and (self.ensemble or not self.protocol.single):
            raise ValueError("features are of one network and the single center crop")
        return self

    @property
    def retried_kinds(self) -> tuple[str, ...]:
        """The kinds of errors whose images are scored again; nothing: of all kinds."""
        _, _, kinds = (self.retry or "").partition("=")
        return tuple(kinds.split(",")) if kinds else ()

    @property
    def label_options(self) -> LabelOptions:
        """How label files are to be read."""
        return LabelOptions(columns=self.columns, indices=self.indices)

    def identity(self) -> dict[str, Any]:
        """The settings that decide what is written; a run on the same output must repeat them."""
        keep = {"input", "labels", "errors", "model", "decode", "features"}
        keep |= {"columns", "indices", "ensemble", "profiles", "protocol"}
        keep |= {"chunk_size", "rows_per_file"}
        settings = self.model_dump(mode="json", include=keep)
        if self.compute.provider != "cpu":
            # each computes other last digits, and some in another precision
            settings["provider"] = {self.compute.provider: self.compute.provider_options}
        if not self.select.everything:
            settings["select"] = self.select.model_dump(mode="json")
        return settings


def _networks(value: Any) -> list[Any]:
    """One network or several, by their names or their parts."""
    if value is None:
        return []
    values = value if isinstance(value, list | tuple) else [value]
    return [{"name": item} if isinstance(item, str) else item for item in values]
