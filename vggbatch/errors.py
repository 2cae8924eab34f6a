"""The errors a user can cause, each shown as one line and mapped to an exit status."""

from __future__ import annotations

from vggbatch.text import without_secrets


class VggbatchError(Exception):
    """A failure with one clear line that says what is wrong and what to do. Exit status 1."""

    exit_status = 1

    def __init__(self, *values: object) -> None:
        super().__init__(*(without_secrets(v) if isinstance(v, str) else v for v in values))

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines to show; one, whatever characters the names in it have."""
        return (str(self),)


class UsageError(VggbatchError):
    """Wrong usage or configuration: nothing was started. Exit status 2."""

    exit_status = 2


class CannotStart(VggbatchError):
    """Several things that keep a run from being started, each on a line of its own."""

    @property
    def lines(self) -> tuple[str, ...]:
        """A line that says so, and one for each."""
        return ("the run cannot start:", *(f"  {fault}" for fault in self.args))

    def __str__(self) -> str:
        return "\n".join(self.lines)


class UnfitForRun(CannotStart, UsageError):
    """The same where machines lack something, which the user can change."""


class JobFailed(VggbatchError):
    """The job started and failed, or passed its error limit. Exit status 1."""


class ImageError(Exception):
    """One image that cannot be scored: it becomes a row whose `error` is `kind: message`.

    Kinds: `missing` (the file is not there), `unreadable` (it may not be read), `empty` (no
    bytes), `not_image` (no known image format), `truncated`, `corrupt`, `too_large` (bytes or
    pixels over the limit, or more memory than it may take), `timeout` (reading or decoding it took
    longer than it may), `crash` (it killed the process that decoded it), `bad_shard` (the shard is
    damaged from here on), `refused` (its URI may not be opened), `store` (the store that a list
    or a table names cannot be reached).
    """

    KINDS = (
        "missing",
        "unreadable",
        "empty",
        "not_image",
        "truncated",
        "corrupt",
        "too_large",
        "timeout",
        "crash",
        "bad_shard",
        "refused",
        "store",
    )

    def __init__(self, kind: str, message: str) -> None:
        assert kind in self.KINDS, kind
        self.kind = kind
        self.message = without_secrets(" ".join(message.split()))
        super().__init__(kind, self.message)

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


ERROR_KINDS = (*ImageError.KINDS, "bad_scores")
"""Kinds that the `error` of a row may have: those of images, and NaN or infinity in the scores."""
