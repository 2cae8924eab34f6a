"""The cluster launcher's YAML: what Ray itself says of it, and what it has to agree with."""

import re
import shlex
from pathlib import Path

import pytest
import ray.scripts.scripts
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

DOCKERFILE = Path("deploy/Dockerfile").read_text()
FILES = sorted(Path("deploy/cluster").glob("*.yaml"))


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def config(request):
    config = yaml.safe_load(request.param.read_text())
    assert config["provider"]["type"] == request.param.stem
    return config


def test_there_is_one_for_each_cloud():
    assert {path.stem for path in FILES} == {"aws", "gcp"}


def test_ray_accepts_it(config):
    # with Ray's own schema, after Ray has filled in its defaults
    validate_config(prepare_config(config))


def test_a_misspelt_key_is_not_accepted(config):
    config["max_worker"] = 3
    with pytest.raises(Exception, match="max_worker"):
        validate_config(prepare_config(config))


def test_the_head_has_no_work_and_the_workers_come_and_go(config):
    types = config["available_node_types"]
    assert types[config["head_node_type"]]["resources"] == {"CPU": 0}
    [worker] = [value for name, value in types.items() if name != config["head_node_type"]]
    assert worker["resources"]["CPU"] >= 1
    assert worker["min_workers"] == 1
    assert worker["max_workers"] == config["max_workers"]
    machine = worker["node_config"]
    assert machine.get("InstanceMarketOptions") == {"MarketType": "spot"} or machine.get(
        "scheduling"
    ) == [{"preemptible": True}]
    assert config["provider"]["cache_stopped_nodes"] is False


def test_the_token_and_the_cache_are_where_the_image_looks(config):
    options = shlex.split(" ".join(config["docker"]["run_options"]))
    assert options[options.index("--env") + 1] == "RAY_AUTH_MODE=token"
    volume = re.search(r"^VOLUME (\S+)$", DOCKERFILE, re.MULTILINE)[1]
    user = re.search(r"^USER (\d+)$", DOCKERFILE, re.MULTILINE)[1]
    here, there = options[options.index("--volume") + 1].split(":")
    assert there == volume
    # a user who can write to the cache can replace a network
    assert config["initialization_commands"][-1] == (
        f"sudo install -d -m 0700 -o {user} -g {user} {here}"
    )
    home = re.search(r"^WORKDIR (/home/\S+)$", DOCKERFILE, re.MULTILINE)[1]
    assert config["file_mounts"] == {f"{home}/.ray/auth_token": "~/.ray/auth_token"}


def test_the_start_commands_are_ones_that_ray_has(config):
    for line in config["head_start_ray_commands"] + config["worker_start_ray_commands"]:
        for part in line.split(";"):
            words = shlex.split(part)
            if words[0] != "ray":
                assert words[0] == "ulimit"
                continue
            command = ray.scripts.scripts.cli.commands[words[1]]
            assert command.make_context(words[1], words[2:], resilient_parsing=True)
            known = {option for parameter in command.params for option in parameter.opts}
            assert {word.split("=")[0] for word in words[2:]} <= known
    # a user who reaches the dashboard runs what they like on the cluster
    assert "--dashboard-host=127.0.0.1" in config["head_start_ray_commands"][-1]
