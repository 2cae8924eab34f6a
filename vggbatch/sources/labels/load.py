"""Labels by what the user names: a file whose form is recognised, or `embedded`."""

from __future__ import annotations

from collections.abc import Sequence

from vggbatch.errors import UsageError
from vggbatch.sources import columns
from vggbatch.sources.labels.lookup import Labels
from vggbatch.sources.labels.tables import from_table
from vggbatch.storage import filesystem


def load_labels(spec: str, classes: Sequence[str]) -> Labels:
    """Read the labels.

    Args:
        spec: `embedded`, or the path or URI of a label file.
        classes: the model's classes in output order, each line beginning with its WordNet id.

    Raises:
        UsageError: the labels cannot be read, or do not fit the classes.
    """
    synsets = [line.split(" ", 1)[0] for line in classes]
    if spec == "embedded":
        return Labels.embedded(synsets)
    fs, path = filesystem(spec)
    try:
        return from_table(columns.read(fs.cat_file(path), path), synsets)
    except FileNotFoundError:
        raise UsageError(f"labels {spec}: no such file") from None
    except OSError as error:
        raise UsageError(f"labels {spec}: cannot be read: {error}") from None
    except ValueError as error:
        raise UsageError(f"labels {spec}: {error}") from None
