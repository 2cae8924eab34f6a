"""Blocks of code in the pages that people read, and a folder in which they can be run."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx

from vggbatch.models.synthesis import synthesize

ROOT = Path(__file__).parents[2]
SHELL = ("sh", "console")
_FENCE = re.compile(r"^ *```(\w*)$")
_REASON = re.compile(r"^ *<!-- not run: (.+) -->$")


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    page: Path
    line: int
    """Of the fence, from 1."""
    language: str
    text: str
    reason: str | None
    """Why no test runs it; None where one does."""

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def commands(self) -> list[str]:
        """The command lines of a block of the shell, without their output."""
        lines = textwrap.dedent(self.text).replace("\\\n", " ").splitlines()
        if self.language == "console":
            return [line[2:] for line in lines if line.startswith("$ ")]
        return [line for line in lines if line.strip() and not line.startswith("#")]


def pages() -> list[Path]:
    """The pages that the site is made of."""
    elsewhere = [ROOT / "deploy/README.md", ROOT / "examples/README.md"]
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")), *elsewhere]


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page from top to bottom."""
    lines = page.read_text().splitlines()
    begin, language = None, ""
    for number, line in enumerate(lines):
        if begin is None and (found := _FENCE.match(line)):
            begin, language = number, found[1]
        elif begin is not None and line.strip() == "```":
            before = next((text for text in reversed(lines[:begin]) if text.strip()), "")
            reason = _REASON.match(before)
            text = textwrap.dedent("\n".join(lines[begin + 1 : number]))
            yield Block(page, begin + 1, language, text, reason[1] if reason else None)
            begin = None


def workplace(folder: Path) -> Path:
    """What the pages speak of: images/, labels.csv, val/, net.onnx and a checkout's demo.

    The network is a VGG-16 whose layers are a sixteenth as wide, with random weights.
    """
    demo = ROOT / "vggbatch/demo"
    shutil.copytree(demo / "images", folder / "images")
    shutil.copy(demo / "labels.csv", folder)
    for line in (demo / "labels.csv").read_text().splitlines()[1:]:
        name, wnid = line.split(",")
        (folder / "val" / wnid).mkdir(parents=True, exist_ok=True)
        shutil.copy(demo / "images" / name, folder / "val" / wnid)
    (folder / "vggbatch").mkdir()
    (folder / "vggbatch/demo").symlink_to(demo)
    onnx.save(synthesize("vgg16-12", shrink=16), folder / "net.onnx")
    (folder / "net.yaml").write_text("preprocess: zoo\n")
    return folder
