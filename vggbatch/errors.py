"""The errors a user can cause, each shown as one line and mapped to an exit status."""

from __future__ import annotations


class VggbatchError(Exception):
    """A failure with one clear line that says what is wrong and what to do. Exit status 1."""

    exit_status = 1


class UsageError(VggbatchError):
    """Wrong usage or configuration: nothing was started. Exit status 2."""

    exit_status = 2


class JobFailed(VggbatchError):
    """The job started and failed, or passed its error limit. Exit status 1."""


class ImageError(Exception):
    """One image that cannot be scored: it becomes a row whose `error` is `kind: message`.

    Kinds: `missing` (the file is not there), `unreadable` (it may not be read), `empty` (no
    bytes), `not_image` (no known image format), `truncated`, `corrupt`, `too_large` (bytes or
    pixels over the limit), `crash` (it killed the process that decoded it), `bad_shard` (the
    shard is damaged from here on).
    """

    KINDS = (
        "missing",
        "unreadable",
        "empty",
        "not_image",
        "truncated",
        "corrupt",
        "too_large",
        "crash",
        "bad_shard",
    )

    def __init__(self, kind: str, message: str) -> None:
        assert kind in self.KINDS, kind
        super().__init__(kind, message)
        self.kind = kind
        self.message = " ".join(message.split())

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"
