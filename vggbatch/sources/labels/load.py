"""Labels by what the user names: a file whose form is recognised, or `embedded`."""

from __future__ import annotations

from collections.abc import Sequence

from vggbatch.errors import UsageError
from vggbatch.sources import columns
from vggbatch.sources.labels import devkit, real
from vggbatch.sources.labels.lookup import Labels
from vggbatch.sources.labels.real import MultiLabels
from vggbatch.sources.labels.spec import EMBEDDED
from vggbatch.sources.labels.tables import from_table
from vggbatch.storage import filesystem


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
    try:
        if devkit.is_archive(path):
            return devkit.from_archive(fs.cat_file(path), synsets)
        if fs.isdir(path):
            data = path if path.rstrip("/").endswith("/data") else f"{path.rstrip('/')}/data"
            return devkit.from_folder(lambda name: bytes(fs.cat_file(f"{data}/{name}")), synsets)
        if path.endswith(".json"):
            return real.from_json(fs.cat_file(path), synsets)
        return from_table(columns.read(fs.cat_file(path), path), synsets)
    except FileNotFoundError:
        raise UsageError(f"labels {spec}: no such file") from None
    except OSError as error:
        raise UsageError(f"labels {spec}: cannot be read: {error}") from None
    except ValueError as error:
        raise UsageError(f"labels {spec}: {error}") from None
