"""Whether a store can be reached at all: asked once, in seconds, before images are read from it.

A list or a table may name images in any store. One that this machine cannot reach, for want of
credentials, of a way there or of a package, costs the images in it and not the job.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future

from vggbatch import uris
from vggbatch.errors import UsageError
from vggbatch.storage.filesystem import NoClient
from vggbatch.storage.stores import no_answer, store_of

_WAIT_S = 15.0
"""For an answer. Without credentials clients ask the machine's own metadata server for some, which
takes 11 s (S3) to 90 s (Azure) where there is none; a store that is there answers within one."""
_PAUSE_S = 1.0
_TRIES = 2
_BELIEVED_S = 300.0
"""A process that runs long asks again about a store that did not answer."""


class _Contact:
    """One store, asked in a thread of its own: a client may try for minutes."""

    def __init__(self, uri: str) -> None:
        self.begun = time.monotonic()
        self._answer: Future[str | None] = Future()
        # a daemon, for the process may end while a client still tries
        threading.Thread(target=self._ask, args=(uri,), name="contact", daemon=True).start()

    def _ask(self, uri: str) -> None:
        reason: str | None = None
        for attempt in range(_TRIES):
            time.sleep(_PAUSE_S * attempt)
            reason = _reason(uri)
            if reason is None:
                break
        with contextlib.suppress(Exception):  # it was too late
            self._answer.set_result(reason)

    def reason(self) -> str | None:
        """Why the store cannot be reached; None if it can."""
        try:
            return self._answer.result(max(0.0, self.begun + _WAIT_S - time.monotonic()))
        except TimeoutError:
            # the same answer for all of its images, though it may come around later
            with contextlib.suppress(Exception):
                self._answer.set_result(
                    f"no answer within {_WAIT_S:.0f} s (credentials, endpoint and region?)"
                )
            return self._answer.result()


_contacts: dict[str, _Contact] = {}
_lock = threading.Lock()


def store_name(uri: str) -> str | None:
    """The store that a URI is in, as `s3://bucket`; None of local files and of the web's."""
    name = uris.protocol(uri)
    if uris.is_local(uri) or name in uris.WEB:
        return None
    return "/".join(uri.split("/", 3)[:3])


def begin(named: Iterable[str]) -> None:
    """Ask the stores of all these URIs at the same time."""
    for uri in {store_name(uri): uri for uri in named}.values():
        if store_name(uri) is not None:
            _contact(uri)


def why_unreachable(uri: str) -> str | None:
    """Why nothing can be read from the store of a URI; None if it can be reached.

    A store is reached that answers anything, be it that the file is not there.
    """
    name = store_name(uri)
    reason = None if name is None else _contact(uri).reason()
    return reason and f"{name} cannot be reached: {reason}"


def _contact(uri: str) -> _Contact:
    name = store_name(uri) or ""
    with _lock:
        known = _contacts.get(name)
        if known is None or time.monotonic() - known.begun > _BELIEVED_S:
            known = _contacts[name] = _Contact(uri)
        return known


def _reason(uri: str) -> str | None:
    """Why a store does not answer one request; None if it does."""
    try:
        store, path = store_of(uri)
        store.size(path)
    except uris.Refused:
        return None  # as its reader says, of this URI alone
    except NoClient as error:
        return str(error)
    except UsageError:
        return None
    except Exception as error:
        if no_answer(error):
            text = " ".join(str(error).split())
            return f"{type(error).__name__}: {text}" if text else type(error).__name__
    return None
