"""Labels by what the user names: a file whose form is recognized, or `embedded`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from vggbatch import class_list, json_text
from vggbatch.bounded import MAX_CLASS_LIST, is_web, read_bounded
from vggbatch.config import ColumnOptions, IndexOptions
from vggbatch.errors import UsageError
from vggbatch.labels import devkit, real
from vggbatch.labels.lookup import Labels
from vggbatch.labels.real import MultiLabels
from vggbatch.labels.spec import EMBEDDED
from vggbatch.labels.tables import from_table
from vggbatch.sources.classes import Classes, as_integer, identified
from vggbatch.sources.tables import columns
from vggbatch.sources.tables.columns import Reading
from vggbatch.storage.filesystem import filesystem, public_uri, store_errors

_MAX_BYTES = 2**30
"""Of a table of labels: ten million lines."""
_MAX_SPECIAL_BYTES = 2**26
"""Of a development kit, which has 2.5 MB, and of real.json, which has 0.5 MB."""


def load_classes(lines: Sequence[str], indices: IndexOptions | None = None) -> Classes:
    """The classes of a network, with what the job says of integers among its labels.

    Raises:
        UsageError: the data set's own class list cannot be read.
    """
    indices = indices or IndexOptions()
    if indices.names is None:
        return Classes(tuple(lines), indices.start, None, indices.folders)
    where = f"the class list {public_uri(indices.names)} (indices.names)"
    fs, path = filesystem(indices.names)
    try:
        with store_errors():
            data = read_bounded(fs, path, MAX_CLASS_LIST)
        names = identified(class_list.parse(data))
    except FileNotFoundError:
        raise UsageError(f"{where} is not there") from None
    except OSError as error:
        raise UsageError(f"{where} cannot be read: {' '.join(str(error).split())}") from None
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from None
    return Classes(tuple(lines), indices.start, names, indices.folders)


def load_labels(
    spec: str,
    lines: Sequence[str] | Classes,
    options: ColumnOptions | None = None,
    images: Callable[[], Iterable[str]] | None = None,
) -> Labels | MultiLabels:
    """Read the labels.

    Args:
        spec: `embedded`, or the path or URI of a label file, of ReaL's real.json, or of the
            ILSVRC2012 devkit as an archive or a folder.
        lines: the model's classes in output order, or those with what indices mean.
        options: may name the columns of a table.
        images: gives ids of the images, by which the column of files is chosen where several may
            be it.

    Raises:
        UsageError: the labels cannot be read, or do not fit the classes.
    """
    classes = lines if isinstance(lines, Classes) else load_classes(lines)
    reading = Reading(options or ColumnOptions(), classes)
    if spec == EMBEDDED:
        return Labels.embedded(classes)
    fs, path = filesystem(spec)

    def read(path: str, limit: int = _MAX_SPECIAL_BYTES) -> bytes:
        with store_errors():
            return read_bounded(fs, path, limit)

    try:
        if devkit.is_archive(path):
            return devkit.from_archive(read(path), classes)
        # to know whether it is a folder, a web server's whole answer would have to be read
        if path.endswith("/") if is_web(fs) else fs.isdir(path):
            data = path if path.rstrip("/").endswith("/data") else f"{path.rstrip('/')}/data"
            return devkit.from_folder(lambda name: read(f"{data}/{name}"), classes)
        content = read(path, _MAX_BYTES)
        if len(content) <= _MAX_SPECIAL_BYTES and _is_real(content):
            return real.from_json(content, classes)
        table = columns.read(content, path)
        _check_not_truth_alone(table)
        return from_table(table, classes, reading, images)
    except FileNotFoundError:
        raise UsageError(f"labels {spec}: no such file") from None
    except OSError as error:
        raise UsageError(f"labels {spec}: cannot be read: {error}") from None
    except ValueError as error:
        raise UsageError(f"labels {spec}: {error}") from None


def _is_real(data: bytes) -> bool:
    """Whether this is ReaL's real.json: a list of lists of integers, and nothing else."""
    if not data.lstrip().startswith(b"["):
        return False
    try:
        value = json_text.parse(data)
    except ValueError:
        return False
    lists = isinstance(value, list) and all(isinstance(item, list) for item in value)
    return lists and all(isinstance(i, int) for item in value for i in item)


def _check_not_truth_alone(table: columns.Table) -> None:
    """Refuse a list of integers, which does not say which image each is of.

    Raises:
        ValueError: it is one.
    """
    cells = next(iter(table.columns.values()))
    if len(table.columns) == 1 and all(as_integer(cell) is not None for cell in cells):
        raise ValueError(
            "there are labels and no names of images; for ILSVRC2012's ground truth name the "
            "devkit, ILSVRC2012_devkit_t12.tar.gz or its folder, whose numbers are not those of "
            "the network"
        )
