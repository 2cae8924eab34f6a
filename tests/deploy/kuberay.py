"""What a RayJob may say: the fields of KubeRay 1.7 that the manifests use, as a JSON schema.

Written by hand from KubeRay's reference of `ray.io/v1`, which no package carries. A field that is
not here is an error, so a typing mistake is, too. Pods are left to Kubernetes' own schemas.
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

RAYJOB = _object(
    ("apiVersion", "kind", "metadata", "spec"),
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata=_object(("name",), name={"type": "string", "pattern": "^[a-z0-9-]{1,47}$"}),
    spec=_object(
        ("entrypoint", "rayClusterSpec"),
        entrypoint=_STRING,
        submissionMode={"enum": ["K8sJobMode", "HTTPMode", "SidecarMode"]},
        backoffLimit=_COUNT,
        activeDeadlineSeconds=_COUNT,
        shutdownAfterJobFinishes=_BOOLEAN,
        ttlSecondsAfterFinished=_COUNT,
        rayClusterSpec=_CLUSTER,
    ),
)
