"""Outputs of other versions and outputs with damage: commands read them or refuse in one line."""

import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests.support.images import write_folder
from tests.support.outputs import owned
from vggbatch import api
from vggbatch.chunks.chunk import ChunkKey
from vggbatch.cli import app
from vggbatch.config import load_config
from vggbatch.errors import JobFailed, UsageError, VggbatchError
from vggbatch.job.job import prepare_job
from vggbatch.output.documents.metadata import Impossible
from vggbatch.output.layout import Output
from vggbatch.output.ownership.lease import OutputLease, read_lease
from vggbatch.output.progress import Snapshot
from vggbatch.output.verify import declaration
from vggbatch.output.writer import compact
from vggbatch.runs.progress import status
from vggbatch.runs.resume import check_output, open_output
from vggbatch.storage.filesystem import Folder

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.text(max_size=3),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=4,
)


@pytest.fixture(autouse=True)
def _short_watch(monkeypatch):
    """A lease that seems to be another machine's is watched for seconds."""
    monkeypatch.setattr(status, "_WATCHED", 0.01)


@pytest.fixture(scope="module")
def config(net, tmp_path_factory):
    """Of a job on six images."""
    root = tmp_path_factory.mktemp("damage")
    names = write_folder(root / "images", 6)
    (root / "labels.csv").write_text("".join(f"{name},{n}\n" for n, name in enumerate(names)))
    options = {"input": (str(root / "images"),), "model": str(net), "output": str(root / "out")}
    options |= {"labels": [str(root / "labels.csv")]}
    return load_config(options=options, settings=["chunk_size=2"], environ={})


@pytest.fixture(scope="module")
def finished(config):
    """The output of a run that was evaluated."""
    api.evaluate(config)
    return Folder(config.output)


@pytest.fixture(scope="module")
def unfinished(config, tmp_path_factory):
    """The output of a run at work."""
    folder = Folder(str(tmp_path_factory.mktemp("unfinished")))
    output = owned(folder)
    open_output(output, prepare_job(config))
    folder.write_bytes(output.part_name(ChunkKey(0, 0, 1, 3, 6), 2), b"")
    with OutputLease(folder, interval=0.05) as lease:
        lease.report(Snapshot(2, 6, 1, 0.05))
        while read_lease(folder).snapshot is None:
            pass
        content = folder.read_bytes("_vggbatch/lease.json")
    folder.write_bytes("_vggbatch/lease.json", content)
    return folder


def files(folder):
    """The files of an output that commands read."""
    found = sorted(folder.fs.find(folder.root))
    return [path for path in found if path.endswith((".json", ".parquet", "_SUCCESS"))]


def places(value, here=()):
    """Every place inside a JSON document."""
    yield here
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*here, key))


def damaged(draw, path, data):
    """Other content for a file; None: it is gone."""
    kinds = ["gone", "cut", "noise"]
    if path.endswith(".json"):
        kinds += ["dropped", "changed"] * 4
    kind = draw(st.sampled_from(kinds))
    if kind == "gone":
        return None
    if kind == "cut":
        return data[: draw(st.integers(0, max(0, len(data) - 1)))]
    if kind == "noise":
        return draw(st.binary(max_size=20))
    document = json.loads(data)
    *way, last = draw(st.sampled_from(list(places(document))[1:]))
    place = document
    for key in way:
        place = place[key]
    if kind == "dropped":
        del place[last]
    else:
        place[last] = draw(JSON)
    return json.dumps(document).encode()


def read_or_refused(*commands):
    """Each command does its work or says in one line what is wrong."""
    said = []
    for command in commands:
        try:
            command()
        except (VggbatchError, OSError) as error:  # the command line shows either as one line
            said.append(str(error))
    assert not [line for line in said if "\n" in line]


