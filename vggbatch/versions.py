"""The version, and the versions of everything that can change a result."""

from __future__ import annotations

import platform
import socket
from collections.abc import Mapping
from functools import cache

from vggbatch.errors import VggbatchError

__version__ = "0.2.0"
_SAME = ("vggbatch", "ray", "onnxruntime", "numpy", "pillow")


def versions() -> dict[str, str]:
    """Versions of everything that can change a result."""
    from importlib.metadata import version  # here, as most commands do without

    import onnxruntime

    return {
        "vggbatch": __version__,
        "python": platform.python_version(),
        "ray": version("ray"),
        # its wheels have several names, and two of them in one environment overlay each other
        "onnxruntime": onnxruntime.__version__,
        **{name: version(name) for name in ("numpy", "pillow", "pyarrow")},
    }


@cache
def result_versions() -> dict[str, str]:
    """Versions of everything that must be the same wherever a run's images are decoded and scored.

    Python's counts without its last part, which changes no result.
    """
    from PIL import features  # here, as most commands do without

    found = versions()
    same = {name: found[name] for name in _SAME}
    same["python"] = ".".join(platform.python_version_tuple()[:2])
    same["libjpeg"] = str(features.version("libjpeg_turbo") or features.version("jpg"))
    return same


def check_versions(expected: Mapping[str, str]) -> None:
    """Refuse work on a node that joined after the checks and would give other results.

    Raises:
        VggbatchError: its versions are not the driver's.
    """
    found = result_versions()
    if found != expected:
        other = [f"{name} {found[name]}" for name in found if found[name] != expected[name]]
        wanted = [f"{name} {expected[name]}" for name in found if found[name] != expected[name]]
        raise VggbatchError(
            f"node {socket.gethostname()} has {', '.join(other)} and the run {', '.join(wanted)}; "
            "take it out of the cluster or install the same versions there"
        )
