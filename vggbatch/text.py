"""Text from outside: without what is secret in it, and fit to be shown.

Whatever is written down or shown passes through here: rows, files, errors, log lines, the terminal.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

_OBJECTS = frozenset(
    {"s3", "s3a", "gs", "gcs", "hf", "abfs", "abfss", "az", "adl", "wasb", "wasbs"}
)
"""Protocols whose URIs have no query: a ? is part of a name."""
_CONTAINER = frozenset({"abfs", "abfss", "az", "adl", "wasb", "wasbs"})
"""Protocols with a container, and no user, before the @ of a URI."""

_SIGNS = (
    r"x-(?:amz|goog|oss|cos|obs|tos|ms|bz)-[\w-]+|q-sign-[\w-]+|(?:aws|oss)?access_?key_?id"
    r"|googleaccessid|key-pair-id|sig|signature|sign|hmac|hdn(?:ts|tl|ea)|jwt|bearer|auth(?:[-_]key)?"
    r"|authorization|(?:[\w-]*[-_])?token(?:__)?|(?:\w*[-_])?api[-_]?key|account_?key|subscription-key"
    r"|(?:\w*[-_])?secret(?:[-_]\w+)*|passw(?:or)?d|pwd|passphrase|credentials?"
)
"""Names of what signs a request or lets somebody in, wherever it stands."""
_SIGNED = (
    r"expires?|expiry|expiration|exp|policy|response-[\w-]+|x-id|algorithm|signedheaders|nonce|ttl"
    r"|timestamp|ts|t|e|ss|srt|s[veprt]|spr|sip|sks?|skoid|sktid|sk[tev]|saoid|suoid|scid|sdd|ses"
)
"""Further names that are part of a signature where there is one: until when, for whom."""
_IS_SIGN = re.compile(_SIGNS, re.IGNORECASE)
_IS_SIGNED = re.compile(_SIGNED, re.IGNORECASE)
_PLACE = re.compile(r"/jobs/[\w-]+")
_DIGEST = re.compile(r"query=[0-9a-f]{12}")

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+._-]*")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>\\^`{|}]+")
_BEHIND_PATH = re.compile(r"(?<=[\w/.%-])\?[\w%.~+-]+=[^\s'\"<>()]*")
_PATH_PARAMETER = re.compile(rf";(?:{_SIGNS}|jsessionid|phpsessid|sid)=[^/;]*", re.IGNORECASE)
_USER = re.compile(
    r"(?<![\w/\\@])((?:[A-Za-z][\w+.-]*:)?/{1,2}|[\w.:/-]*\\@)[^\s/:@\\]+:[^\s/@]+@(?=[\w\[])"
)
"""User and password where slashes are missing, or backslashes stand for them."""
_BEHIND = ".,;:!)]"
"""What a sentence puts behind a URI."""
_ASSIGNED = re.compile(
    rf"(?<![\w-])((?:{_SIGNS})(?:\s*(?:=|%3D)\s*[\"']?|[\"']\s*[:,]\s*b?[\"']))([^\s&'\",;)}}\]]+)"
    r"|(?<![\w-])((?:proxy-)?authorization\s*:\s*|(?:set-)?cookie\s*:\s*|x-amz-[\w-]+\s*:\s*)([^\r\n'\"]+)",
    re.IGNORECASE,
)
"""As in a query, in a mapping that was printed, in a header."""
_KEYS = re.compile(
    r"\b(?:A[KS]IA[0-9A-Z]{16}|hf_[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{30,}"
    r"|(?:Bearer|Basic)\s+[\w+/=.~-]{8,}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]+)"
)
"""Keys and tokens that are known by their form."""
HIDDEN = "***"

_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
"""Control characters, parts of escape sequences, what turns the direction of text around, what
cannot be seen, and bytes of a file name that are not text."""


def is_utf8(text: str) -> bool:
    """Whether a text can be written down, which names of files with other bytes cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def of_path(path: str) -> str:
    """A local path as text that can be written down: a file:// URI if its name is not UTF-8."""
    return path if is_utf8(path) else f"file://{quote(os.fsencode(os.path.abspath(path)))}"