HARD = settings(
    deadline=None,
    max_examples=60 if settings.get_current_profile_name() == "random" else 30,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@HARD
@given(st.data())
def test_a_finished_run(finished, tmp_path, data):
    folder = copy_of(finished, tmp_path)
    damage(folder, data.draw)
    output = folder.uri
    read_or_refused(
        lambda: api.status(output),
        lambda: api.load_run(output),
        lambda: api.load_predictions(output),
        lambda: api.write_report(output, gallery=2),
        lambda: api.rescore(output, "embedded"),
        lambda: api.compare(finished.uri, output),
    )


@HARD
@given(st.data())
def test_an_unfinished_run(config, unfinished, tmp_path, data):
    folder = copy_of(unfinished, tmp_path)
    damage(folder, data.draw)
    again = config.model_copy(update={"output": folder.uri})
    read_or_refused(
        lambda: api.status(folder.uri),
        lambda: api.write_report(folder.uri),
        lambda: check_output(Output(folder), prepare_job(again)),
        lambda: Output(folder).progress(),
    )
    # and whatever is there, a new run may be asked for, unless the plan names what no run writes
    try:
        owned(folder).clear()
    except Impossible:
        return
    assert check_output(Output(folder), prepare_job(again)) is None


def copy_of(folder, tmp_path):
    shutil.rmtree(tmp_path / "copy", ignore_errors=True)
    return Folder(str(shutil.copytree(folder.root, tmp_path / "copy")))


def damage(folder, draw):
    path = draw(st.sampled_from(files(folder)))
    with open(path, "rb") as file:
        content = damaged(draw, path, file.read())
    folder.fs.rm_file(path)
    if content is not None:
        with open(path, "wb") as file:
            file.write(content)


def test_an_output_of_an_older_version(unfinished, tmp_path):
    """As it was before staging files and shards had their numbers of images."""
    folder = copy_of(unfinished, tmp_path)
    output = Output(folder)
    [(_, _, name)] = output.parts(0)
    older = name.replace(".000000006.", ".")
    folder.fs.mv(folder.path(name), folder.path(older))
    assert refusal("status", folder) == (
        f"error: {folder.uri}/{older} is damaged, or was made by another version of vggbatch (no "
        "run names a file so): use the version that made it, or start again with --overwrite or "
        "another output"
    )
    folder.delete(older)
    shards = f"_vggbatch/{output.plan_id}/shards.parquet"
    table = pq.read_table(folder.path(shards)).drop_columns(["images"])
    pq.write_table(table, folder.path(shards))
    assert f"{shards} is damaged, or was made by another version" in refusal("status", folder)


def test_a_run_json_of_another_version(finished, tmp_path):
    folder = copy_of(finished, tmp_path)
    record = json.loads(folder.read_bytes("run.json"))
    later = {**record, "new_in_a_later_version": [1]}
    folder.write_json("run.json", later)
    folder.write_json("_SUCCESS", declaration(later))
    assert api.load_run(folder.uri)["new_in_a_later_version"] == [1]
    del record["model"]["synthetic"]
    folder.write_json("run.json", record)
    for words in (("report",), ("rescore", "-l", "embedded"), ("compare", finished.uri)):
        line = refusal(*words, folder)
        assert "is not whole: run.json is damaged (model.synthetic: Field required)" in line


def refusal(*words):
    """The one line of a command on an output."""
    command, *rest = (getattr(word, "uri", word) for word in words)
    folder = rest.pop()
    done = CliRunner().invoke(app, [command, folder, *rest])
    assert isinstance(done.exception, UsageError), done.output
    return f"error: {done.exception}"


def test_no_name_in_it_leads_out_of_the_output(unfinished, tmp_path):
    folder = copy_of(unfinished, tmp_path)
    plan = json.loads(folder.read_bytes("_vggbatch/plan.json"))
    for wrong in ({"id": "../../.."}, {"profiles": {"zoo": {}, "../../x": {}}}):
        folder.write_json("_vggbatch/plan.json", {**plan, **wrong})
        with pytest.raises(
            UsageError, match=r"made by another version|was not written by vggbatch"
        ):
            Output(folder).read_plan()


def test_a_staging_file_that_is_damaged_is_named(config, unfinished, tmp_path):
    folder = copy_of(unfinished, tmp_path)
    output = owned(folder)
    for chunk in range(3):
        folder.write_bytes(output.part_name(ChunkKey(0, 0, chunk, 3, 6), 2), b"PAR1")
    with pytest.raises(JobFailed, match=r"\.parquet is damaged .* run the same command again"):
        compact(output, 0, [0], 100)


def test_predictions_of_another_shape(finished, tmp_path):
    # of unknown origin: a run's own files that were changed are refused before
    folder = Folder(str(tmp_path))
    shutil.copytree(Folder(finished.uri).path("predictions"), tmp_path / "predictions")
    [path] = (folder.path(info.path) for info in folder.list("predictions"))
    table = pq.read_table(path)
    for name, column in {
        "label": table["label"].cast(pa.string()),
        "top5_index": table["label"],
        "top5_probability": table["top5_index"],
    }.items():
        place = table.schema.get_field_index(name)
        pq.write_table(table.set_column(place, name, column), path)
        with pytest.raises(UsageError, match=f"is not a predictions file: column '{name}' is"):
            api.rescore(folder.uri, "embedded")


def test_a_lease_that_cannot_be_read_is_none(unfinished, tmp_path):
    folder = copy_of(unfinished, tmp_path)
    assert read_lease(folder).snapshot.rows == 2
    older = json.loads(folder.read_bytes("_vggbatch/lease.json"))
    del older["snapshot"]["exact"]
    folder.write_json("_vggbatch/lease.json", {**older, "later": 1})
    assert read_lease(folder) == read_lease(unfinished)
    del older["token"]
    folder.write_json("_vggbatch/lease.json", older)
    assert read_lease(folder) is None
