"""Each system, run for real on a small network: its rows are those of a plain loop."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.images import write_folder
from tests.support.nets import color_net
from tests.support.plain_loop import plain_scores
from vggbatch.bench.measure import measure
from vggbatch.bench.plain import Recipe
from vggbatch.bench.registry import NAMES, system
from vggbatch.bench.setup import prepare_networks
from vggbatch.bench.systems.bare import Bare, Prepared, search
from vggbatch.bench.task import Graph, Task
from vggbatch.config import JobConfig, Preprocess

IMAGES = 21
PROFILE = Preprocess(resize=36, crop=32)
SLOW = {"ray", "torch", "cold"}


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> tuple[Path, Path, list[int], Graph]:
    folder = tmp_path_factory.mktemp("bench")
    net = color_net(folder / "net.onnx")
    names = write_folder(folder / "images", IMAGES)
    scores = plain_scores(net, [folder / "images" / name for name in names], PROFILE)
    classes = scores.argmax(axis=1).tolist()
    assert len(set(classes)) > IMAGES // 2
    config = JobConfig(cache_dir=str(folder / "cache"))
    [network] = prepare_networks([str(net)], config, folder)
    return net, folder / "images", classes, network.prepared


@pytest.fixture
def task(expected, tmp_path) -> Task:
    net, images, _, prepared = expected
    return Task(
        images=str(images),
        count=IMAGES,
        distinct=IMAGES,
        model=str(net),
        score_model=str(net),
        input="data",
        output="scores",
        layout="NCHW",
        recipe=Recipe(**PROFILE.model_dump()),
        prepared=prepared,
        cores=2,
        batch=4,
        sessions=2,
        work=str(tmp_path),
    )


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n in SLOW else ()) for n in NAMES]
)
def test_rows_are_those_of_a_plain_loop(name, task, expected):
    runner = system(name)
    if runner.missing():
        pytest.skip(runner.missing())
    assert runner.unfit(task) is None
    found = measure(runner, task, 1, "fp32")
    assert found.error is None, Path(task.work, "log").read_text()
    marked = sum(images for _, images in task.read_marks())
    if name == "decoding":
        assert (marked, found.top1) == (IMAGES, [])
    elif name in ("bare", "prepared"):
        # whole batches of the images, over and over
        assert marked >= len(found.top1) >= 4
        assert found.top1 == expected[2][: len(found.top1)]
    else:
        assert found.top1 == expected[2]
        # staging files may be gone between two looks
        assert marked == IMAGES or name in ("vggbatch", "cold")
    assert found.seconds > 0
    assert found.peak_bytes > 10 * 2**20


def test_the_search_finds_a_batch(task, monkeypatch):
    monkeypatch.setattr("vggbatch.bench.systems.bare._SEARCH_SECONDS", 0.05)
    for graph in (Bare().graph(task), Prepared().graph(task)):
        best = search(task, graph)
        assert 1 <= best["batch"] <= IMAGES
        assert best["sessions"] in (1, 2)
    fixed = search(task, replace(Bare().graph(task), batch=3))
    assert fixed["batch"] == 3
    assert json.loads(json.dumps(best)) == best


def test_a_failure_is_its_last_line(task, tmp_path):
    (tmp_path / "no.onnx").write_bytes(b"no network")
    broken = Task(**{**vars(task), "model": str(tmp_path / "no.onnx")})
    found = measure(Bare(), broken, 1, "fp32")
    assert found.error
    assert "no.onnx" in found.error
    assert found.top1 == []


def test_networks_that_torch_cannot_take(task, tmp_path):
    import onnx

    model = onnx.load(task.model)
    model.graph.node[0].op_type = "LpPool"
    onnx.save(model, tmp_path / "lp.onnx")
    reason = system("torch").unfit(Task(**{**vars(task), "model": str(tmp_path / "lp.onnx")}))
    assert reason is not None
    assert "LpPool" in reason


def test_random_weights_are_not_timed_as_preparation(task):
    assert system("cold").unfit(replace(task, score_model="vgg16-12@synthetic")) is not None


def test_an_unprepared_run_finds_weights_and_nothing_prepared(task, tmp_path):
    (tmp_path / "own" / "weights").mkdir(parents=True)
    own = f"cache_dir={tmp_path / 'own'}"
    given = replace(task, cache_dir=str(tmp_path / "own"), score_settings=(own,))
    command = system("cold").command(given)
    assert command[-2:] == ["--set", f"cache_dir={tmp_path / 'cache'}"]
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["weights"]
    assert own in system("vggbatch").command(replace(given, score_settings=()))
