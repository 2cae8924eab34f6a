"""Preprocessing as exporters and hubs write it down, as a `Preprocess`.

Each function takes the parsed JSON of one kind of file. What a `Preprocess` cannot express is
refused: half of a recipe is a wrong one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from vggbatch.config import Preprocess

_PIL = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
"""Pillow's numbers of its resampling filters."""
_SQUARE = ("ViT", "DeiT", "Beit", "Pvt", "EfficientNet", "Siglip")
_SHORTER = ("CLIP", "Bit", "ConvNext", "MobileNet", "PoolFormer", "Levit", "MobileViT")
"""Processors of transformers by what one number for `size` means to them."""
_LARGE = 384
"""From this size on ConvNext's processor squashes instead of cropping."""
_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

_FOLLOWED = {
    *("do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_convert_rgb"),
    *("do_flip_channel_order", "do_reduce_labels", "do_convert_annotations"),
}
"""Switches that are followed, or that change no pixel."""
_REFUSED = ("rescale_offset", "keep_aspect_ratio")

Config = Mapping[str, Any]


class Inexpressible(ValueError):
    """The recipe asks for what a `Preprocess` has not; the message says for what."""


def of_transformers(config: Config) -> Preprocess:
    """Of a preprocessor_config.json of Hugging Face's transformers. Raises Inexpressible."""
    if isinstance(config.get("pretrained_cfg"), Mapping):
        return of_timm(config)
    if isinstance(config.get("image_processor"), Mapping):
        return of_transformers(config["image_processor"])
    kind = str(config.get("image_processor_type") or config.get("feature_extractor_type") or "")
    if config.get("do_resize", True) is False:
        raise Inexpressible("do_resize false")
    for switch, value in config.items():
        unknown = switch.startswith("do_") and switch not in _FOLLOWED
        if value and (unknown or switch in _REFUSED):
            raise Inexpressible(switch)
    resize, mode, crop = _transformers_size(config, kind)
    mean, std = _transformers_values(config, kind)
    factor = float(config.get("rescale_factor") or 1 / 255)
    rescaled = bool(config.get("do_rescale", True))
    if not rescaled and 0 < max(map(abs, mean)) <= 1:
        raise Inexpressible(f"do_rescale false with image_mean {mean}, of pixels from 0 to 1")
    flipped = config.get("do_flip_channel_order", kind.startswith("MobileViT"))
    return _made(
        resize=resize,
        resize_mode=mode,
        crop=crop,
        interpolation=_interpolation(config.get("resample")),
        channels="BGR" if flipped else "RGB",
        scale=_whole(1 / factor) if rescaled else 1.0,
        mean=mean,
        std=std,
    )


def of_timm(config: Config) -> Preprocess:
    """Of timm's config.json, with the recipe under `pretrained_cfg` or at the top."""
    recipe = config.get("pretrained_cfg")
    recipe = recipe if isinstance(recipe, Mapping) else config
    size = recipe.get("input_size")
    if not isinstance(size, Sequence) or len(size) != 3 or size[1] != size[2]:
        raise Inexpressible(f"input_size {size}")
    crop = int(size[2])
    mode = recipe.get("crop_mode") or "center"
    if mode not in ("center", "squash"):
        raise Inexpressible(f"crop_mode {mode}")
    name = recipe.get("interpolation") or "bilinear"
    return _made(
        resize=math.floor(crop / float(recipe.get("crop_pct") or 0.875)),
        resize_mode="squash" if mode == "squash" else "shorter",
        crop=crop,
        interpolation=_interpolation("bilinear" if name == "random" else name),
        mean=_three(recipe, "mean"),
        std=_three(recipe, "std"),
    )


def of_open_clip(config: Config) -> Preprocess:
    """Of an open_clip_config.json."""
    recipe = config.get("preprocess_cfg") or {}
    vision = (config.get("model_cfg") or {}).get("vision_cfg") or {}
    size = recipe.get("size") or vision.get("image_size")
    if isinstance(size, Sequence) and not isinstance(size, str) and len(set(size)) == 1:
        size = size[0]
    if not isinstance(size, int):
        raise Inexpressible(f"size {size}")
    mode = recipe.get("resize_mode") or "shortest"
    if mode not in ("shortest", "squash"):
        raise Inexpressible(f"resize_mode {mode}")
    return _made(
        resize=size,
        resize_mode="squash" if mode == "squash" else "shorter",
        crop=size,
        interpolation=_interpolation(recipe.get("interpolation") or "bicubic"),
        mean=tuple(recipe.get("mean") or _CLIP_MEAN),
        std=tuple(recipe.get("std") or _CLIP_STD),
    )


