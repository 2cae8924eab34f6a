"""The extras of this package: which of them brings what a command lacks."""

from __future__ import annotations

EXTRAS = {
    "s3": "s3",
    "s3a": "s3",
    "gs": "gcs",
    "gcs": "gcs",
    "abfs": "azure",
    "abfss": "azure",
    "az": "azure",
    "hf": "hub",
    "http": "http",
    "https": "http",
    "scipy": "devkit",
    "jinja2": "report",
    "sympy": "quantize",
    "ray[default]": "submit",
    "daft": "bench",
}
"""By protocol of a store, or by package."""


def command_for(what: str) -> str | None:
    """The command that installs what a protocol or package needs; None where no extra has it."""
    extra = EXTRAS.get(what)
    return f"pip install 'vggbatch[{extra}]'" if extra is not None else None
