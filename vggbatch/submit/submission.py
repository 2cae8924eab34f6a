"""What a job on a cluster is to do."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vggbatch.errors import UsageError


@dataclass(frozen=True)
class Submission:
    """What a job is to do.

    Raises:
        UsageError: the working directory is no folder.
    """

    words: tuple[str, ...]
    """The arguments of `vggbatch`."""
    working_dir: str | None = None
    """Folder to upload, or URI of a zip file, to run in. None: the nodes have all they need."""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Environment variables of the job and its workers."""
    num_cpus: float = 0
    """Logical CPUs held for the command itself, beside what its tasks take."""
    memory: int | None = None
    """Bytes, likewise."""
    resources: Mapping[str, float] = field(default_factory=dict)
    """Amounts of custom resources, likewise; they decide on which node the command runs."""

    @property
    def entrypoint(self) -> str:
        """The job's shell command.

        Without a working directory of the user's it imports nothing from the one it starts in.
        """
        safe = [] if self.working_dir else ["-P"]
        return shlex.join(["python", *safe, "-m", "vggbatch", *self.words])

    def __post_init__(self) -> None:
        folder = self.working_dir
        if folder is not None and "://" not in folder and not Path(folder).is_dir():
            raise UsageError(f"working directory {folder} is no folder")

    def digest(self, package: str | None) -> str:
        """The same for submissions of the same words, files and environment.

        Args:
            package: where the working directory is on the cluster, a name made of its content.
        """
        parts = [self.words, sorted(self.environment.items()), package]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def environment(settings: Iterable[str], environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Variables for a job, from `NAME=VALUE` or, taken from `environ`, `NAME`.

    Raises:
        UsageError: no name, or a name that is not set here.
    """
    found = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not name.isidentifier():
            raise UsageError(f"--env takes NAME or NAME=VALUE, and {name!r} is no name")
        if not equals and name not in environ:
            raise UsageError(f"--env {name}: it is not set here; give --env {name}=VALUE")
        found[name] = value if equals else environ[name]
    return found