def of_ultralytics(size: Sequence[int]) -> Preprocess:
    """Of a classifier that Ultralytics exported, by its `imgsz`."""
    if len(set(size)) != 1:
        raise Inexpressible(f"imgsz {list(size)}")
    crop = int(size[0])
    return _made(resize=crop, crop=crop, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def of_windows(metadata: Mapping[str, str], base: Preprocess) -> Preprocess:
    """Of ONNX's own `Image.` metadata, which state the values and leave the size to `base`."""
    pixels = metadata.get("Image.NominalPixelRange", "NominalRange_0_255").lower()
    values: dict[str, tuple[float, float]] = {
        "nominalrange_0_255": (1.0, 0.0),
        "normalized_0_1": (255.0, 0.0),
        "normalized_1_1": (127.5, 1.0),
    }
    order = metadata.get("Image.BitmapPixelFormat", "Bgr8").lower()[:3]
    if pixels not in values or order not in ("rgb", "bgr"):
        raise Inexpressible(f"{order} pixels of range {pixels}")
    scale, mean = values[pixels]
    update = {
        "channels": order.upper(),
        "scale": scale,
        "mean": (mean,) * 3,
        "std": (1.0,) * 3,
    }
    return base.model_copy(update=update)


def _transformers_size(config: Config, kind: str) -> tuple[int, str, int]:
    """Resize, its mode, and crop."""
    size = config.get("size")
    crop = _side(config.get("crop_size"))
    crops = bool(config.get("do_center_crop", False))
    if isinstance(size, int):
        if kind.startswith(_SHORTER):
            size = {"shortest_edge": size}
        elif kind.startswith(_SQUARE):
            size = {"height": size, "width": size}
    if not isinstance(size, Mapping):
        raise Inexpressible(f"size {size} of {kind or 'an unknown processor'}")
    if "shortest_edge" in size and "longest_edge" not in size:
        shorter = int(size["shortest_edge"])
        if kind.startswith("ConvNext"):
            if shorter >= _LARGE:
                return shorter, "squash", shorter
            return int(shorter / float(config.get("crop_pct") or 224 / 256)), "shorter", shorter
        if kind.startswith("PoolFormer") and config.get("crop_pct"):
            shorter = int(shorter / float(config["crop_pct"]))
        if kind.startswith("Levit"):
            shorter = int(256 / 224 * shorter)
        if not crops or crop is None:
            raise Inexpressible("images that keep their shape (no do_center_crop)")
        return shorter, "shorter", crop
    side = _side(size)
    if side is None:
        raise Inexpressible(f"size {dict(size)}")
    return side, "squash", crop if crops and crop is not None else side


def _transformers_values(config: Config, kind: str) -> tuple[Sequence[float], Sequence[float]]:
    """Mean and standard deviation."""
    if not config.get("do_normalize", not kind.startswith("MobileViT")):
        return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    mean, std = _three(config, "image_mean"), _three(config, "image_std")
    if kind.startswith("EfficientNet") and config.get("include_top", True):
        # its processor divides by the standard deviation twice, as the weights expect
        std = tuple(value**2 for value in std)
    return mean, std


def _side(size: Any) -> int | None:
    """The side of a square; None where it is none."""
    if isinstance(size, int):
        return size
    if isinstance(size, Mapping) and "height" in size and size.get("height") == size.get("width"):
        return int(size["height"])
    return None


def _interpolation(value: Any) -> str:
    name = _PIL[value] if isinstance(value, int) and 0 <= value < len(_PIL) else str(value).lower()
    if name not in _PIL:
        raise Inexpressible(f"interpolation {value}")
    return name


def _three(config: Config, key: str) -> tuple[float, ...]:
    value = config.get(key)
    if isinstance(value, int | float):
        value = [value] * 3
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 3:
        raise Inexpressible(f"{key} {value}")
    return tuple(map(float, value))


def _whole(scale: float) -> float:
    """255 for 1 / 0.00392156862745098."""
    return float(round(scale)) if abs(scale - round(scale)) < 1e-3 else scale


def _made(**parts: Any) -> Preprocess:
    # as torchvision and transformers resize: the longer side is cut to whole pixels
    cut = {"long_side": "truncate"} if parts.get("resize_mode", "shorter") == "shorter" else {}
    try:
        return Preprocess.model_validate(parts | cut)
    except ValidationError as error:
        raise Inexpressible(error.errors()[0]["msg"]) from None
