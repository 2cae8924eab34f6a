"""The overlays' RayJobs: valid, consistent with themselves, the image and the code."""

import datetime
import functools
import json
import os
import re
import shlex
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import typer.main
import yaml
from packaging.requirements import Requirement
from ray._private import ray_constants

from tests.deploy.kuberay import SCHEMAS
from tests.deploy.kustomize import (
    COMPONENTS,
    OVERLAYS,
    combined,
    job_spec,
    of_kind,
    overlay,
    started,
    templates,
)
from vggbatch.cli import app
from vggbatch.cluster.placement import place
from vggbatch.config import ComputeOptions, load_config

DOCKERFILE = Path("deploy/Dockerfile").read_text()
CRDS = os.environ.get("KUBERAY_CRDS")
DUE = datetime.datetime(2026, 11, 26, 2, 0, tzinfo=datetime.UTC)
COMMANDS = {"score": "score", "evaluate": "evaluate", "nightly": "score", "platform": "score"}


@pytest.fixture(params=OVERLAYS)
def name(request):
    return request.param


@pytest.fixture
def resources(name):
    return overlay(name)


@pytest.fixture
def job(resources):
    return job_spec(resources)


@pytest.fixture
def cluster(job):
    return job["rayClusterSpec"]


@pytest.fixture
def pods(job):
    """Of the head and of the workers."""
    found = templates(job)
    del found["submitter"]
    return [template["spec"] for template in found.values()]


def settings(resources):
    """The job's configuration, whatever namespace it is in."""
    [part] = of_kind(resources, "ConfigMap")
    return part["metadata"]["name"], yaml.safe_load(part["data"]["job.yaml"])


def valid(resource):
    """Raise unless a schema knows every field of it."""
    schema = SCHEMAS.get(resource["kind"])
    if schema is None:
        of_kubernetes(json.dumps(resource))
        return
    jsonschema.validate(resource, schema)
    if resource["kind"] == "PodMonitor":
        return
    for template in started(job_spec([resource])).values():
        whole = {"apiVersion": "v1", "kind": "Pod", **template}
        whole["metadata"] = {**template["metadata"], "name": "pod"}
        for container in whole["spec"]["containers"]:
            container.setdefault("image", "image")
        of_kubernetes(json.dumps(whole))


@functools.cache
def of_kubernetes(resource):
    """Raise unless Kubernetes knows every field; the same text need not be looked at twice."""
    version = kubernetes_validate.latest_version()
    kubernetes_validate.validate(json.loads(resource), version, strict=True)


def test_there_is_one_for_each_command_and_for_every_night():
    assert set(OVERLAYS) == set(COMMANDS)


def test_the_schemas_know_every_field(resources):
    for resource in resources:
        valid(resource)


@pytest.mark.parametrize("component", COMPONENTS)
def test_the_schemas_know_every_field_of_a_component(component, tmp_path):
    resources = combined(tmp_path, "score", component)
    assert resources != overlay("score")
    for resource in resources:
        valid(resource)


def test_the_schemas_refuse_what_is_misspelt(resources):
    [job] = [part for part in resources if part["kind"] in ("RayJob", "RayCronJob")]
    job_spec([job])["rayClusterSpec"]["workerGroupSpecs"][0]["minReplica"] = 1
    with pytest.raises(jsonschema.ValidationError, match="minReplica"):
        valid(job)


@pytest.mark.skipif(CRDS is None, reason="KUBERAY_CRDS names no folder with KubeRay's own CRDs")
def test_kuberays_own_schema_knows_every_field(resources):
    [job] = [part for part in resources if part["kind"] in ("RayJob", "RayCronJob")]
    crd = yaml.safe_load(Path(CRDS, f"ray.io_{job['kind'].lower()}s.yaml").read_text())
    [version] = [v for v in crd["spec"]["versions"] if f"ray.io/{v['name']}" == job["apiVersion"]]
    jsonschema.validate(job, closed(version["schema"]["openAPIV3Schema"]))


