"""Classes by their identity: which of a network's classes a label means.

A label is a WordNet id, a name, or an index. A WordNet id and a name mean the same class whatever
the order of the classes is. An index means a place in some list: the network's own, unless the data
set brings a list of its own, whose place is then translated by WordNet id or name.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

from vggbatch import class_list
from vggbatch.sources.names import WNID

UNLABELED = frozenset({"", "-1", "nan", "none", "null", "n/a", "<na>"})
"""What tables write, in lower case, where an image has no label."""

_BACKGROUNDS = frozenset({"background", "background class", "dummy", "unused background", "none"})
_ALIGNED = 0.9
"""Share of names at the place where ImageNet has them, from which on a list is ImageNet's: the
lists in use spell some names in another way, as Hugging Face's `crane2`."""


@dataclass(frozen=True)
class Classes:
    """The classes of a network, and what the integers among the labels mean. Small to pickle."""

    lines: tuple[str, ...]
    """In output order, each `n01440764 tench, Tinca tinca`, or a name alone."""
    start: int | None = None
    """The index of the first class in the labels; None: 0."""
    names: tuple[str, ...] | None = None
    """The data set's own classes in the order of its indices; None: the network's."""
    folders: bool = False
    """Whether a folder with an integer as its name is a label."""

    def __len__(self) -> int:
        return len(self.lines)

    def __reduce__(self) -> tuple[object, ...]:
        return Classes, (self.lines, self.start, self.names, self.folders)

    def find(self, label: str) -> int | None:
        """The class that a label means; None if it means none, or could mean several."""
        if label not in self._found:
            candidates = self.candidates(label)
            self._found[label] = candidates[0] if len(candidates) == 1 else None
        return self._found[label]

    def candidates(self, label: str) -> tuple[int, ...]:
        """Every class that a label may mean."""
        text = label.strip()
        if is_unlabeled(text):
            return ()
        if wnid_of(text):
            # Kaggle's tables have the class of each box in one cell
            found = [self._by_identity(wnid) for wnid in dict.fromkeys(WNID.findall(text))]
            return tuple(dict.fromkeys(i for one in found for i in one)) if all(found) else ()
        number = as_integer(text)
        if number is None:
            return self._by_name.get(normalized(text), ())
        indexed = self._by_index(number)
        # a class may be named by a number, as the folders of ImageNet-V2 or MNIST's digits are
        named = self._by_name.get(str(number), ()) if self.names is None else ()
        return tuple(dict.fromkeys([*indexed, *named]))

    def has_name(self, label: str) -> bool:
        """Whether it is the name of a class, which may be a number, as MNIST's digits are."""
        return normalized(label) in self._by_name

    def is_past_end(self, label: str) -> bool:
        """Whether a label is an index for which there is no class."""
        number = as_integer(label.strip())
        known = self.lines if self.names is None else self.names
        return number is not None and number - (self.start or 0) >= len(known)

    def explain(self, label: str) -> str:
        """Why a label means no class: to be read after what has the label."""
        candidates = self.candidates(label)
        if len(candidates) < 2:
            return f"{label!r} is no class of this model ({len(self)} classes)"
        first, second = (f"class {i} ({self.lines[i]})" for i in candidates[:2])
        if as_integer(label) is not None:
            return f"{label!r} may be {first} or {second}: set indices.start or indices.names"
        return f"{label!r} may be {first} or {second}: name it by its index or WordNet id"

    @property
    def has_background(self) -> bool:
        """Whether the first class is the background of TensorFlow's networks."""
        return len(self) > 1 and normalized(self.lines[0]).strip("_ ") in _BACKGROUNDS

    @cached_property
    def _found(self) -> dict[str, int | None]:
        return {}

    @cached_property
    def _by_wnid(self) -> dict[str, tuple[int, ...]]:
        found: dict[str, tuple[int, ...]] = defaultdict(tuple)
        for index, line in enumerate(identified(self.lines)):
            if wnid := wnid_of(line):
                found[wnid] += (index,)
        return dict(found)

    @cached_property
    def _by_name(self) -> dict[str, tuple[int, ...]]:
        return _by_name(self.lines)

    def _by_identity(self, wnid: str) -> tuple[int, ...]:
        if self._by_wnid:
            return self._by_wnid.get(wnid, ())
        name = _imagenet_names().get(wnid)
        if name is None:
            return ()
        for form in (name, *name.split(", ")):
            if found := self._by_name.get(normalized(form)):
                return found
        return ()

    def _by_index(self, number: int) -> tuple[int, ...]:
        place = number - (self.start or 0)
        if place < 0:
            return ()
        if self.names is not None:
            name = self.names[place] if place < len(self.names) else ""
            if as_integer(name) is not None:
                return self._by_name.get(normalized(name), ())
            return self.candidates(name)
        # ImageNet's index 0 is output 1 here, TensorFlow's label 1 is too: the label cannot say
        after = (place + 1,) if self.has_background and self.start is None else ()
        return tuple(i for i in (place, *after) if i < len(self))


