"""Private names of Ray below Ray Data: what is said where the installed Ray lacks one."""

import logging

from ray._private import ray_constants

from vggbatch.cluster import internals


def test_a_ray_is_started_with_the_switch_off_and_on_the_loopback_address(monkeypatch, caplog):
    seen = []
    monkeypatch.setattr(
        internals.ray,
        "init",
        lambda **given: seen.append((given, ray_constants.ENABLE_RAY_CLUSTER)),
    )
    before = ray_constants.ENABLE_RAY_CLUSTER
    internals.init_on_loopback(num_cpus=2)
    assert seen == [({"num_cpus": 2, "_node_ip_address": "127.0.0.1"}, False)]
    assert before == ray_constants.ENABLE_RAY_CLUSTER
    assert not caplog.text


def test_a_ray_without_the_switch_or_the_argument_is_said(monkeypatch, caplog):
    seen = []

    def init(**given):
        if "_node_ip_address" in given:
            raise RuntimeError("Unknown keyword argument(s): _node_ip_address")
        seen.append(given)

    monkeypatch.setattr(internals.ray, "init", init)
    internals.init_on_loopback(num_cpus=2)
    monkeypatch.delattr(ray_constants, "ENABLE_RAY_CLUSTER")
    internals.init_on_loopback(num_cpus=3)
    assert seen == [{"num_cpus": 2}, {"num_cpus": 3}]
    assert caplog.text.count("listens on every interface") == 3


def test_a_ray_that_does_not_use_the_safe_path_of_imports_is_said(caplog):
    job = internals.safe_job()
    internals.warn_of_unsafe(job)
    assert "may import Python files from the current folder" in caplog.text
    caplog.clear()
    job._py_driver_sys_path.extend(["relative", "/usr/lib"])
    internals.warn_of_unsafe(job)
    assert not caplog.text
    assert list(job._py_driver_sys_path) == ["/usr/lib"]


def test_a_client_that_does_not_say_which_ray_runs_there_is_not_refused(caplog):
    caplog.set_level(logging.INFO, "vggbatch")
    assert internals.version_of(object()) is None
    assert "does not say which Ray" in caplog.text
