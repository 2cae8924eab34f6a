"""One level of an S3 bucket, listed in several parts at a time.

S3 gives a thousand names an answer and the next only after that, but it also starts after any name
that it is given. Names that lie far apart are found by asking for one name after all those that
begin alike; between each two of them a listing of its own continues. Whatever names are found, the
parts are what lies between neighbors, so no file is missed or listed twice.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import fsspec

from vggbatch.storage import s3_pages

_PAGE = 1000
_MOST_CUTS = 48
_LAST = "~"
"""Sorts after what names are made of. If it does not, parts are less even and no more."""


@dataclass(frozen=True)
class _Page:
    files: list[s3_pages.File]
    folders: list[str]
    """Their names, with a slash."""
    token: str | None
    """For the next page; None after the last."""


@dataclass(frozen=True)
class S3Level:
    """The files and folders directly below a folder of a bucket."""

    fs: fsspec.AbstractFileSystem
    bucket: str
    prefix: str
    """The folder's name in the bucket, with a slash; empty for the bucket itself."""

    @staticmethod
    def of(fs: fsspec.AbstractFileSystem, folder: str) -> S3Level:
        """The level below `bucket/folder`."""
        bucket, _, path = folder.strip("/").partition("/")
        fs.connect()
        s3_pages.read_fast(fs)
        return S3Level(fs, bucket, f"{path}/" if path else "")

    def split(self, threads: int) -> tuple[Iterator[dict[str, Any]], list[S3Level]]:
        """The files directly in the folder, and the folders in it. Raises OSError."""
        pages = list(self._pages(threads))
        folders = [name for page in pages for name in page.folders]
        return self._taken(pages), [S3Level(self.fs, self.bucket, name) for name in folders]

    def everything(self) -> list[dict[str, Any]]:
        """All files at any depth, page after page; also where names have // in them."""
        found: list[dict[str, Any]] = []
        start: dict[str, str] = {}
        while True:
            page = self._page(start, delimiter="")
            found += self._entries(page)
            if page.token is None:
                return found
            start = {"ContinuationToken": page.token}

    def _taken(self, pages: list[_Page]) -> Iterator[dict[str, Any]]:
        """The files of pages, which are gone afterwards."""
        while pages:
            yield from self._entries(pages.pop())

    def _entries(self, page: _Page) -> list[dict[str, Any]]:
        """Files as `fs.ls` gives them, without what nobody asks for."""
        return [
            {"name": f"{self.bucket}/{key}", "size": size, "type": "file", "ETag": version}
            for key, size, version in page.files
        ]

    def _pages(self, threads: int) -> Iterator[_Page]:
        """All pages, in no particular order. Raises OSError."""
        first = self._page()
        yield first
        if first.token is None:
            return
        files = [key for key, _, _ in first.files]
        # where there are folders, it is they that are listed side by side
        cuts = [] if first.folders else self._cuts(files[0], files[-1])
        starts = [{"ContinuationToken": first.token}, *({"StartAfter": cut} for cut in cuts)]
        with ThreadPoolExecutor(threads) as pool:
            for part in pool.map(self._part, starts, [*cuts, None]):
                yield from part

    def _cuts(self, first: str, last: str) -> list[str]:
        """Names after `last`, in order, from a few to a few dozen."""
        alike = (a == b for a, b in zip(first, last, strict=False))
        common = last[: sum(itertools.takewhile(bool, alike))]
        cuts: list[str] = []
        for place in range(len(common) - 1, len(self.prefix) - 1, -1):
            letter = common[place]
            while len(cuts) < _MOST_CUTS:
                after = f"{common[:place]}{letter}{_LAST}"
                found = self._page({"StartAfter": after}, count=1).files
                name = found[0][0] if found else ""
                if not name.startswith(common[:place]) or name <= max([last, *cuts[-1:]]):
                    break
                cuts.append(name)
                letter = name[place]
        return cuts

    def _part(self, start: dict[str, str], until: str | None) -> list[_Page]:
        """What comes after a start, up to a name and with it; None: to the end."""
        found: list[_Page] = []
        while True:
            page = self._page(start)
            if until is None:
                inside = page
            else:
                inside = replace(
                    page,
                    files=[file for file in page.files if file[0] <= until],
                    folders=[name for name in page.folders if name <= until],
                )
            found.append(inside)
            cut = len(inside.files) + len(inside.folders) < len(page.files) + len(page.folders)
            if page.token is None or cut:
                return found
            start = {"ContinuationToken": page.token}

    def _page(
        self, start: dict[str, str] | None = None, count: int = _PAGE, delimiter: str = "/"
    ) -> _Page:
        with s3_pages.fast():
            answer = self.fs.call_s3(
                "list_objects_v2",
                Bucket=self.bucket,
                Prefix=self.prefix,
                Delimiter=delimiter,
                MaxKeys=count,
                **(start or {}),
                **self.fs.req_kw,
            )
        folders = [folder["Prefix"] for folder in answer.get("CommonPrefixes", [])]
        return _Page(s3_pages.files(answer), folders, answer.get("NextContinuationToken"))
