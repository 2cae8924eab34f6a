"""What the commands for model files have in common."""

from __future__ import annotations

from typing import Annotated

import typer

from vggbatch.cli import completion

Name = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        autocompletion=completion.model_names,
        help="Zoo name, such as vgg16-12-int8.",
    ),
]
AnyModel = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        autocompletion=completion.model_names,
        help="Zoo name, NAME@synthetic, or an ONNX file or its URI.",
    ),
]
CacheDir = Annotated[
    str | None,
    typer.Option(
        "--cache-dir",
        metavar="FOLDER",
        help="Where model files are kept; else $VGGBATCH_CACHE_DIR.",
    ),
]
Mirrors = Annotated[
    list[str] | None,
    typer.Option(
        "--mirror",
        metavar="FOLDER",
        help="Folder or URI that has the zoo's files, tried before $VGGBATCH_MIRRORS. Repeat.",
    ),
]


Offline = Annotated[
    bool,
    typer.Option("--offline", help="Ask no public mirror; the cache and --mirror do all the same."),
]


def mirrors(given: list[str] | None) -> tuple[str, ...]:
    """The mirrors of the command line, then those of the environment."""
    from vggbatch.config import load_config

    return (*(given or ()), *load_config().mirrors)