def closed(schema):
    """A CRD's schema as one in which a field that is not named is an error."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    found = {key: closed(value) for key, value in schema.items()}
    if "properties" in found and found.get("x-kubernetes-preserve-unknown-fields") is not True:
        found.setdefault("additionalProperties", False)
    if found.get("properties", {}).get("metadata") == {"type": "object"}:
        found["properties"]["metadata"] = {}
    return found


def test_a_try_that_fails_is_followed_by_one_that_resumes(resources, job):
    assert job["backoffLimit"] > 0
    assert job["shutdownAfterJobFinishes"], "a cluster that is left over costs money"
    assert "overwrite" not in settings(resources)[1], "a second try would start again"


def words(entrypoint, jobname="vggbatch-nightly-29412345"):
    """The words of a command, as the shell of KubeRay's submitter reads them."""
    script = f"printf '%s\\n' {entrypoint}"
    environ = {**os.environ, "RAYJOB": jobname}
    done = subprocess.run(
        ["bash", "-ce", "--", script], env=environ, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_the_command_and_its_configuration_are_valid(name, resources, job, pods):
    command = words(job["entrypoint"])
    assert command[:2] == ["vggbatch", COMMANDS[name]]
    values = typer.main.get_command(app).commands[command[1]].make_context(command[1], command[2:])
    given = {"input": values.params["inputs"], "output": values.params["output"]}
    folder, file = values.params["config"].rsplit("/", 1)
    [mount] = [m for m in pods[0]["containers"][0]["volumeMounts"] if m["mountPath"] == folder]
    [volume] = [v for v in pods[0]["volumes"] if v["name"] == mount["name"]]
    assert file == "job.yaml"
    config_map, config = settings(resources)
    assert volume["configMap"]["name"] == config_map
    config |= {key: value for key, value in given.items() if value}
    loaded = load_config(options=config, environ={})
    assert loaded.input
    assert loaded.output
    assert bool(loaded.labels) == (command[1] == "evaluate")


@pytest.mark.parametrize("late", [0, 1, 23 * 60, 3 * 24 * 60])
def test_a_night_scores_the_day_before_whenever_it_is_tried(late, monkeypatch):
    resources = overlay("nightly")
    [cron] = of_kind(resources, "RayCronJob")
    assert cron["spec"]["schedule"].split()[:2] == ["0", "2"]
    job = job_spec(resources)
    [submitter] = templates(job)["submitter"]["spec"]["containers"]
    label = {"fieldPath": "metadata.labels['ray.io/originated-from-cr-name']"}
    assert submitter["env"] == [{"name": "RAYJOB", "valueFrom": {"fieldRef": label}}]
    # KubeRay 1.7 names a job after the minute that it was due at; the clock has no part in it
    minute = int(DUE.timestamp()) // 60
    monkeypatch.setenv("TZ", f"<+{late % 12:02}>-{late % 12}")
    command = words(job["entrypoint"], f"{cron['metadata']['name']}-{minute}")
    assert command[4] == "s3://CHANGE-ME/incoming/2026-11-25/"
    assert command[6] == "s3://CHANGE-ME/predictions/2026-11-25"
    # what Kubernetes would take for one of its own variables stays as it is
    assert not re.search(r"\$\([A-Za-z_]\w*\)|\$\$", job["entrypoint"])


def test_each_job_has_names_and_labels_of_its_own():
    for name in ("score", "evaluate", "nightly"):
        resources = overlay(name)
        label = {"app.kubernetes.io/instance": f"vggbatch-{name}"}
        for resource in resources:
            assert resource["metadata"]["name"].endswith(f"-{name}"), resource["kind"]
        for template in templates(job_spec(resources)).values():
            assert label.items() <= template["metadata"]["labels"].items()
            assert template["spec"]["serviceAccountName"] == f"vggbatch-{name}"
        for budget in of_kind(resources, "PodDisruptionBudget"):
            assert label.items() <= budget["spec"]["selector"]["matchLabels"].items()


def test_the_head_has_no_work_and_a_node_that_stays(resources, cluster, pods):
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert "on-demand" in pods[0]["nodeSelector"].values()
    assert all("spot" in pod["nodeSelector"].values() for pod in pods[1:])
    [budget] = of_kind(resources, "PodDisruptionBudget")
    # a pod that has no controller with a scale of its own: no percentage and no maxUnavailable
    assert budget["spec"]["minAvailable"] == 1
    assert budget["spec"]["selector"]["matchLabels"]["ray.io/node-type"] == "head"


def test_every_pod_is_guaranteed_and_so_may_be_pinned(job, pods):
    for template in templates(job).values():
        for container in template["spec"]["containers"]:
            guaranteed(container["resources"])
    if "autoscalerOptions" in job["rayClusterSpec"]:
        guaranteed(job["rayClusterSpec"]["autoscalerOptions"]["resources"])
    for pod in pods:
        assert int(pod["containers"][0]["resources"]["limits"]["cpu"]) >= 1, "whole CPUs"


def guaranteed(resources):
    assert resources["requests"] == resources["limits"]
    assert {"cpu", "memory"} <= resources["limits"].keys()


def test_all_cores_of_the_workers_get_work(cluster, pods):
    cpus = [float(pod["containers"][0]["resources"]["limits"]["cpu"]) for pod in pods[1:]]
    for count in (1, cluster["workerGroupSpecs"][0]["maxReplicas"]):
        placement = place([0.0, *cpus * count], ComputeOptions())
        assert placement.actors * placement.threads == sum(cpus) * count


def test_a_node_that_is_taken_away_is_drained_first(pods):
    name = "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"
    assert hasattr(ray_constants, name)
    for pod in pods[1:]:
        assert pod["restartPolicy"] == "Never"
        environ = {item["name"]: item["value"] for item in pod["containers"][0]["env"]}
        assert int(environ[name]) < pod["terminationGracePeriodSeconds"] <= 120


def test_the_cluster_begins_small_or_is_given_whole(cluster):
    [group] = cluster["workerGroupSpecs"]
    if cluster["enableInTreeAutoscaling"]:
        assert group["replicas"] == group["minReplicas"] == 1 < group["maxReplicas"]
    else:
        assert group["replicas"] == group["minReplicas"] == group["maxReplicas"] > 1


def test_the_signal_that_a_pod_gets_reaches_ray():
    # KubeRay starts `bash -c -- "ulimit -n 65536; ray start --block ..."`, and a shell that waits
    # for its child hears no signal; bash becomes the last command instead
    line = f"ulimit -Sn 256; {sys.executable} -c 'import os; print(os.getpid())'"
    shell = subprocess.Popen(["bash", "-c", "--", line], stdout=subprocess.PIPE, text=True)
    printed, _ = shell.communicate()
    assert int(printed) == shell.pid


def test_secrets_are_named_and_not_written_down(resources, cluster, job):
    assert of_kind(resources, "Secret") == []
    assert cluster["authOptions"]["mode"] == "token"
    assert cluster["authOptions"]["secretName"]
    for template in templates(job).values():
        [container] = template["spec"]["containers"]
        assert "envFrom" not in container, "without keys, unless a component is asked for them"
        for item in container.get("env", []):
            assert not re.search("TOKEN|KEY|SECRET|PASSWORD", item["name"])


def test_the_autoscaler_alone_has_a_token_of_kubernetes(cluster, job):
    from ray.autoscaler._private.kuberay import node_provider

    folder = "/var/run/secrets/kubernetes.io/serviceaccount"
    paths = {node_provider.IN_CLUSTER_TOKEN_PATH, node_provider.IN_CLUSTER_CA_CERT_PATH}
    assert paths == {f"{folder}/token", f"{folder}/ca.crt"}
    holders = []
    for template in started(job).values():
        pod = template["spec"]
        tokens = [v["name"] for v in pod["volumes"] if "serviceAccountToken" in str(v)]
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            for mount in container["volumeMounts"]:
                if mount["name"] in tokens:
                    holders.append(container["name"])
                    assert mount["mountPath"] == folder
    assert holders == (["autoscaler"] if cluster["enableInTreeAutoscaling"] else [])
    if not cluster["enableInTreeAutoscaling"]:
        assert "serviceAccountToken" not in str(job)


def test_the_image_fits(cluster, pods):
    cache = re.search(r"^VOLUME (\S+)$", DOCKERFILE, re.MULTILINE)[1]
    user = int(re.search(r"^USER (\d+)$", DOCKERFILE, re.MULTILINE)[1])
    assert len({pod["containers"][0]["image"] for pod in pods}) == 1
    for pod in pods:
        [container] = pod["containers"]
        [mount] = [m for m in container["volumeMounts"] if m["mountPath"] == cache]
        assert any(volume["name"] == mount["name"] for volume in pod["volumes"])
        assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == user
    wanted = [Requirement(line) for line in requires("vggbatch") if line.startswith("ray[")]
    pinned = re.search(r"^ray(<\S+)$", Path("constraints.txt").read_text(), re.MULTILINE)[1]
    for requirement in [*wanted, Requirement(f"ray{pinned}")]:
        assert requirement.specifier.contains(cluster["rayVersion"]), requirement


def test_a_registry_is_named_once_for_all_pods():
    images = {
        container["image"]
        for template in templates(job_spec(overlay("platform"))).values()
        for container in template["spec"]["containers"]
    }
    from vggbatch import __version__

    assert images == {f"registry.example.com/vggbatch:{__version__}"}


def test_every_component_adds_to_every_job(tmp_path):
    # in any order, and what applies once may be named with all the others
    names = [name for name in COMPONENTS if not name.endswith("-identity") and name != "nightly"]
    for number, (base, identity) in enumerate(
        [("score", "aws"), ("evaluate", "gcp"), ("score", "azure")]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        components = [f"{identity}-identity", *names[number:], *names[:number]]
        for resource in combined(folder, base, *components):
            valid(resource)


def test_any_job_may_be_one_of_every_night(tmp_path):
    resources = combined(tmp_path, "score", "aws-identity", "priority", "nightly")
    assert of_kind(resources, "RayJob") == []
    [cron] = of_kind(resources, "RayCronJob")
    valid(cron)
    [worker] = cron["spec"]["jobTemplate"]["rayClusterSpec"]["workerGroupSpecs"]
    assert worker["template"]["spec"]["priorityClassName"] == "vggbatch-workers"


def test_kueue_gets_a_job_that_it_takes(tmp_path):
    """What Kueue's webhook asks of a RayJob, and what its queue is named by."""
    resources = combined(tmp_path, "evaluate", "kueue")
    [job] = of_kind(resources, "RayJob")
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"]
    assert job["metadata"]["labels"]["app.kubernetes.io/instance"] == "vggbatch-evaluate"
    assert job["spec"]["suspend"] is True
    assert job["spec"]["shutdownAfterJobFinishes"] is True
    assert job["spec"]["rayClusterSpec"]["enableInTreeAutoscaling"] is False


@pytest.mark.parametrize(
    ("component", "annotation"),
    [
        ("aws-identity", "eks.amazonaws.com/role-arn"),
        ("gcp-identity", "iam.gke.io/gcp-service-account"),
        ("azure-identity", "azure.workload.identity/client-id"),
    ],
)
def test_an_identity_is_the_service_accounts(component, annotation, tmp_path):
    resources = combined(tmp_path, "score", component)
    [account] = of_kind(resources, "ServiceAccount")
    assert account["automountServiceAccountToken"] is False
    assert annotation in account["metadata"]["annotations"]
    labels = [t["metadata"]["labels"] for t in templates(job_spec(resources)).values()]
    if component == "azure-identity":
        assert [one.get("azure.workload.identity/use") for one in labels] == [None, "true", "true"]


def test_the_entrypoint_is_quoted_for_a_shell_as_it_is_here(name, job):
    if name != "nightly":
        assert words(job["entrypoint"]) == shlex.split(job["entrypoint"])
