"""The machine that figures belong to."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

from vggbatch.classifier.cores import usable_cpus
from vggbatch.cluster.connection import ray_cluster
from vggbatch.config import ComputeOptions

_PACKAGES = ["vggbatch", "onnxruntime", "ray", "daft", "openvino", "torch", "numpy", "pillow"]
_PACKAGES += ["pyarrow"]


def cores() -> int:
    """Cores that this process may use."""
    return usable_cpus()


def cluster_cores(address: str) -> int:
    """Logical CPUs of a running Ray cluster.

    Raises:
        VggbatchError: it does not answer.
    """
    with ray_cluster(ComputeOptions(address=address), chunk_bytes=0) as cluster:
        return int(sum(cluster.node_cpus))


def describe() -> dict[str, Any]:
    """Processor, cores, memory in bytes, instruction sets that matter to int8."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""
    lines = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    fields = {name.strip(): value.strip() for name, value in lines}
    flags = set(fields.get("flags", fields.get("Features", "")).split())
    return {
        "processor": fields.get("model name", platform.processor()),
        "cores": cores(),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "vector": sorted(flags & {"avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8"}),
        "system": platform.platform(),
    }


def versions() -> dict[str, str]:
    """Versions of what was measured, as far as it is installed."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
