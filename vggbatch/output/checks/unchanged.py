"""Whether an output is still the one that a command began to read.

Readers hold no lease, so another run may overwrite an output while it is read. Files have the same
names then, and what was read would be a mixture of two runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from vggbatch.errors import UsageError, VggbatchError
from vggbatch.output.names import PLAN, SUCCESS
from vggbatch.storage.filesystem import Folder


@dataclass(frozen=True)
class Seen:
    """Which run was in an output, as of the moment when it was looked at."""

    folder: Folder
    documents: tuple[bytes | None, ...]
    """Those that differ between any two runs, and that one which overwrites deletes first."""

    @staticmethod
    def of(folder: Folder) -> Seen:
        """Look at an output, before anything else of it is read."""
        return Seen(folder, tuple(_content(folder, name) for name in (SUCCESS, PLAN)))

    def check(self) -> None:
        """Make sure that the run is still there.

        Raises:
            UsageError: another one was begun meanwhile.
        """
        if Seen.of(self.folder).documents != self.documents:
            raise UsageError(
                f"{self.folder.uri} was written by another run while it was read: repeat the "
                "command when that run is finished"
            )

    @property
    def all(self) -> tuple[Seen, ...]:
        """This one, as of several outputs."""
        return (self,)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """For a block that reads the output, and whose result is used only if it is still there.

        Raises:
            UsageError: as `check`; also in place of what the block raised for that reason.
        """
        try:
            yield
        except (OSError, VggbatchError):
            self.check()
            raise
        self.check()


@dataclass(frozen=True)
class SeenAll:
    """The same of several outputs that are read as one."""

    all: tuple[Seen, ...]

    def check(self) -> None:
        """As of each."""
        for seen in self.all:
            seen.check()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """As of each."""
        with ExitStack() as stack:
            for seen in self.all:
                stack.enter_context(seen.reading())
            yield


def _content(folder: Folder, name: str) -> bytes | None:
    try:
        return folder.read_bytes(name)
    except (FileNotFoundError, NotADirectoryError):
        return None
