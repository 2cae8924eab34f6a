"""The class list that a data set keeps beside its shards, in place of the network's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from vggbatch.labels import Labels
from vggbatch.labels.beside import classes_beside
from vggbatch.sources import InputWarning, Shard, input_warning
from vggbatch.storage.filesystem import public_uri

OWN_CLASSES = "class list beside the shards, whose classes the label indices are taken to count"


def with_own_classes(
    labels: Labels, shards: Iterable[Shard]
) -> tuple[Labels, tuple[InputWarning, ...]]:
    """Labels whose indices count the classes of the list beside the shards, if there is one.

    Only embedded labels for which the user has named no list: others are the network's.

    Raises:
        UsageError: two lists differ.
    """
    if labels.keys is not None or labels.classes.names is not None:
        return labels, ()
    beside = classes_beside(shard.uri for shard in shards if shard.members is None)
    if beside is None:
        return labels, ()
    uri, names = beside
    own = Labels.embedded(replace(labels.classes, names=names))
    return own, (input_warning(OWN_CLASSES, [public_uri(uri)]),)
