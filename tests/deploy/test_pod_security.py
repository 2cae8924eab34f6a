"""Every pod of every overlay and example is admitted where "restricted" is enforced."""

import copy
from pathlib import Path

import pytest
import yaml

from tests.deploy.kustomize import COMPONENTS, OVERLAYS, combined, job_spec, overlay, started
from tests.deploy.pod_security import violations

CONTAINER = {
    "name": "one",
    "securityContext": {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    },
}
POD = {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [CONTAINER],
    "initContainers": [{**CONTAINER, "name": "first"}],
}


def changed(path, value):
    """The pod with another value at a path; a number is an index of a list."""
    pod = copy.deepcopy(POD)
    *folders, name = [int(part) if part.isdigit() else part for part in path.split(".")]
    place = pod
    for folder in folders:
        place = place[folder] if isinstance(folder, int) else place.setdefault(folder, {})
    if value is None:
        del place[name]
    else:
        place[name] = value
    return pod


def test_the_rules_admit_a_pod_that_says_what_they_want():
    assert violations(POD) == []
    assert violations(changed("containers.0.securityContext.capabilities.add", [])) == []
    port = "containers.0.securityContext.capabilities.add"
    assert violations(changed(port, ["NET_BIND_SERVICE"])) == []
    assert violations(changed("volumes", [{"name": "a", "emptyDir": {}}])) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("hostNetwork", True),
        ("hostPID", True),
        ("volumes", [{"name": "a", "hostPath": {"path": "/"}}]),
        ("volumes", [{"name": "a", "nfs": {"server": "a", "path": "/"}}]),
        ("securityContext.runAsNonRoot", None),
        ("securityContext.runAsUser", 0),
        ("securityContext.seccompProfile", None),
        ("securityContext.seccompProfile.type", "Unconfined"),
        ("securityContext.sysctls", [{"name": "kernel.msgmax", "value": "1"}]),
        ("containers.0.securityContext", None),
        ("containers.0.securityContext.privileged", True),
        ("containers.0.securityContext.allowPrivilegeEscalation", None),
        ("containers.0.securityContext.capabilities.drop", ["NET_RAW"]),
        ("containers.0.securityContext.capabilities.add", ["SYS_PTRACE"]),
        ("containers.0.securityContext.runAsNonRoot", False),
        ("containers.0.securityContext.procMount", "Unmasked"),
        ("containers.0.ports", [{"containerPort": 80, "hostPort": 80}]),
        ("containers.0.livenessProbe", {"httpGet": {"port": 80, "host": "10.0.0.1"}}),
        ("initContainers.0.securityContext.capabilities", None),
        ("initContainers.0.securityContext.runAsUser", 0),
    ],
)
def test_the_rules_refuse(path, value):
    assert violations(changed(path, value)), "was admitted"


def every_pod(part, where=""):
    """(place, spec) of each pod spec in a document, wherever it is."""
    if isinstance(part, list):
        for number, value in enumerate(part):
            yield from every_pod(value, f"{where}/{number}")
    elif isinstance(part, dict):
        if isinstance(part.get("containers"), list):
            yield where, part
        for key, value in part.items():
            yield from every_pod(value, f"{where}/{key}")


def check(pods):
    assert pods
    for where, pod in pods:
        assert violations(pod) == [], where
        assert pod["automountServiceAccountToken"] is False, where
        for container in pod["containers"] + pod.get("initContainers", []):
            # each by itself, so that none depends on what the pod says
            security = container["securityContext"]
            assert security["runAsNonRoot"] is True, where
            assert security["readOnlyRootFilesystem"] is True, where
            assert security["privileged"] is False, where
            assert security["seccompProfile"] == {"type": "RuntimeDefault"}, where
            folders = [mount["mountPath"] for mount in container.get("volumeMounts", [])]
            assert "/tmp" in folders, f"{where}: nothing else can be written"


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_pod_that_is_written_or_added_is_admitted(name):
    resources = overlay(name)
    check(list(every_pod(resources)))
    check([(name, pod["spec"]) for name, pod in started(job_spec(resources)).items()])


@pytest.mark.parametrize("name", COMPONENTS)
def test_no_component_takes_that_away(name, tmp_path):
    resources = combined(tmp_path, "score", name)
    check(list(every_pod(resources)))
    check([(name, pod["spec"]) for name, pod in started(job_spec(resources)).items()])


def test_the_platform_enforces_it():
    [namespace] = [part for part in overlay("platform") if part["kind"] == "Namespace"]
    labels = namespace["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize(
    "path", sorted(Path("examples").rglob("*.yaml")), ids=lambda path: path.name
)
def test_pods_of_the_examples_are_admitted(path):
    pods = list(every_pod(list(yaml.safe_load_all(path.read_text()))))
    for where, pod in pods:
        assert violations(pod) == [], where
