"""The zoo's networks as the cases of a test."""

from __future__ import annotations

from typing import Any

import pytest

from vggbatch.models.catalog import catalog

_QUICK = {"vgg16-7", "vgg19-bn-7", "vgg16-12", "vgg16-12-int8", "vgg16-12-qdq"}
_QUICK |= {"vgg19-caffe2-3", "vgg19-caffe2-9"}
"""One of each kind of graph: the others differ from these in their number of layers or opset."""


def networks() -> list[Any]:
    """The names of all, those that are like another one marked as slow."""
    slow = pytest.mark.slow
    return [pytest.param(name, marks=[] if name in _QUICK else slow) for name in catalog()]
