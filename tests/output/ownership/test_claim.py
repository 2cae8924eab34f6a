"""Who owns an output in object stores; on a disk: test_lease.py."""

import json
import threading
import uuid
from contextlib import suppress

import pytest

from vggbatch.errors import JobFailed
from vggbatch.output.ownership import claim
from vggbatch.output.ownership.fence import LeaseLost
from vggbatch.output.ownership.lease import OutputLease
from vggbatch.storage.filesystem import Folder

SERVERS = {"s3": "s3_server", "gs": "gcs_server", "abfs": "azure_server"}


@pytest.fixture(params=[*SERVERS, "memory"])
def folder(request):
    if request.param in SERVERS:
        request.getfixturevalue(SERVERS[request.param])
    name = f"claims-{uuid.uuid4().hex[:8]}"
    made = Folder(f"{request.param}://{name}/out")
    made.fs.mkdir(name)
    return made


def test_of_many_at_once_one_creates_a_claim(folder):
    if folder.uri.startswith("gs:"):
        pytest.skip("the emulator, other than Google, ignores the condition")
    start, made = threading.Barrier(8), []

    def contend():
        start.wait()
        made.append(claim.create(folder, 1, {"token": uuid.uuid4().hex}))

    threads = [threading.Thread(target=contend) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [fence] = [fence for fence in made if fence is not None]
    fence.check()
    [found] = claim.claims(folder)
    assert found.token == fence.token


def test_a_holder_that_was_taken_over_changes_nothing_more(folder):
    with OutputLease(folder, interval=60) as first:
        first.fence.write_bytes("a/mine", b"1")
        [found] = claim.claims(folder)
        claim.revoke(folder, found)
        with OutputLease(folder, interval=60) as second:
            for write in (
                lambda: first.fence.write_bytes("new", b""),
                lambda: first.fence.delete("a/mine"),
                lambda: first.fence.delete_tree("a"),
                lambda: first.fence.below("p").write_json("run.json", {}),
            ):
                with pytest.raises(LeaseLost, match="taken over by another run"):
                    write()
            with pytest.raises(LeaseLost), first.fence.open_atomic("late") as file:
                file.write(b"late")
            assert folder.read_bytes("a/mine") == b"1"
            second.fence.delete_tree("a")
            assert not folder.exists("a/mine")
    assert not [path for path in folder.fs.find(folder.root) if path != folder.root]


def test_a_store_that_ignores_the_condition_is_noticed(folder, monkeypatch, caplog):
    ignores = folder.uri.startswith("gs:")  # the emulator does
    if folder.uri.startswith("memory:"):
        # as clients before fsspec had `mode`
        plain, ignores = folder.fs.pipe_file, True
        monkeypatch.setattr(folder.fs, "pipe_file", lambda path, data, mode=None: plain(path, data))
    with OutputLease(folder, interval=60) as held:
        held.fence.check()
    assert ("do not begin two runs" in caplog.text) == ignores


def test_a_late_request_replaces_nothing_that_was_created(folder):
    if folder.uri.startswith("gs:"):
        pytest.skip("the emulator, other than Google, ignores the condition")
    with OutputLease(folder, interval=60) as held:
        plain, late = folder.fs.pipe_file, b"late"

        def overtaken(path, data, mode="overwrite"):
            """Let a request arrive that an earlier owner had sent."""
            if path.endswith("plan.json") and late is not None:
                plain(path, late)
            plain(path, data, mode=mode)

        folder.fs.pipe_file = overtaken
        try:
            with pytest.raises(JobFailed, match="again and again"):
                held.fence.create_json("plan.json", {"mine": 1})
            late = None
            held.fence.delete("plan.json")
            held.fence.create_json("plan.json", {"mine": 1})
            with suppress(OSError):
                folder.fs.pipe_file(folder.path("plan.json"), b"late", mode="create")
            # a request that was repeated for its answer was lost
            held.fence.create_json("plan.json", {"mine": 1})
        finally:
            del folder.fs.pipe_file
        assert json.loads(folder.read_bytes("plan.json")) == {"mine": 1}


@pytest.mark.parametrize(
    "name", ["out[1]", "o*", "o?t", "out[!2]", "**", "out 1", "out%31", "öut+1"]
)
def test_deletions_keep_to_an_output_whatever_it_is_called(folder, name):
    """Clients take `*`, `?` and `[` for patterns, which are met by the names of other outputs."""
    outputs = [Folder(f"{folder.uri}/{other}") for other in ("out1", "out", "ou", name)]
    for output in outputs:
        for file in ("predictions/part-0.parquet", "predictions/a/b", "run.json"):
            output.write_bytes(file, b"1")
    with OutputLease(outputs[-1], interval=60) as held:
        held.fence.delete_tree("predictions")
        held.fence.delete("run.json")
    assert list(outputs[-1].walk("")) == []
    for output in outputs[:-1]:
        assert len(list(output.walk(""))) == 3
