"""Templates to one HTML file that needs nothing from a network, and may not ask for it."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import Any

from vggbatch.errors import UsageError
from vggbatch.extras import command_for
from vggbatch.report import formats
from vggbatch.versions import __version__


def render(template: str, **context: Any) -> str:
    """A whole page.

    Its content security policy admits the one script by its hash and images of its own only:
    nothing that an image's name may hold can run or be fetched.

    Args:
        template: a file in templates/.
        context: its variables.

    Raises:
        UsageError: jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError:
        raise UsageError(f"reports need jinja2: {command_for('jinja2')}") from None
    environment = Environment(
        loader=PackageLoader("vggbatch.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(formats.FILTERS)
    environment.globals["metric_value"] = formats.metric_value
    environment.globals["metric_interval"] = formats.metric_interval
    script, style = (
        files("vggbatch.report").joinpath("templates").joinpath(name).read_text()
        for name in ("page.js", "style.css")
    )
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    policy += f"script-src 'sha256-{digest}'"
    return environment.get_template(template).render(
        script=script, style=style, policy=policy, version=__version__, **context
    )
