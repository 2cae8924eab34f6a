"""Submissions, and a job server that lies, breaks and disappears; real ones: cli/test_submit.py."""

import asyncio
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from vggbatch.errors import JobFailed, UsageError, VggbatchError
from vggbatch.submit import RayJobs, Submission, environment

LARGEST = 2**20
"""Bytes of a request, as Ray's dashboard limits them to 100 MiB."""
LOG = "".join(f"line {number}\n" for number in range(40))


class Server:
    """Answers as Ray's dashboard does, with what a test puts into `jobs` and `version`."""

    def __init__(self):
        self.version = {"ray_version": "2.60.0"}
        self.jobs = {}
        self.received = []
        self.packages = set()
        self.connections = 0
        self.cuts = 0
        self.endless = False
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.call(self.start())}"

    def call(self, what):
        return asyncio.run_coroutine_threadsafe(what, self.loop).result(10)

    async def start(self):
        app = web.Application(client_max_size=LARGEST)
        app.add_routes(
            [
                web.get("/api/version", self.get_version),
                web.get("/api/packages/{protocol}/{name}", self.get_package),
                web.put("/api/packages/{protocol}/{name}", self.put_package),
                web.get("/api/jobs/", self.get_jobs),
                web.post("/api/jobs/", self.post_job),
                web.get("/api/jobs/{id}", self.get_job),
                web.get("/api/jobs/{id}/logs/tail", self.tail),
            ]
        )
        self.runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        return self.runner.addresses[0][1]

    def stop(self):
        self.endless = False
        self.call(self.runner.cleanup())
        self.call(self.end_requests())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()

    async def end_requests(self):
        """Those whose connection broke while they answered."""
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def get_version(self, request):
        return web.json_response(self.version)

    async def get_package(self, request):
        return web.Response(status=200 if request.match_info["name"] in self.packages else 404)

    async def put_package(self, request):
        await request.read()
        self.packages.add(request.match_info["name"])
        return web.Response()

    async def get_jobs(self, request):
        return web.json_response([self.details(name) for name in self.jobs])

    async def get_job(self, request):
        return web.json_response(self.details(request.match_info["id"]))

    def details(self, name):
        return {"type": "SUBMISSION", "submission_id": name, "entrypoint": "x"} | self.jobs[name]

    async def post_job(self, request):
        self.received.append(await request.json())
        name = f"raysubmit_{len(self.received)}"
        self.jobs[name] = {"status": "PENDING", "metadata": self.received[-1]["metadata"]}
        return web.json_response({"job_id": name, "submission_id": name})

    async def tail(self, request):
        """The log from its start, a few lines at a time; the first connections break half-way."""
        self.connections += 1
        answer = web.WebSocketResponse()
        await answer.prepare(request)
        lines = LOG.splitlines(keepends=True)
        for number, first in enumerate(range(0, len(lines), 3 + self.connections)):
            if self.connections <= self.cuts and number == 1 + self.connections:
                request.transport.abort()
                return answer
            await answer.send_str("".join(lines[first : first + 3 + self.connections]))
        while self.endless:
            await asyncio.sleep(0.1)
        return answer


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def jobs(server):
    return RayJobs(server.url)


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), max_size=4))
def test_a_shell_gives_the_command_the_very_words(words):
    split = shlex.split(Submission(tuple(words)).entrypoint)
    assert split == ["python", "-m", "vggbatch", *words]


def test_any_shell_does(tmp_path):
    words = ["a b", "it's", '"', "$HOME", "`ls`", "*", "--set", "x=;rm", "", "\\", "é\n"]
    command = Submission(tuple(words)).entrypoint.removeprefix("python -m vggbatch")
    show = [sys.executable, "-c", "import json, sys; print(json.dumps(sys.argv[1:]))"]
    done = subprocess.run(
        f"{shlex.join(show)} {command}", shell=True, capture_output=True, check=True
    )
    assert json.loads(done.stdout) == words


