"""The Pod Security standard "restricted" (Kubernetes 1.37), as rules over a pod's spec."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
_SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
}
_SELINUX = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
_SECCOMP = {"RuntimeDefault", "Localhost"}
_KINDS = ("initContainers", "containers", "ephemeralContainers")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


def violations(pod: dict[str, Any]) -> list[str]:
    """What keeps a pod out of a namespace that enforces the standard; nothing if it is admitted.

    Args:
        pod: the spec of a pod or of a pod template.
    """
    return [*_of_pod(pod), *(line for kind in _KINDS for line in _of_containers(pod, kind))]


def _of_pod(pod: dict[str, Any]) -> Iterator[str]:
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(name):
            yield name
    for volume in pod.get("volumes", []):
        for kind in volume.keys() - {"name"} - _VOLUMES:
            yield f"volume {volume['name']}: {kind}"
    security = pod.get("securityContext", {})
    for sysctl in security.get("sysctls", []):
        if sysctl["name"] not in _SYSCTLS:
            yield f"sysctl {sysctl['name']}"
    yield from (f"pod: {line}" for line in _of_either(security))


def _of_containers(pod: dict[str, Any], kind: str) -> Iterator[str]:
    shared = pod.get("securityContext", {})
    for container in pod.get(kind, []):
        own = container.get("securityContext", {})
        lines = [*_of_either(own), *_of_container(own), *_ports_and_probes(container)]
        if not own.get("runAsNonRoot", shared.get("runAsNonRoot")):
            lines.append("runAsNonRoot")
        seccomp = own.get("seccompProfile", shared.get("seccompProfile", {}))
        if seccomp.get("type") not in _SECCOMP:
            lines.append("seccompProfile")
        yield from (f"{kind} {container['name']}: {line}" for line in lines)


def _of_either(security: dict[str, Any]) -> Iterator[str]:
    """Rules for the security context of a pod and of a container."""
    if security.get("runAsNonRoot") is False:
        yield "runAsNonRoot is false"
    if security.get("runAsUser") == 0:
        yield "runAsUser 0"
    if security.get("seccompProfile", {}).get("type", "RuntimeDefault") not in _SECCOMP:
        yield "seccompProfile"
    if security.get("appArmorProfile", {}).get("type", "RuntimeDefault") not in _SECCOMP:
        yield "appArmorProfile"
    if security.get("windowsOptions", {}).get("hostProcess"):
        yield "hostProcess"
    selinux = security.get("seLinuxOptions", {})
    if selinux.get("type", "") not in _SELINUX or selinux.get("user") or selinux.get("role"):
        yield "seLinuxOptions"


def _of_container(security: dict[str, Any]) -> Iterator[str]:
    if security.get("privileged"):
        yield "privileged"
    if security.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation"
    capabilities = security.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", []):
        yield "capabilities are not dropped"
    if set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
        yield "capabilities are added"
    if security.get("procMount", "Default") != "Default":
        yield "procMount"


def _ports_and_probes(container: dict[str, Any]) -> Iterator[str]:
    for port in container.get("ports", []):
        if port.get("hostPort"):
            yield f"hostPort {port['hostPort']}"
    handlers = [container.get(name, {}) for name in _PROBES]
    handlers += container.get("lifecycle", {}).values()
    for handler in handlers:
        if any(handler.get(name, {}).get("host") for name in ("httpGet", "tcpSocket")):
            yield "host of a probe"
