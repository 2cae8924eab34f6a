"""The class list of a network: where it is, and whether it fits the network's outputs."""

from __future__ import annotations

from vggbatch import class_list
from vggbatch.bounded import MAX_CLASS_LIST, read_bounded
from vggbatch.errors import UsageError
from vggbatch.models.catalog import synset
from vggbatch.storage.filesystem import filesystem, public_uri, store_errors


def load_classes(uri: str | None, width: int | None) -> tuple[str, ...]:
    """The classes of a network, in output order.

    Args:
        uri: the class list; None for the project's own.
        width: how many outputs the network has; None where its file does not say.

    Raises:
        UsageError: the list cannot be read, or has another length than the output.
    """
    classes = synset() if uri is None else _read(uri)
    if width is None or len(classes) == width:
        return classes
    origin = f"the class list {public_uri(uri)}" if uri else "the project's synset.txt"
    raise UsageError(
        f"the network has {width} outputs but {origin} has {len(classes)} classes; "
        "set model.classes to a file with one class per line, in output order"
    )


def _read(uri: str) -> tuple[str, ...]:
    where = f"the class list {public_uri(uri)} (model.classes)"
    fs, path = filesystem(uri)
    try:
        with store_errors():
            return class_list.parse(read_bounded(fs, path, MAX_CLASS_LIST))
    except FileNotFoundError:
        raise UsageError(f"{where} is not there") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{where} cannot be read: {' '.join(str(error).split())}") from None
