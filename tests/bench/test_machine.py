import os

from vggbatch.bench import machine


def test_the_machine_is_described():
    found = machine.describe()
    assert 1 <= found["cores"] <= len(os.sched_getaffinity(0))
    assert found["memory"] > 2**28
    assert found["processor"]


def test_versions_are_of_what_is_installed():
    versions = machine.versions()
    assert {"python", "onnxruntime", "ray", "pyarrow"} <= versions.keys()
