"""What a path or a URI may name: files of this machine and the documented stores, nothing else.

Manifests, class lists and outputs come from strangers, and fsspec opens whatever they name: sets of
references that are templates, filesystems one behind the other, protocols that load a library. Here
is the one place that decides. What has no protocol is a local path and is never taken apart:
`a::b.jpg`, `x#2.jpg` and `50%.jpg` are files of just these names.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit, urlunsplit

from vggbatch.errors import UsageError
from vggbatch.text import is_utf8, of_path, printable, public

STORES = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "hf", "http", "https")
"""The protocols of stores that are read and written."""
FILE = "file"
WEB = frozenset({"http", "https"})
_BUCKETS = frozenset({"s3", "s3a", "gs", "gcs"})

VARIABLE = "VGGBATCH_ALLOW_PROTOCOLS"
"""Environment variable with further protocols of fsspec, separated by commas: the setting
`allow_protocols`, which so reaches the processes that this one starts."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+._-]*)://")
_CHAIN = re.compile(r"[A-Za-z][A-Za-z0-9+._-]*::.*://")
"""As `simplecache::s3://...`; in a URI a `::` is a part of a name like any other."""


class Refused(UsageError):
    """A path or URI that is not opened, be it the user's or a file's."""


def protocol(uri: str) -> str | None:
    """The protocol of a URI in lower case; None of a local path."""
    found = _SCHEME.match(uri)
    return found[1].lower() if found else None


def is_local(uri: str) -> bool:
    """Whether a path or URI names a file of this machine."""
    return protocol(uri) in (None, FILE)


def allowed() -> frozenset[str]:
    """The protocols that are opened beside local files."""
    more = os.environ.get(VARIABLE, "").replace(",", " ").lower().split()
    return frozenset(STORES).union(more)


def allow(protocols: Iterable[str]) -> None:
    """Let this process, and those that it starts, open further protocols."""
    if more := sorted(set(protocols) - allowed()):
        before = os.environ.get(VARIABLE, "")
        os.environ[VARIABLE] = ",".join(filter(None, [before, *more]))


def check(uri: str) -> None:
    """Make sure that a path or URI may be opened.

    Raises:
        Refused: its protocol is not allowed, it is a chain of several, or it is not well-formed.
    """
    name = protocol(uri)
    if "\0" in uri:
        raise Refused(f"{public(uri)!r} is no name of a file")
    if name is None:
        if _CHAIN.match(uri) and not os.path.lexists(uri):
            raise Refused(f"{uri}: filesystems behind one another (::) are not opened")
    elif name == FILE:
        local_path(uri)
    elif name not in allowed():
        raise Refused(
            f"{public(uri)}: {name}:// is not opened, only local files and {', '.join(STORES)}; "
            f"allow_protocols={name} (or {VARIABLE}) allows it"
        )
    elif name in WEB:
        _check_host(uri)
    elif name in _BUCKETS and "@" in uri.split("/", 3)[2]:
        raise Refused(f"{public(uri)}: credentials are not taken from a URI, see docs/formats.md")


def check_utf8(name: str) -> None:
    """Make sure that what is to be written, or is named in what is written, can be named there.

    Raises:
        Refused: it has bytes that are not UTF-8, as names of files may have.
    """
    if not is_utf8(name):
        raise Refused(f"{printable(name)} is not UTF-8: rename it, or name a link to it")


def local_path(uri: str) -> str:
    """The absolute path that a local path or a file:// URI names; `~` is the home folder.

    Raises:
        Refused: it is a file of another machine.
    """
    if protocol(uri) != FILE:
        path = os.path.expanduser(uri) if uri.startswith("~") else uri
    else:
        host, slash, path = uri.partition("://")[2].partition("/")
        if host.lower() not in ("", "localhost"):
            raise Refused(f"{uri} names a file of the machine {host}: file:/// has three slashes")
        # bytes that are not UTF-8 come back as Python writes them in the names of files
        path = unquote(slash + path, errors="surrogateescape")
        if "\0" in path:
            raise Refused(f"{uri!r} is no name of a file")
    if not path.startswith("/"):
        path = os.path.join(os.getcwd(), "" if path == "." else path.removeprefix("./"))
    return path.rstrip("/") or "/"