def wnid_of(text: str) -> str | None:
    """The WordNet id that a label, a class or a folder begins with: `n02085620-Chihuahua`."""
    found = WNID.match(text)
    return found[0] if found else None


def as_integer(text: str) -> int | None:
    """The integer that a label is, also as `3.0`; None if it is none."""
    if re.fullmatch(r"[+-]?\d{1,18}(\.0*)?", text):
        return int(text.partition(".")[0])
    return None


def is_unlabeled(text: str) -> bool:
    """Whether a table writes this where it has no label."""
    return text.strip().lower() in UNLABELED


def normalized(name: str) -> str:
    """A name as it is compared: without differences of case, spaces, and Unicode's normal forms.

    Underscores and hyphens are spaces, as in the names of folders.
    """
    form = unicodedata.normalize("NFC", name).casefold()
    return " ".join(re.sub("[_-]", " ", form).split())


def identified(names: Sequence[str]) -> tuple[str, ...]:
    """Class names with the WordNet ids that they mean, where they are those of ImageNet.

    A list of all of ImageNet's names is one by its order, a background class in front or not, for
    two of the names belong to two classes each. Of other lists the names stay, unless all of them
    are ImageNet's in full, with every synonym.
    """
    if any(wnid_of(name) for name in names):
        return tuple(names)
    imagenet = class_list.imagenet()
    offset = len(names) - len(imagenet)
    if offset in (0, 1):
        pairs = list(zip(names[offset:], imagenet, strict=True))
        agreeing = sum(normalized(name) in _name_forms(line) for name, line in pairs)
        if agreeing >= _ALIGNED * len(imagenet):
            wnids = (f"{wnid_of(line)} {name}" for name, line in pairs)
            return (*names[:offset], *wnids)
    full = _by_full_name()
    in_full = [full.get(normalized(name)) for name in names]
    if all(in_full) and any("," in name for name in names):
        return tuple(f"{wnid} {name}" for wnid, name in zip(in_full, names, strict=True))
    return tuple(names)


@cache
def _imagenet_names() -> Mapping[str, str]:
    """The names of each WordNet id."""
    return {line[:9]: line[10:] for line in class_list.imagenet()}


@cache
def _by_full_name() -> Mapping[str, str]:
    """The WordNet id of each class by all of its names in one, if no other class has the same."""
    all_names = _imagenet_names()
    count = Counter(map(normalized, all_names.values()))
    forms = {normalized(name): wnid for wnid, name in all_names.items()}
    return {form: wnid for form, wnid in forms.items() if count[form] == 1}


def _name_forms(line: str) -> set[str]:
    """The names of a class: all of them in one, and each synonym."""
    whole = WNID.sub("", line, count=1).lstrip(" \t,:_-")
    return {normalized(form) for form in (whole, *whole.split(", ")) if form.strip()}


def _by_name(lines: Sequence[str]) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = defaultdict(tuple)
    for index, line in enumerate(lines):
        for form in _name_forms(line):
            found[form] += (index,)
    return dict(found)