def test_what_is_the_same_has_the_same_digest():
    def digest(words=("score",), package="gcs://a.zip", **environ):
        return Submission(words, environment=environ).digest(package)

    first = digest(A="1", B="2")
    assert digest(B="2", A="1") == first
    others = {digest(("plan",), A="1", B="2"), digest(A="1"), digest(package=None, A="1", B="2")}
    assert len(others | {first}) == 4


def test_a_checkout_is_sent_without_what_git_leaves_out(server, jobs, tmp_path, capfd):
    folder = tmp_path / "checkout"
    for name in ("sub/job.yaml", ".git/index", ".venv/large.so", "out/part-000000.parquet"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(os.urandom(LARGEST + 1) if name.endswith("so") else b"")
    (folder / ".gitignore").write_text("/out/\n")
    submission = Submission(("score",), str(folder))
    first = jobs.submit(submission)
    assert server.received[0]["runtime_env"]["working_dir"].startswith("gcs://")
    for ignored in (".git/index", ".venv/large.so", "out/part-000001.parquet"):
        (folder / ignored).write_text("changed")
    assert jobs.submit(submission) == type(first)(first.id, joined=True)
    (folder / "sub/job.yaml").write_text("model: b")
    assert not jobs.submit(submission).joined
    assert len(server.packages) == 2
    assert capfd.readouterr().err == "", "nothing of Ray's own"


def test_a_working_directory_that_is_too_large(jobs, tmp_path):
    (tmp_path / "weights.onnx").write_bytes(os.urandom(LARGEST))
    with pytest.raises(UsageError, match=r"more than 1 MB, packed.* \.gitignore"):
        jobs.submit(Submission(("score",), str(tmp_path)))


def test_no_address_and_no_cluster_here(monkeypatch, tmp_path):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    # where Ray looks for the last one that was started, and for those whose processes run
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.setattr("ray._private.services.find_gcs_addresses", set)
    with pytest.raises(UsageError, match=r"no cluster is named.* --address"):
        RayJobs(None)
    with pytest.raises(UsageError, match="htpp://head:8265 is no address"):
        RayJobs("htpp://head:8265")
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:9")
    with pytest.raises(VggbatchError, match="the address in RAY_ADDRESS") as caught:
        RayJobs(None)
    assert caught.value.exit_status == 1


def test_the_environment_is_taken_or_given():
    here = {"TOKEN": "t", "EMPTY": ""}
    found = environment(["TOKEN", "EMPTY", "A=b=c", "B="], here)
    assert found == {"TOKEN": "t", "EMPTY": "", "A": "b=c", "B": ""}
    for wrong, said in {"NOT_HERE": "NOT_HERE=VALUE", "=x": "no name", "a b=1": "no name"}.items():
        with pytest.raises(UsageError, match=said):
            environment([wrong], here)
    assert "secret" not in repr(Submission(("score",), environment={"KEY": "secret"}))


def test_a_job_is_sent_once(server, jobs):
    submission = Submission(("score", "a b"), environment={"X": "1"}, num_cpus=1, memory=2**30)
    first = jobs.submit(submission)
    assert not first.joined
    [sent] = server.received
    assert sent["entrypoint"] == "python -m vggbatch score 'a b'"
    assert sent["runtime_env"]["env_vars"]["X"] == "1"
    assert (sent["entrypoint_num_cpus"], sent["entrypoint_memory"]) == (1, 2**30)
    assert jobs.submit(submission) == type(first)(first.id, joined=True)
    assert not jobs.submit(Submission(("score", "a c"))).joined
    server.jobs[first.id]["status"] = "FAILED"
    assert not jobs.submit(submission).joined
    assert len(server.received) == 3


def test_lost_connections_lose_and_repeat_no_line(server, jobs):
    server.jobs["one"] = {"status": "SUCCEEDED", "driver_exit_code": 0}
    server.cuts = 3
    assert "".join(jobs.follow("one")) == LOG
    assert server.connections == 4


def test_a_server_that_is_gone_is_given_up(server, jobs):
    server.jobs["one"] = {"status": "RUNNING"}
    server.cuts = 100
    text = jobs.follow("one", patience=1)
    assert next(text).startswith("line 0")
    server.stop()
    with pytest.raises(VggbatchError, match="has not answered for 1 s"):
        list(text)
    server.__init__()  # for the fixture to stop


@pytest.mark.parametrize("seconds", [0, 0.5])
def test_ctrl_c_is_no_failure(server, seconds):
    server.endless = True
    words = ["submit", "--address", server.url, "--wait", "--", "models", "list"]
    client = subprocess.Popen(
        [sys.executable, "-m", "vggbatch", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    for line in client.stdout:
        if line.startswith("dashboard"):
            break
    time.sleep(seconds)
    client.send_signal(signal.SIGINT)
    printed, errors = client.communicate(timeout=30)
    assert client.returncode == 130
    assert errors.splitlines() == ["job raysubmit_1 goes on"]
    assert f"ray job stop --address {server.url} raysubmit_1" in printed


def test_the_exit_status_is_kept(server, jobs):
    ended = {
        "a": ({"status": "SUCCEEDED", "driver_exit_code": 0}, 0),
        "b": ({"status": "FAILED", "driver_exit_code": 1}, 1),
        "c": ({"status": "FAILED", "driver_exit_code": 2}, 2),
        "d": ({"status": "FAILED", "driver_exit_code": -9}, 137),
    }
    for name, (details, expected) in ended.items():
        server.jobs[name] = details
        assert jobs.wait(name) == expected
    server.jobs["e"] = {"status": "STOPPED"}
    with pytest.raises(JobFailed, match="was stopped"):
        jobs.wait("e")
    trace = "Traceback (most recent call last):\n  File\nOSError: the node is gone\n"
    server.jobs["f"] = {"status": "FAILED", "message": trace}
    with pytest.raises(JobFailed, match="job f failed: OSError: the node is gone"):
        jobs.wait("f")


def test_the_working_directory_must_be_there(tmp_path):
    with pytest.raises(UsageError, match="no folder"):
        Submission(("score",), str(tmp_path / "none"))
    Submission(("score",), "s3://bucket/config.zip")


@pytest.mark.parametrize("version", ["2.9.3", "3.0.0"])
def test_a_cluster_of_an_unknown_version_is_refused(server, version):
    server.version = {"ray_version": version}
    with pytest.raises(UsageError, match=f"runs Ray {version}, and vggbatch knows Ray"):
        RayJobs(server.url)


def test_what_is_no_dashboard_is_told(server):
    server.version = {"something": "else"}
    with pytest.raises(VggbatchError, match="no answer of a Ray dashboard"):
        RayJobs(server.url)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(VggbatchError, match="http://HOST:8265"):
            RayJobs(f"http://127.0.0.1:{taken.getsockname()[1]}")


@pytest.mark.slow
def test_a_head_that_does_not_answer_is_one_line(tmp_path):
    words = ["submit", "--address", "127.0.0.1:9", "models", "list"]
    done = subprocess.run(
        [sys.executable, "-m", "vggbatch", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("error: no answer of a Ray dashboard at 127.0.0.1:9")


def test_the_address_given_counts_more_than_the_environment(server, monkeypatch):
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:9")
    assert RayJobs(server.url).url == server.url
    with pytest.raises(VggbatchError, match="the address in RAY_API_SERVER_ADDRESS"):
        RayJobs(None)
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", server.url)
    assert RayJobs(None).url == server.url


def test_without_ray_default_it_is_said_what_to_install(tmp_path):
    (tmp_path / "aiohttp.py").write_text("raise ImportError('not here')")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from vggbatch.cli import main; main()"
    )
    words = ["submit", "--address", "http://127.0.0.1:9", "models", "list"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "error: submitting needs ray[default]: pip install 'vggbatch[submit]'"
    ]
