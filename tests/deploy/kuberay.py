"""What resources that are not Kubernetes' own may say, as JSON schemas.

Written by hand from the references of KubeRay 1.7 (`ray.io/v1`) and Prometheus' operator
(`monitoring.coreos.com/v1`), which no package carries: the fields that the manifests use. A field
that is not here is an error, so a typing mistake is, too. Pods are left to Kubernetes' own schemas.
"""

from __future__ import annotations

from typing import Any


def _object(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(required),
        "properties": properties,
    }


_STRING = {"type": "string"}
_BOOLEAN = {"type": "boolean"}
_COUNT = {"type": "integer", "minimum": 0}
_ANY = {"type": "object"}
# every value is a string: a number is refused by the operator
_START_PARAMS = {"type": "object", "additionalProperties": _STRING}

_CLUSTER = _object(
    ("headGroupSpec", "rayVersion"),
    rayVersion=_STRING,
    authOptions=_object(
        mode={"enum": ["disabled", "token"]}, secretName=_STRING, enableK8sTokenAuth=_BOOLEAN
    ),
    enableInTreeAutoscaling=_BOOLEAN,
    autoscalerOptions=_object(
        version={"enum": ["v1", "v2"]},
        upscalingMode={"enum": ["Default", "Aggressive", "Conservative"]},
        idleTimeoutSeconds=_COUNT,
        resources=_ANY,
        securityContext=_ANY,
        volumeMounts={"type": "array", "items": _ANY},
    ),
    headGroupSpec=_object(("template",), rayStartParams=_START_PARAMS, template=_ANY),
    workerGroupSpecs={
        "type": "array",
        "items": _object(
            ("groupName", "minReplicas", "maxReplicas", "template"),
            groupName=_STRING,
            replicas=_COUNT,
            minReplicas=_COUNT,
            maxReplicas=_COUNT,
            resources={"type": "object", "additionalProperties": _STRING},
            rayStartParams=_START_PARAMS,
            template=_ANY,
        ),
    },
)

_RAYJOB_SPEC = _object(
    ("entrypoint", "rayClusterSpec"),
    entrypoint=_STRING,
    submissionMode={"enum": ["K8sJobMode", "HTTPMode", "SidecarMode"]},
    submitterPodTemplate=_ANY,
    suspend=_BOOLEAN,
    backoffLimit=_COUNT,
    activeDeadlineSeconds=_COUNT,
    shutdownAfterJobFinishes=_BOOLEAN,
    ttlSecondsAfterFinished=_COUNT,
    rayClusterSpec=_CLUSTER,
)


def _resource(version: str, kind: str, longest: int, spec: dict[str, Any]) -> dict[str, Any]:
    return _object(
        ("apiVersion", "kind", "metadata", "spec"),
        apiVersion={"const": version},
        kind={"const": kind},
        metadata=_object(
            ("name",),
            name={"type": "string", "pattern": f"^[a-z0-9-]{{1,{longest}}}$"},
            namespace=_STRING,
            labels={"type": "object", "additionalProperties": _STRING},
        ),
        spec=spec,
    )


SCHEMAS = {
    "RayJob": _resource("ray.io/v1", "RayJob", 47, _RAYJOB_SPEC),
    # its jobs are named after it and the minute, nine characters more
    "RayCronJob": _resource(
        "ray.io/v1",
        "RayCronJob",
        38,
        _object(
            ("jobTemplate", "schedule"),
            jobTemplate=_RAYJOB_SPEC,
            schedule={"type": "string", "pattern": r"^(\S+ ){4}\S+$"},
            timeZone={"type": "string", "minLength": 1},
            suspend=_BOOLEAN,
        ),
    ),
    "PodMonitor": _resource(
        "monitoring.coreos.com/v1",
        "PodMonitor",
        253,
        _object(
            ("podMetricsEndpoints", "selector"),
            selector=_object(matchLabels={"type": "object", "additionalProperties": _STRING}),
            podTargetLabels={"type": "array", "items": _STRING},
            podMetricsEndpoints={
                "type": "array",
                "items": _object(
                    port=_STRING, interval={"type": "string", "pattern": r"^\d+(ms|s|m|h)$"}
                ),
            },
        ),
    ),
}
