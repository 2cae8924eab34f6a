import pyarrow.parquet as pq

from vggbatch.bench.plain import Recipe
from vggbatch.bench.task import Task
from vggbatch.config import Preprocess


def task(folder) -> Task:
    (folder / "images").mkdir()
    for name in ("b.jpg", "a.jpg"):
        (folder / "images" / name).touch()
    return Task(
        images=str(folder / "images"),
        count=2,
        distinct=2,
        model="net.onnx",
        score_model="net",
        input="data",
        output="scores",
        layout="NCHW",
        recipe=Recipe(**Preprocess().model_dump()),
        cores=2,
        batch=1,
        sessions=1,
        work=str(folder),
        score_settings=("compute.threads=1",),
    )


def test_travels_as_a_file(tmp_path):
    sent = task(tmp_path)
    assert Task.read(sent.write()) == sent


def test_files_come_by_name(tmp_path):
    assert [file.name for file in task(tmp_path).files()] == ["a.jpg", "b.jpg"]


def test_marks_come_by_time(tmp_path):
    sent = task(tmp_path)
    assert sent.read_marks() == []
    sent.mark(4, 20.0)
    sent.mark(2, 10.0)
    assert sent.read_marks() == [(10.0, 2), (20.0, 4)]


def test_predictions_are_parquet(tmp_path):
    task(tmp_path).save_top1(["a.jpg", "b.jpg"], [7, 3])
    table = pq.read_table(tmp_path / "out" / "predictions.parquet")
    assert table.to_pydict() == {"image": ["a.jpg", "b.jpg"], "top1": [7, 3]}
