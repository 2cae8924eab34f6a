"""Fenced writes: those of the holder of a lease; a driver that has lost it changes nothing.

A lease is held by a claim, `_vggbatch/owner.NNNNNNNN/` in the output (see claim.py), which the next
holder takes away before it writes anything itself. All that a run writes into its output, deletes
from it and declares goes through a Fence.

On a disk the fence is the claim's own folder, `owner.NNNNNNNN/TOKEN/`: a file is written and synced
there and then renamed to its name, and a deletion is a rename into it. Once the claim is taken away
such a rename finds no folder and fails, whenever it was begun: there is no moment between a check
and a write. In an object store there is no such rename: ownership is read immediately before each
PUT and DELETE, and what a request in flight may still do is found by those who read the output,
which compare it with what run.json and the markers record (see verify.py).
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, BinaryIO

from vggbatch import json_text
from vggbatch.errors import JobFailed
from vggbatch.output.ownership.removal import persistently
from vggbatch.storage.disk import make_directories, sync_directory
from vggbatch.storage.filesystem import Folder, store_errors

CLAIM = "claim.json"
_BATCH = 100
"""Files of an object store that are deleted after one look at who owns it."""


_ATTEMPTS = 3
"""How often a file is created that a late request of an earlier owner creates before."""


class LeaseLost(JobFailed):
    """This run does not own its output any more: it writes and deletes nothing."""


@dataclass(frozen=True)
class Fence:
    """The right to write below an output; small when pickled, and the same in every process."""

    folder: Folder
    """The output."""
    claim: str
    """Folder of the claim inside it."""
    token: str
    """Whose claim it is."""
    prefix: str = ""
    """Put before every name, with its slash."""

    def below(self, name: str) -> Fence:
        """The same right with names relative to a folder of the output."""
        return replace(self, prefix=f"{self.prefix}{name}/")

    @property
    def workspace(self) -> str:
        """Where files lie on a disk until they are whole, relative to the output."""
        return f"{self.claim}/{self.token}"

    def check(self) -> None:
        """Make sure that the output is still this run's, asked of the disk or store itself.

        Raises:
            LeaseLost: it is not.
        """
        if self.folder.local:
            owned = os.path.isdir(self.folder.path(self.workspace))
        else:
            try:
                owned = self._token_there() == self.token
            except (FileNotFoundError, ValueError):
                owned = False
        if not owned:
            raise LeaseLost(
                f"{self.folder.uri} has been taken over by another run while this one was silent, "
                "or its _vggbatch folder was deleted: this run writes nothing more"
            )

    @contextmanager
    def open_atomic(self, name: str) -> Iterator[BinaryIO]:
        """A file that appears under its name, durably, if the block ends without an error.

        Raises:
            LeaseLost: the output has another owner; nothing has appeared.
        """
        name = self.prefix + name
        if self.folder.local:
            yield from self._on_disk(name)
            return
        with tempfile.NamedTemporaryFile() as spool:
            yield spool  # type: ignore[misc]
            spool.flush()
            self.check()
            with store_errors():
                self.folder.fs.put_file(spool.name, self.folder.path(name))

    def adopt(self, source: Folder, name: str, target: str) -> None:
        """Make a file of another folder one of this output, and leave it where it is too.

        It is linked where both are on one disk, copied inside of a store, and else copied by way
        of this machine; its content is not looked at. Another user's file is copied too: its owner
        could change it afterwards.
        """
        if self.folder.local and source.local and _is_own(source.path(name)):
            partial = self._work_path(".partial")
            try:
                os.link(source.path(name), partial)
            except OSError:
                self.check()  # else another disk, or one that has no links
            else:
                self._place(partial, self.prefix + target)
                return
        if not self.folder.local and source.fs is self.folder.fs:
            self.check()
            with store_errors():
                self.folder.fs.cp_file(source.path(name), self.folder.path(self.prefix + target))
            return
        with (
            self.open_atomic(target) as file,
            store_errors(),
            source.fs.open(source.path(name), "rb") as opened,
        ):
            shutil.copyfileobj(opened, file, 2**20)

    def write_bytes(self, name: str, data: bytes) -> None:
        """Write a whole file; as `open_atomic`."""
        if self.folder.local:
            with self.open_atomic(name) as file:
                file.write(data)
            return
        self.check()
        self.folder.write_bytes(self.prefix + name, data)

    def write_json(self, name: str, value: Any) -> bytes:
        """Write a value as indented JSON, and return its bytes; as `open_atomic`."""
        data = _as_json(value)
        self.write_bytes(name, data)
        return data

    def create_json(self, name: str, value: Any) -> None:
        """Write a file that was deleted or never there; as `write_json`.

        In a store, such a request of a driver that was paused may arrive when the next one has
        taken over. The store refuses it then, for there is the next one's file.
        """
        data = _as_json(value)
        if self.folder.local:
            self.write_bytes(name, data)
            return
        path = self.folder.path(self.prefix + name)
        for _ in range(_ATTEMPTS):
            self.check()
            try:
                with store_errors():
                    self.folder.fs.pipe_file(path, data, mode="create")
                return
            except OSError:
                try:
                    there = self.folder.read_bytes(self.prefix + name)
                except FileNotFoundError:
                    there = None
                if there is None:
                    raise
            if there == data:
                return  # stored by a request whose answer was lost
            self.delete(name)  # of an earlier owner, and late
        raise JobFailed(
            f"{self.folder.uri}/{self.prefix}{name} is written by another run again and again: "
            "stop it, and repeat the command"
        )

    def delete(self, name: str) -> None:
        """Remove a file if it is there. Raises LeaseLost."""
        self.check()
        name = self.prefix + name
        if not self.folder.local:
            persistently(lambda: self.folder.delete(name))
            return
        self._discard(self._take_away(name))

    def delete_tree(self, name: str) -> None:
        """Remove a folder and all in it, if it is there. Raises LeaseLost."""
        self.check()
        name = self.prefix + name
        if self.folder.local:
            self._discard(self._take_away(name))
            return
        self.folder.fs.invalidate_cache()
        with suppress(FileNotFoundError), store_errors():
            paths = self.folder.fs.find(self.folder.path(name))
            for first in range(0, len(paths), _BATCH):
                self.check()
                self.folder.remove_objects(paths[first : first + _BATCH])
        self.folder.fs.invalidate_cache()

    def _on_disk(self, name: str) -> Iterator[BinaryIO]:
        partial = self._work_path(".partial")
        try:
            with open(partial, "w+b") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
        except BaseException as error:
            with suppress(OSError):
                os.unlink(partial)
            self._explain(error, name)
            raise
        self._place(partial, name)

    def _place(self, partial: str, name: str) -> None:
        """Give a file of the workspace, whole and synced, its name."""
        target = self.folder.path(name)
        try:
            self.check()  # or an empty folder might be left in another run's output
            make_directories(os.path.dirname(target))
            os.replace(partial, target)
        except BaseException as error:
            self._explain(error, name)
            raise
        finally:
            # a rename of one link to a file over another leaves both
            with suppress(OSError):
                os.unlink(partial)
        sync_directory(os.path.dirname(target))

    def _take_away(self, name: str) -> str | None:
        """Move a file or folder into the workspace; its path there, None if it is not there."""
        path, taken = self.folder.path(name), self._work_path(".deleted")
        try:
            os.rename(path, taken)
        except (FileNotFoundError, NotADirectoryError):
            self.check()
            return None
        except OSError as error:
            self._explain(error, name)
            raise
        sync_directory(os.path.dirname(path))
        return taken

    def _discard(self, taken: str | None) -> None:
        """Remove what was moved into the workspace, with which it goes if that fails now."""
        if taken is None:
            return
        whole_folder = os.path.isdir(taken) and not os.path.islink(taken)
        with suppress(OSError):
            persistently(partial(shutil.rmtree if whole_folder else os.unlink, taken))

    def _work_path(self, suffix: str) -> str:
        return self.folder.path(f"{self.workspace}/{uuid.uuid4().hex[:12]}{suffix}")

    def _explain(self, error: BaseException, name: str) -> None:
        """Raise what an error of the disk means, where it means more than it says."""
        if isinstance(error, FileNotFoundError):
            self.check()
        if isinstance(error, OSError) and error.errno == errno.EXDEV:
            raise JobFailed(
                f"{self.folder.path(name)} is on another disk than {self.folder.uri}/_vggbatch: "
                "an output must be on one"
            ) from None

    def _token_there(self) -> str | None:
        document = json_text.parse(self.folder.read_bytes(f"{self.claim}/{CLAIM}"))
        token: str | None = document.get("token") if isinstance(document, dict) else None
        return token


def _as_json(value: Any) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=False, default=str).encode() + b"\n"


def _is_own(path: str) -> bool:
    """Whether a file is this user's, and no link to somebody else's."""
    try:
        return os.lstat(path).st_uid == os.stat(path).st_uid == os.geteuid()
    except OSError:
        return False
