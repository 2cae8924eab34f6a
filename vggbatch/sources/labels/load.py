"""Labels by what the user names: a file whose form is recognised, or `embedded`."""

from __future__ import annotations

from collections.abc import Sequence

from vggbatch.bounded import is_web, read_bounded
from vggbatch.errors import UsageError
from vggbatch.sources import columns
from vggbatch.sources.labels import devkit, real
from vggbatch.sources.labels.lookup import Labels
from vggbatch.sources.labels.real import MultiLabels
from vggbatch.sources.labels.spec import EMBEDDED
from vggbatch.sources.labels.tables import from_table
from vggbatch.storage import filesystem, store_errors

_MAX_BYTES = 2**30
"""Of a table of labels: ten million lines."""
_MAX_SPECIAL_BYTES = 2**26
"""Of a development kit, which has 2.5 MB, and of real.json, which has 0.5 MB."""


def load_labels(spec: str, classes: Sequence[str]) -> Labels | MultiLabels:
    """Read the labels.

    Args:
        spec: `embedded`, or the path or URI of a label file, of ReaL's real.json, or of the
            ILSVRC2012 devkit as an archive or a folder.
        classes: the model's classes in output order, each line beginning with its WordNet id.

    Raises:
        UsageError: the labels cannot be read, or do not fit the classes.
    """
    synsets = [line.split(" ", 1)[0] for line in classes]
    if spec == EMBEDDED:
        return Labels.embedded(synsets)
    fs, path = filesystem(spec)

    def read(path: str, limit: int = _MAX_SPECIAL_BYTES) -> bytes:
        with store_errors():
            return read_bounded(fs, path, limit)

    try:
        if devkit.is_archive(path):
            return devkit.from_archive(read(path), synsets)
        # to know whether it is a folder, a web server's whole answer would have to be read
        if path.endswith("/") if is_web(fs) else fs.isdir(path):
            data = path if path.rstrip("/").endswith("/data") else f"{path.rstrip('/')}/data"
            return devkit.from_folder(lambda name: read(f"{data}/{name}"), synsets)
        if path.endswith(".json"):
            return real.from_json(read(path), synsets)
        return from_table(columns.read(read(path, _MAX_BYTES), path), synsets)
    except FileNotFoundError:
        raise UsageError(f"labels {spec}: no such file") from None
    except OSError as error:
        raise UsageError(f"labels {spec}: cannot be read: {error}") from None
    except ValueError as error:
        raise UsageError(f"labels {spec}: {error}") from None
