"""The RayJob manifests: valid, consistent with themselves, the image and the code."""

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

from tests.deploy.kuberay import RAYJOB
from vggbatch.cli import app
from vggbatch.config import ComputeOptions, load_config
from vggbatch.pipeline.placement import place

DOCKERFILE = Path("deploy/Dockerfile").read_text()
MANIFESTS = sorted(Path("deploy/kuberay").glob("*.yaml"))


@pytest.fixture(params=MANIFESTS, ids=lambda path: path.stem)
def manifest(request):
    return {part["kind"]: part for part in yaml.safe_load_all(request.param.read_text())}


@pytest.fixture
def cluster(manifest):
    return manifest["RayJob"]["spec"]["rayClusterSpec"]


@pytest.fixture
def pods(cluster):
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [group["template"]["spec"] for group in groups]


def test_there_is_one_for_each_entry_point():
    assert {path.stem for path in MANIFESTS} == {"rayjob-score", "rayjob-evaluate"}


def test_the_schemas_know_every_field(manifest, pods):
    jsonschema.validate(manifest["RayJob"], RAYJOB)
    version = kubernetes_validate.latest_version()
    kubernetes_validate.validate(manifest["ConfigMap"], version, strict=True)
    for pod in pods:
        whole = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": pod}
        kubernetes_validate.validate(whole, version, strict=True)


def test_the_schemas_refuse_what_is_misspelt(manifest):
    job = manifest["RayJob"]
    job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["minReplica"] = 1
    with pytest.raises(jsonschema.ValidationError, match="minReplica"):
        jsonschema.validate(job, RAYJOB)


def test_a_try_that_fails_is_followed_by_one_that_resumes(manifest):
    spec = manifest["RayJob"]["spec"]
    assert spec["backoffLimit"] > 0
    assert spec["shutdownAfterJobFinishes"], "a cluster that is left over costs money"
    config = yaml.safe_load(manifest["ConfigMap"]["data"]["job.yaml"])
    assert "overwrite" not in config, "a second try would start anew"


def test_the_command_and_its_configuration_are_valid(manifest, pods):
    words = shlex.split(manifest["RayJob"]["spec"]["entrypoint"])
    assert words[0] == "vggbatch"
    command = typer.main.get_command(app).commands[words[1]]
    values = command.make_context(words[1], words[2:]).params
    folder, name = values["config"].rsplit("/", 1)
    head = pods[0]
    [mount] = [m for m in head["containers"][0]["volumeMounts"] if m["mountPath"] == folder]
    [volume] = [v for v in head["volumes"] if v["name"] == mount["name"]]
    assert volume["configMap"]["name"] == manifest["ConfigMap"]["metadata"]["name"]
    config = yaml.safe_load(manifest["ConfigMap"]["data"][name])
    loaded = load_config(options=config, environ={})
    assert loaded.input
    assert loaded.output
    assert bool(loaded.labels) == (words[1] == "evaluate")


def test_the_head_has_no_work_and_a_node_that_stays(cluster, pods):
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert "on-demand" in pods[0]["nodeSelector"].values()
    assert all("spot" in pod["nodeSelector"].values() for pod in pods[1:])


def test_every_pod_is_guaranteed_and_so_may_be_pinned(cluster, pods):
    containers = [container for pod in pods for container in pod["containers"]]
    for resources in [c["resources"] for c in containers] + [
        cluster["autoscalerOptions"]["resources"]
    ]:
        assert resources["requests"] == resources["limits"]
        assert {"cpu", "memory"} <= resources["limits"].keys()
    for pod in pods:
        assert int(pod["containers"][0]["resources"]["limits"]["cpu"]) >= 1, "whole CPUs"


def test_all_cores_of_the_workers_get_work(cluster, pods):
    cpus = [float(pod["containers"][0]["resources"]["limits"]["cpu"]) for pod in pods[1:]]
    for count in (1, cluster["workerGroupSpecs"][0]["maxReplicas"]):
        placement = place([0.0, *cpus * count], ComputeOptions())
        assert placement.actors * placement.threads == sum(cpus) * count


def test_a_node_that_is_taken_away_is_drained_first(cluster, pods):
    name = "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"
    assert hasattr(ray_constants, name)
    for pod in pods[1:]:
        assert pod["restartPolicy"] == "Never"
        environ = {item["name"]: item["value"] for item in pod["containers"][0]["env"]}
        assert int(environ[name]) < pod["terminationGracePeriodSeconds"] <= 120
    assert cluster["workerGroupSpecs"][0]["minReplicas"] == 1


def test_the_signal_that_a_pod_gets_reaches_ray():
    # KubeRay starts `bash -c -- "ulimit -n 65536; ray start --block ..."`, and a shell that waits
    # for its child hears no signal; bash becomes the last command instead
    line = f"ulimit -Sn 256; {sys.executable} -c 'import os; print(os.getpid())'"
    shell = subprocess.Popen(["bash", "-c", "--", line], stdout=subprocess.PIPE, text=True)
    printed, _ = shell.communicate()
    assert int(printed) == shell.pid


def test_secrets_are_named_and_not_written_down(manifest, cluster, pods):
    assert "Secret" not in manifest
    assert cluster["authOptions"]["mode"] == "token"
    assert cluster["authOptions"]["secretName"]
    for pod in pods:
        [container] = pod["containers"]
        assert all("secretRef" in item for item in container["envFrom"])
        for item in container.get("env", []):
            assert not re.search("TOKEN|KEY|SECRET|PASSWORD", item["name"])


def test_the_image_fits(cluster, pods):
    cache = re.search(r"^VOLUME (\S+)$", DOCKERFILE, re.MULTILINE)[1]
    user = int(re.search(r"^USER (\d+)$", DOCKERFILE, re.MULTILINE)[1])
    assert len({pod["containers"][0]["image"] for pod in pods}) == 1
    for pod in pods:
        [container] = pod["containers"]
        [mount] = [m for m in container["volumeMounts"] if m["mountPath"] == cache]
        assert any(volume["name"] == mount["name"] for volume in pod["volumes"])
        assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == user
        assert pod["securityContext"]["runAsNonRoot"]
    wanted = [Requirement(line) for line in requires("vggbatch") if line.startswith("ray[")]
    pinned = re.search(r"^ray(<\S+)$", Path("constraints.txt").read_text(), re.MULTILINE)[1]
    for requirement in [*wanted, Requirement(f"ray{pinned}")]:
        assert requirement.specifier.contains(cluster["rayVersion"]), requirement
