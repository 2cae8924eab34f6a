"""Hooks of MkDocs: pages from elsewhere in the repository and from the code, and their links."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

PAGES = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "project/architecture.md",
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "deploy/README.md": "project/deploy.md",
    "examples/README.md": "project/examples.md",
}
"""Pages of the site by the files of the repository that they are."""
_LINK = re.compile(r"(?<=\]\()([^)#\s]+)(?=[)#])")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are not below docs/."""
    from scripts.reference import pages

    made = {page: (ROOT / file).read_text() for file, page in PAGES.items()}
    for page, text in {**made, **pages()}.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Let links to files of the repository lead to pages of the site."""
    homes = {place: file for file, place in PAGES.items()}
    uri = page.file.src_uri
    return _LINK.sub(lambda link: site_link(link[1], homes.get(uri, f"docs/{uri}")), markdown)


def site_link(link: str, file: str) -> str:
    """A link of a file of the repository, as the site has it.

    Args:
        link: a URL, or a path relative to the file.
        file: the file, from the root of the repository.
    """
    if re.match(r"[a-z]+:", link):
        return link
    target = os.path.normpath(PurePosixPath(file).parent / link)
    here, there = (PAGES.get(path, path.removeprefix("docs/")) for path in (file, target))
    return os.path.relpath(there, PurePosixPath(here).parent)