def public(uri: str) -> str:
    """A path or URI without what may be secret: user and password, signature, fragment.

    URIs that differ only in their signature, which may be renewed, become the same. What else a
    query says may name another image, and may be secret as well: a digest stands for it. Local
    paths come back as they are, as file:// URIs if they are not UTF-8, for documents are.
    """
    scheme, separator, rest = uri.partition("://")
    if not separator or not _SCHEME.fullmatch(scheme):
        return of_path(uri)
    scheme = scheme.lower()
    if scheme in ("file", "local", "memory"):
        return uri
    if scheme in _OBJECTS:
        host, slash, path = rest.partition("/")
        user, at, host = host.rpartition("@")
        kept = user.partition(":")[0] + at if scheme in _CONTAINER else ""
        # a ? is part of a name there, and yet signatures are put behind it
        if "?" in path:
            path = _BEHIND_PATH.sub(lambda found: _public_behind(found[0]), path)
        return f"{uri.partition('://')[0]}://{kept}{host}{slash}{path}"
    try:
        parts = urlsplit(uri)
        _ = parts.port
    except ValueError:  # not well-formed: where a password ends cannot be said
        shown = HIDDEN if "@" in rest else re.split("[?#]", rest)[0]
        return f"{scheme}://{shown}"
    host = parts.netloc.rpartition("@")[2]
    # a fragment may carry a token; the place in a page, such as #/jobs/ID of a dashboard, does not
    place = parts.fragment if _PLACE.fullmatch(parts.fragment) else ""
    path = _PATH_PARAMETER.sub("", parts.path) if ";" in parts.path else parts.path
    return urlunsplit((parts.scheme, host, path, _public_query(parts.query), place))


def _public_query(query: str) -> str:
    pairs = [pair for pair in query.split("&") if pair]
    names = [pair.partition("=")[0] for pair in pairs]
    signed = any(_IS_SIGN.fullmatch(name) for name in names)
    kept = [
        pair
        for pair, name in zip(pairs, names, strict=True)
        if not _IS_SIGN.fullmatch(name) and not (signed and _IS_SIGNED.fullmatch(name))
    ]
    if not kept or _DIGEST.fullmatch("&".join(kept)):
        return "".join(kept)
    return f"query={hashlib.sha256('&'.join(kept).encode()).hexdigest()[:12]}"


def without_secrets(text: str) -> str:
    """A text, an error of a library, say, without what is secret in the URIs that it names.

    What is given as a password, a token or a signature goes as well, and keys that are known by
    their form.
    """
    if "://" in text:
        text = _URI.sub(lambda found: _public_found(found[0]), text)
    if "@" in text:
        text = _USER.sub(lambda found: f"{found[1]}{HIDDEN}@", text)
    if "?" in text:
        text = _BEHIND_PATH.sub(lambda found: _public_behind(found[0]), text)
    text = _KEYS.sub(HIDDEN, text)
    return _ASSIGNED.sub(lambda found: f"{found[1] or found[3]}{HIDDEN}", text)


def _public_behind(query: str) -> str:
    """The query of a path without its host, as some libraries name what they asked for."""
    names = [pair.partition("=")[0] for pair in query[1:].split("&")]
    if not any(_IS_SIGN.fullmatch(name) for name in names):
        return query
    kept = _public_query(query[1:])
    return f"?{kept}" if kept else ""


def _public_found(uri: str) -> str:
    bare = uri.rstrip(_BEHIND)
    return public(bare) + uri[len(bare) :]


def printable(text: str, keep: Collection[str] = "\n") -> str:
    r"""A text with escapes, `\x1b`, in place of what a terminal would act on or hide."""
    return _UNPRINTABLE.sub(lambda found: found[0] if found[0] in keep else _escape(found[0]), text)


def printable_json(text: str) -> str:
    """A JSON document with JSON's own escapes in place of the same; it means what it meant."""
    return _UNPRINTABLE.sub(lambda found: found[0] if found[0] == "\n" else _units(found[0]), text)


def public_values(document: Any) -> Any:
    """A document as JSON has them, each text in it without what is secret."""
    if isinstance(document, str):
        return without_secrets(document)
    if isinstance(document, dict):
        return {name: public_values(value) for name, value in document.items()}
    if isinstance(document, list | tuple):
        return [public_values(value) for value in document]
    return document


def _units(character: str) -> str:
    """JSON's escapes of a character, two of them past the first 65,536."""
    data = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{data[i : i + 2].hex()}" for i in range(0, len(data), 2))


def _escape(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
