"""Listings of web servers that end: pages of bounded size, a bounded number of them, none left out.

A web server has no listings; fsspec takes the links of a page for one. It reads the page whole, and
leaves out pages below it that fail. Here a page is counted while it arrives, and what cannot be
listed whole is an error.
"""

from __future__ import annotations

import re
import time
from typing import Any
from urllib.parse import urlsplit

from aiohttp import ClientError, ClientSession
from fsspec.implementations.http import HTTPFileSystem, get_client

from vggbatch.bounded import answer_limits, check_pace, refuse_compressed, refusing_redirects
from vggbatch.errors import UsageError
from vggbatch.text import public

_PAGE = 2**24
"""Bytes of a page; a hundred thousand links."""
_PAGES = 10_000
"""Of a listing."""
_TOTAL = 2**28
"""Bytes of all pages of a listing."""
_DEEPEST = 64
"""Slashes of an address: a page may link to one below itself, and so on without end."""
_BLOCK = 2**16
_LINK = re.compile(r"""<a\s[^<>]{0,4096}?href\s{0,8}=\s{0,8}["']([^"'<>]{1,4096})""", re.IGNORECASE)
_HTML = ("text/html", "application/xhtml+xml", "")


class WebFileSystem(HTTPFileSystem):  # type: ignore[misc]
    """Web servers as fsspec has them, with listings that end."""

    _pages = 0
    _bytes = 0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **{"get_client": _client, **options})

    async def _find(self, path: str, *arguments: Any, **options: Any) -> Any:
        self._pages, self._bytes = 0, 0
        return await super()._find(path, *arguments, **options)

    async def _ls_real(self, url: str, detail: bool = True, **options: Any) -> Any:
        try:
            page = await self._page(url)
        except FileNotFoundError:
            raise
        except (OSError, ClientError) as error:
            # fsspec leaves out what raises an OSError below the first page
            what = " ".join(str(error).split()) or type(error).__name__
            raise UsageError(f"{public(url)}: cannot be listed: {what}") from None
        found = _below(url, page)
        if not detail:
            return found
        kinds = ["directory" if name.endswith("/") else "file" for name in found]
        return [
            {"name": name, "size": None, "type": kind}
            for name, kind in zip(found, kinds, strict=True)
        ]

    async def _page(self, url: str) -> str:
        """The text of a page, nothing if it is no HTML."""
        self._pages += 1
        if self._pages > _PAGES or url.count("/") > _DEEPEST:
            raise _too_much(url)
        options = dict(self.kwargs)
        headers = {**options.pop("headers", {}), "Accept-Encoding": "identity"}
        options |= answer_limits(self)
        session = await self.set_session()
        begun, data = time.monotonic(), bytearray()
        asked = session.get(self.encode_url(url), headers=headers, **options)
        async with refusing_redirects(), asked as answer:
            self._raise_not_found_for_status(answer, url)
            refuse_compressed(answer.headers)
            kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            if kind not in _HTML:
                return ""
            async for block in answer.content.iter_chunked(_BLOCK):
                data += block
                self._bytes += len(block)
                if len(data) > _PAGE or self._bytes > _TOTAL:
                    raise _too_much(url)
                check_pace(begun, len(data))
        return data.decode(errors="ignore")


async def _client(**options: Any) -> ClientSession:
    """A client that decompresses nothing: an answer is refused by its head, its body unread."""
    client: ClientSession = await get_client(**{"auto_decompress": False, **options})
    return client


def _too_much(url: str) -> UsageError:
    return UsageError(
        f"{public(url)}: cannot be listed: more than {_PAGE >> 20} MiB in a page, {_PAGES} pages, "
        f"{_TOTAL >> 20} MiB in all or {_DEEPEST} folders deep; name the images in a list"
    )


def _below(url: str, page: str) -> list[str]:
    """The addresses below a page's own that it links to."""
    folder, parts = f"{url.rstrip('/')}/", urlsplit(url)
    schemeless = folder.partition("://")[2]
    found = set()
    for link in _LINK.findall(page):
        if link.startswith("/") and len(link) > 1:
            link = f"{parts.scheme}://{parts.netloc}{link}"
        if link.startswith(("http://", "https://")):
            if link.partition("://")[2].startswith(schemeless):
                found.add(link)
        elif link not in ("..", "../"):
            found.add(folder + link.lstrip("/"))
    return sorted(found)
