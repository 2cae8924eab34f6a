"""The recipes of a job: each a preprocessing for every network, scored in the same pass.

Images are decoded once for all recipes; those that resize and crop alike share their pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vggbatch.config import JobConfig, Preprocess, Protocol
from vggbatch.errors import UsageError
from vggbatch.preprocess.image_buffer import ImageBuffer, at_scales, resized_bytes
from vggbatch.preprocess.profiles import PROFILES, resolve_profile
from vggbatch.preprocess.views import work

if TYPE_CHECKING:
    from vggbatch.models.model import Model


@dataclass(frozen=True)
class Recipe:
    """One way to score the images; its predictions are an output of their own."""

    name: str
    """Of its output, where there are several."""
    profile: str
    """Name of the first network's preprocessing profile, or `custom`."""
    preprocess: tuple[Preprocess, ...]
    """Of each network."""


ALL = "all"
"""Among the profiles of a configuration: every one that is plausible for the network."""


def expand_profiles(config: JobConfig, models: Sequence[Model]) -> JobConfig:
    """The configuration with `all` among its profiles replaced by the names it stands for.

    Raises:
        UsageError: the catalog does not know the network, or there are several.
    """
    if ALL not in config.profiles.values():
        return config
    entry = models[0].entry
    if entry is None or len(models) > 1:
        raise UsageError(
            "--profiles all is for one network of the zoo, whose plausible recipes are known; "
            f"name the profiles: {', '.join(PROFILES)}"
        )
    profiles = {name: spec for name, spec in config.profiles.items() if spec != ALL}
    for name in (entry.preprocess, *entry.plausible):
        profiles.setdefault(name, name)
    return config.model_copy(update={"profiles": profiles})


def recipes_of(config: JobConfig, models: Sequence[Model]) -> tuple[Recipe, ...]:
    """The recipes of a configuration: one for each of `profiles`, or the networks' own.

    Raises:
        UsageError: no profile has that name, or it does not fit a network.
    """
    specs = [(name, [spec] * len(models)) for name, spec in config.profiles.items()]
    recipes = []
    for name, parts in specs or [("", [model.preprocess for model in models])]:
        resolved = [resolve_profile(part) for part in parts]
        profile = resolved[0][0]
        recipes.append(Recipe(name or profile, profile, tuple(part for _, part in resolved)))
    for recipe in recipes:
        for model, preprocess in zip(models, recipe.preprocess, strict=True):
            _check(model, preprocess, config.protocol)
    return tuple(recipes)


def _check(model: Model, preprocess: Preprocess, protocol: Protocol) -> None:
    size = (preprocess.crop, preprocess.crop)
    if model.input_size is not None and model.input_size != size:
        height, width = model.input_size
        raise UsageError(
            f"{model.name} takes {height} x {width} pixels, but preprocessing crops "
            f"{preprocess.crop}: set model.preprocess.crop={height}"
        )
    smallest = min(profile.resize for profile in at_scales(preprocess, protocol))
    if smallest < preprocess.crop:
        raise UsageError(
            f"scale {smallest} is smaller than the {preprocess.crop} pixels that {model.name} takes"
        )


def resize_specs(recipes: Sequence[Recipe]) -> tuple[Preprocess, ...]:
    """What must be made of each image: the different ways of resizing and cropping."""
    return tuple(dict.fromkeys(part.resize_spec() for r in recipes for part in r.preprocess))


def pictures_for(
    recipe: Recipe, recipes: Sequence[Recipe], packed: Sequence[ImageBuffer]
) -> list[ImageBuffer]:
    """Of the pictures that were made for all recipes, those of each network of one."""
    known = resize_specs(recipes)
    return [packed[known.index(part.resize_spec())] for part in recipe.preprocess]


def bytes_of_image(recipes: Sequence[Recipe], protocol: Protocol) -> int:
    """Bytes of one image's pictures."""
    return sum(resized_bytes(resize_spec, protocol) for resize_spec in resize_specs(recipes))


def work_of_image(recipes: Sequence[Recipe], protocol: Protocol) -> float:
    """What an image costs the networks, in single crops of one of them."""
    return sum(work(part, protocol) for recipe in recipes for part in recipe.preprocess)