def resolved(uri: str) -> str:
    """A path or URI as every spelling of it becomes: `a`, `./a/`, `/b/../a`, a link to it."""
    if not is_local(uri):
        return uri.rstrip("/")
    return of_path(os.path.realpath(local_path(uri)))


def named_by(document: str, text: str) -> str:
    """What a document names, as an absolute path or a URI.

    Args:
        document: path or URI of the file that the text stands in.
        text: a path, relative to the document's folder or absolute, or a URI.

    Raises:
        Refused: as `check`; or a document that is not on this machine names a file that is.
    """
    name, local = protocol(text), is_local(document)
    if name is None and not text.startswith("/"):
        uri = beside(document, text)
        if _CHAIN.match(text) and not (local and os.path.lexists(uri)):
            check(text)
    elif is_local(text):
        if not local:
            raise Refused(f"{text}: a file of this machine, named by {public(document)}")
        uri = local_path(text)
    else:
        uri = text
    check(uri)
    return uri


def without_query(uri: str) -> str:
    """A path or URI that ends with the name of a file."""
    return re.split("[?#]", uri)[0] if protocol(uri) in WEB else uri


def folder_of(document: str) -> str:
    """The folder that a document lies in, with a slash at its end, fit to be shown."""
    path = local_path(document) if is_local(document) else public(without_query(document))
    return posixpath.join(posixpath.dirname(path), "")


def beside(document: str, path: str) -> str:
    """The path or URI of a relative path from a document's folder; it stays in its store.

    Of a document on the web the query, such as an access token, stays, unless the path has one.
    """
    name = protocol(document)
    if name in (None, FILE):
        return posixpath.join(posixpath.dirname(local_path(document)), posixpath.normpath(path))
    if name in WEB:
        parts = urlsplit(document)
        path, _, query = path.partition("?")
        joined = posixpath.join("/", posixpath.dirname(parts.path), path.replace("#", "%23"))
        joined = posixpath.normpath(joined)
        return urlunsplit(parts._replace(path=joined, query=query or parts.query, fragment=""))
    prefix, separator, rest = document.partition("://")
    host, _, inside = rest.partition("/")
    joined = posixpath.normpath(posixpath.join("/", posixpath.dirname(inside), path))
    return f"{prefix}{separator}{host}{joined}"


def is_below(uri: str, root: str) -> bool:
    """Whether a file is in a folder, links followed, or a URI begins with another's path."""
    if is_local(uri) != is_local(root):
        return False
    if is_local(uri):
        top = os.path.realpath(local_path(root))
        return os.path.realpath(local_path(uri)).startswith(os.path.join(top, ""))
    steps = unquote(uri.replace("\\", "/")).split("/")
    return uri.startswith(root.rstrip("/") + "/") and ".." not in steps


def _check_host(uri: str) -> None:
    try:
        parts = urlsplit(uri)
        host, _ = parts.hostname or "", parts.port
        if ":" not in host:  # no IPv6 address
            host.encode("idna")
    except ValueError as error:
        # a password that is taken for a port is not shown
        reason = "" if "@" in uri else " (" + str(error).partition(" (")[0] + ")"
        raise Refused(f"{public(uri)}: not a valid URL{reason}") from None
    if not host or re.search(r"[\s\x00-\x20\x7f<>\\^`{|}\"%]", host):
        raise Refused(f"{public(uri)}: not a valid URL (it names no host)")


def base_name(uri: str) -> str:
    """The file name at the end of a path or URI."""
    return without_query(uri).rsplit("/", 1)[-1]
