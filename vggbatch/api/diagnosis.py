"""What a bug report needs: versions, this machine, the cache, stores; nothing secret."""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from vggbatch.classifier.cores import cpu_quota, pinning, usable_cpus
from vggbatch.cluster.node_report import existing, vector_instructions
from vggbatch.config.load import ENV_PREFIX
from vggbatch.errors import UsageError, VggbatchError
from vggbatch.memory import free_memory, total_memory
from vggbatch.models.cache import cache_fault, cache_folder, weights_path
from vggbatch.models.catalog import catalog
from vggbatch.storage.filesystem import Folder, public_uri, store_errors
from vggbatch.text import public_values, without_secrets
from vggbatch.versions import __version__, versions

_OF_DEVELOPERS = ("test", "dev", "docs")
"""Extras that no run needs."""
_SHOWN = re.compile(
    rf"{ENV_PREFIX}.*|RAY_ADDRESS|RAY_AUTH_MODE|HF_HUB_OFFLINE|HF_ENDPOINT|AWS_ENDPOINT_URL.*"
)
_NAMED = re.compile(
    r"(RAY|HF|AWS|FSSPEC|AZURE_STORAGE|GOOGLE|GCSFS|OMP|ORT|HTTPS?|NO)_\w+|\w+_proxy"
)
"""Environment variables that change what a run does: shown with their values, and by name alone."""
_SECRET = re.compile(r"KEY|SECRET|TOKEN|PASS|CREDENTIAL|SAS|CONNECTION", re.IGNORECASE)


@dataclass
class Diagnosis:
    """What was found, by subject; values have no secrets and no name of a home folder."""

    vggbatch: str
    packages: dict[str, str]
    """Version of each package that vggbatch may use, or why it is not there."""
    machine: dict[str, str]
    onnxruntime: dict[str, str]
    cache: dict[str, str]
    environment: dict[str, str]
    """Variables that change what a run does. Those that may be secret are `set`."""
    stores: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    """What does not work, or will not."""

    def to_json(self) -> dict[str, Any]:
        """What `doctor --json` prints."""
        document: dict[str, Any] = public_values(asdict(self))
        return document


def diagnose(
    stores: Sequence[str] = (), *, write: bool = False, cache_dir: str | None = None
) -> Diagnosis:
    """Look at what a run on this machine would depend on.

    >>> sorted(diagnose().machine)[:3]
    ['/dev/shm', 'CPU quota', 'classifiers']

    Args:
        stores: folders or URIs to list.
        write: write a small file into each of them as well, and delete it again.
        cache_dir: the model cache; None: as for a run.
    """
    problems: list[str] = []
    found = Diagnosis(
        vggbatch=__version__,
        packages=_packages(problems),
        machine=_machine(),
        onnxruntime=_onnxruntime(),
        cache=_cache(cache_dir, problems),
        environment=_environment(),
        stores={public_uri(uri): _store(uri, write, problems) for uri in stores},
        problems=problems,
    )
    return found


def _packages(problems: list[str]) -> dict[str, str]:
    from packaging.requirements import Requirement

    found = {}
    for text in metadata.requires("vggbatch") or ():
        wanted = Requirement(text)
        extra = re.search(r"extra == '(\w+)'", str(wanted.marker).replace('"', "'"))
        if (extra and extra[1] in _OF_DEVELOPERS) or wanted.name in found:
            continue
        try:
            found[wanted.name] = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            found[wanted.name] = f"not installed (extra {extra[1]})" if extra else "not installed"
            if not extra:
                problems.append(f"{wanted.name} is not installed: vggbatch needs it")
            continue
        if not wanted.specifier.contains(found[wanted.name], prereleases=True):
            problems.append(
                f"{wanted.name} is {found[wanted.name]} and has to be {wanted.specifier}: "
                f"pip install '{wanted.name}{wanted.specifier}'"
            )
    return found


def _machine() -> dict[str, str]:
    quota, shared = cpu_quota(), Path("/dev/shm")
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {versions()['python']}",
        "processor": _processor(),
        "vector instructions": vector_instructions(),
        "logical CPUs": str(os.cpu_count()),
        "cores for a run": str(usable_cpus()),
        "CPU quota": "none" if quota is None else f"{quota:g} CPUs",
        "classifiers": pinning(),
        "memory": f"{_gb(total_memory())}, {_gb(free_memory())} of it free",
        "/dev/shm": f"{_gb(shutil.disk_usage(shared).free)} free" if shared.exists() else "none",
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or "unknown"
    named = re.search(r"^model name\s*:\s*(.*)$", text, re.MULTILINE)
    return named[1] if named else "unknown"


def _onnxruntime() -> dict[str, str]:
    import onnxruntime

    return {
        "providers": ", ".join(onnxruntime.get_available_providers()),
        "used": "CPUExecutionProvider",
    }


def _cache(cache_dir: str | None, problems: list[str]) -> dict[str, str]:
    try:
        folder = cache_folder(cache_dir)
    except UsageError as error:
        problems.append(str(error))
        return {"folder": "none"}
    if fault := cache_fault(folder):
        problems.append(f"the model cache {_without_home(str(folder))} {fault}")
    weights = [
        entry.name
        for entry in catalog().values()
        if weights_path(cache_dir, entry.weights.sha256, entry.weights.file).exists()
    ]
    return {
        "folder": _without_home(str(folder)) + ("" if folder.exists() else " (not there yet)"),
        "free": _gb(shutil.disk_usage(existing(folder)).free),
        "zoo's weights": ", ".join(weights) or "none",
    }


def _environment() -> dict[str, str]:
    found = {}
    for name, value in sorted(os.environ.items()):
        if _SHOWN.fullmatch(name) and not _SECRET.search(name):
            found[name] = _without_home(without_secrets(value))
        elif _SHOWN.fullmatch(name) or _NAMED.fullmatch(name):
            found[name] = "set"
    return found


def _store(uri: str, write: bool, problems: list[str]) -> str:
    """Whether a folder or URI can be listed, and written to."""
    try:
        folder = Folder(uri)
        with store_errors():
            entries = len(folder.fs.ls(folder.root, detail=False))
        done = f"can be listed ({entries} entries)"
        if write:
            folder.check_writable()
            done += " and written"
    except (OSError, VggbatchError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        fault = without_secrets(" ".join(reason.split()))
        problems.append(f"{public_uri(uri)}: {fault}")
        return "failed"
    return done


def _without_home(text: str) -> str:
    """A text with ~ for the user's home folder, whose name is often the user's."""
    home = os.path.expanduser("~")
    return text.replace(home, "~") if len(home) > 1 else text


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f} GB"
