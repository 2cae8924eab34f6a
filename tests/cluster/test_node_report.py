"""What a machine finds out about itself, against what is known of it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import vggbatch
from vggbatch.cluster.node_report import NodeCheck, inspect_node, may_write, unreadable
from vggbatch.errors import VggbatchError
from vggbatch.memory import free_memory
from vggbatch.versions import check_versions, result_versions


def question(tmp_path, **changes):
    values = {
        "inputs": (),
        "output": str(tmp_path / "out"),
        "write": True,
        "mark": None,
        "cache_dir": str(tmp_path / "cache"),
        "models": ("net",),
        "temporary": str(tmp_path),
    }
    return NodeCheck(**{**values, **changes})


def test_a_healthy_machine(tmp_path):
    (tmp_path / "image.jpg").write_bytes(b"")
    found = inspect_node(question(tmp_path, inputs=(str(tmp_path / "image.jpg"),)))
    assert found.versions["vggbatch"] == vggbatch.__version__
    assert found.versions["python"] == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert (found.unreadable, found.output_failure, found.output_unseen) == ({}, None, False)
    assert found.cache_free == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.05)
    assert found.cache_writable
    assert 0 < found.memory <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert not found.prepared
    assert list((tmp_path / "out").rglob("*.probe*")) == []


def test_every_network_must_be_prepared(tmp_path):
    for name in ("net-0123456789abcdef", "other-0123456789abcdef"):
        assert not inspect_node(question(tmp_path, models=("net", "other"))).prepared
        (tmp_path / "cache/prepared" / name).mkdir(parents=True)
        (tmp_path / "cache/prepared" / name / "prepared.json").write_text("{}")
    assert inspect_node(question(tmp_path, models=("net", "other"))).prepared


def test_what_is_missing_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    gone = str(tmp_path / "gone.jpg")
    found = inspect_node(question(tmp_path, inputs=(gone,), output=str(tmp_path / "file/out")))
    assert "No such file" in found.unreadable[gone]
    assert "Not a directory" in found.output_failure


def test_another_disk_under_the_same_name_is_noticed(tmp_path):
    found = inspect_node(question(tmp_path, mark="_vggbatch/.mark-1"))
    assert found.output_unseen
    assert not (tmp_path / "out").exists()


def test_a_bucket_is_read_with_the_credentials_there_are(s3_server, monkeypatch):
    import s3fs

    s3fs.S3FileSystem().mkdir("probed")
    s3fs.S3FileSystem().pipe_file("probed/a.tar", b"12")
    assert unreadable(("s3://probed/a.tar",)) == {}
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    s3fs.S3FileSystem.clear_instance_cache()
    assert list(unreadable(("s3://probed/a.tar", "s3://probed/none"))) == [
        "s3://probed/a.tar",
        "s3://probed/none",
    ]


def test_a_folder_to_be_made_counts_as_writable(tmp_path):
    (tmp_path / "file").write_text("")
    assert may_write(tmp_path / "a/b/c")
    assert not may_write(tmp_path / "file/b")


@pytest.mark.parametrize(
    ("limit", "used", "files", "unlimited"),
    [
        ("memory.max", "memory.current", "inactive_file", "max"),
        (
            "memory/memory.limit_in_bytes",
            "memory/memory.usage_in_bytes",
            "total_inactive_file",
            "9223372036854771712",
        ),
    ],
)
def test_memory_is_cut_by_the_cgroup(limit, used, files, unlimited, tmp_path):
    machine = free_memory(Path("/nowhere"))
    assert free_memory(tmp_path) == pytest.approx(machine, rel=0.1)
    (tmp_path / limit).parent.mkdir(exist_ok=True)
    (tmp_path / limit).write_text(f"{unlimited}\n")
    (tmp_path / used).write_text("600000\n")
    (tmp_path / limit).with_name("memory.stat").write_text(f"anon 400000\n{files} 150000\n")
    assert free_memory(tmp_path) == pytest.approx(machine, rel=0.1)
    (tmp_path / limit).write_text("1000000\n")
    assert free_memory(tmp_path) == 550_000


def test_a_late_node_with_other_versions_is_refused_work():
    check_versions(result_versions())
    other = {**result_versions(), "numpy": "1.0"}
    with pytest.raises(VggbatchError, match=r"has numpy [\d.]+ and the run numpy 1\.0"):
        check_versions(other)


@pytest.mark.skipif(os.getuid() != 0, reason="mounting takes root")
def test_a_tiny_disk_is_seen_as_tiny(tmp_path):
    (tmp_path / "cache").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path / "cache"]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        assert inspect_node(question(tmp_path)).cache_free <= 2**20
    finally:
        subprocess.run(["umount", tmp_path / "cache"], check=True)
