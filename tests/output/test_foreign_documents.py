"""Documents that strangers wrote: a command gives an ordinary result, or ends in one line.

Each is a real one in which one value is another: nothing of a document that a command reads may end
it with anything else, and nothing outside of the output may be touched.
"""

import json
import os
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.foreign import (
    DEEP,
    GONE,
    STRANGE,
    contents,
    copied,
    ends,
    places,
    replaced,
    shown,
    vouch,
)
from tests.support.here import Here
from tests.support.images import write_folder
from tests.support.night import Night
from vggbatch import api
from vggbatch.errors import UsageError
from vggbatch.output.documents import metadata

TWO = {
    "zoo": {"resize": 36, "crop": 32},
    "squash": {"resize": 40, "crop": 32, "resize_mode": "squash"},
}
FREE = {"": {}, "..": [], "x" * 300: 1, "images": [[-1, -1]], "\udc80": 1}
"""A value of its own of every kind is made from these by hypothesis."""
VALUES = st.one_of(
    st.sampled_from(STRANGE),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
        max_leaves=6,
    ),
    st.just(FREE),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory, net):
    """Outputs of every kind, by name, and the input that they are of."""
    root = tmp_path_factory.mktemp("made")
    night = Night(root, net)
    night.score(profiles=TWO)
    shutil.copytree(night.out, root / "outputs/plain")
    write_folder(night.images, 1, start=20)
    night.score(append=True, profiles=TWO)
    shutil.copytree(night.out, root / "outputs/grown")
    api.rescore(str(root / "outputs/plain"), [str(night.labels)], str(root / "outputs/rescored"))
    with pytest.raises(KeyboardInterrupt):
        night.score(out=root / "half", executor=Here(stop=4))
    shutil.copytree(root / "half", root / "outputs/half")
    for part in (1, 2):
        night.score(out=root / f"part-{part}", select={"part": f"{part}/2"})
    api.merge([str(root / "part-1"), str(root / "part-2")], str(root / "outputs/merged"))
    return night


def documents(made, output):
    folder = made.folder / "outputs" / output
    names = [*folder.rglob("*.json"), *folder.rglob("_SUCCESS")]
    return sorted(str(path.relative_to(folder)) for path in names)


def commands(made, output, place):
    """Every command that reads an output, by name."""
    out, options = str(place / "out"), {}
    if output in ("plain", "grown"):
        options = {"profiles": TWO}
    other = str(made.folder / "part-1")
    plain = str(made.folder / "outputs/plain")
    plan = {"model": str(made.net), "labels": str(made.labels), "chunk_size": 3, **options}
    return {
        "load_predictions": lambda: api.load_predictions(out),
        "load_run": lambda: api.load_run(out),
        "status": lambda: shown("status", out),
        "status --json": lambda: shown("status", out, "--json"),
        "rescore": lambda: shown("rescore", out, "-l", "embedded"),
        "rescore -o": lambda: api.rescore(out, str(made.labels), str(place / "again")),
        "compare": lambda: shown("compare", plain, out),
        "report": lambda: api.write_report(out),
        "report --against": lambda: api.write_report(out, against=plain),
        "plan": lambda: api.plan(str(made.images), output=out, rows_per_file=6, **plan),
        "score": lambda: made.score(out=out, **options),
        "score --append": lambda: made.score(
            out=out, append=True, changed=True, prune=True, **options
        ),
        "score --retry": lambda: made.score(out=out, retry="errors", **options),
        "merge": lambda: shown("merge", out, other, "-o", str(place / "joined")),
        "merge -o": lambda: shown("merge", other, str(made.folder / "part-2"), "-o", out),
        "forget": lambda: shown("forget", out, "00001.jpg"),
    }


def check(made, output, name, document, command, place):
    """A command on a copy of an output with another document in place of one."""
    out = copied(made.folder / "outputs" / output, place)
    (out / name).write_text(document)
    if name.endswith("run.json"):
        vouch((out / name).parent)
    line = ends(commands(made, output, place)[command])
    assert line is None or "\n" not in line
    left = {key for key in contents(place) if key.split("/")[0] not in ("out", "again", "joined")}
    assert left == {"mine.txt"}
    assert (place / "mine.txt").read_text() == "mine"


KEYS = [
    ("history", "x"),
    ("history", 7),
    ("history", []),
    ("history", [{}]),
    ("history", {"x": 1}),
    ("generation", GONE),
    ("generation", -1),
    ("generation", 2**70),
    ("select", "x"),
    ("select", {"part": 7}),
    ("merged", "x"),
    ("merged", 7),
    ("input", 7),
    ("input", [7]),
    ("model", "x"),
    ("model", {"sha256": 7}),
    ("ensemble", {"x": 1}),
    ("chunk_size_used", 2**40),
    ("profiles", []),
    ("profiles", {"../../x": {}}),
]


@pytest.mark.parametrize(("key", "value"), KEYS)
def test_a_plan_with_a_wrong_value(made, tmp_path, key, value):
    plan = json.loads((made.folder / "outputs/grown/_vggbatch/plan.json").read_text())
    changed = {**plan, key: value}
    if value is GONE:
        del changed[key]
    for command in ("status", "forget"):
        check(made, "grown", "_vggbatch/plan.json", json.dumps(changed), command, tmp_path / "x")


RUNS = [
    (("throughput", "interval_seconds"), 0),
    (("throughput", "images"), [[9, 1], [-(2**60), 1]]),
    (("throughput", "images"), []),
    (("timings", "fetch_seconds"), float("nan")),
    (("timings", "fetch_seconds"), -1e308),
    (("counts", "images"), 2**80),
    (("rates", "images_per_second"), float("inf")),
    (("config", "max_error_rate"), float("nan")),
    (("config", "errors"), "x"),
    (("config", "labels"), ["\x1b]0;x\x07", "../../x"]),
    (("versions",), [1]),
    (("protocol", "scales"), {"x": 1}),
    (("left_out",), [{"what": "x", "count": -1, "examples": [1]}]),
    (("files", 0, "rows"), -1),
    (("model", "sha256"), 1),
    (("profile",), "../.."),
]


@pytest.mark.parametrize(("at", "value"), RUNS)
def test_a_run_with_a_wrong_value(made, tmp_path, at, value):
    record = json.loads((made.folder / "outputs/plain/run.json").read_text())
    document = json.dumps(replaced(record, at, value))
    for command in ("report", "load_run"):
        check(made, "plain", "run.json", document, command, tmp_path / "x")


@pytest.mark.parametrize(
    "wrong",
    [
        {"predictions": []},
        {"predictions": [1]},
        {"plans": ["x", "y"]},
        {"plan": 7},
        {"labels": "x"},
        {"options": []},
    ],
)
def test_a_rescoring_with_a_wrong_value(made, tmp_path, wrong):
    record = json.loads((made.folder / "outputs/rescored/run.json").read_text())
    document = json.dumps({**record, "rescored": {**record["rescored"], **wrong}})
    for command in ("report", "rescore"):
        check(made, "rescored", "run.json", document, command, tmp_path / "x")


STATS = [
    (("throughput", "interval"), 0),
    (("throughput", "interval"), 3),
    (("throughput", "images"), {str(2**40): 1}),
    (("throughput", "images"), {"-1": 1}),
    (("rows",), 2**70),
    (("fetch_seconds",), float("nan")),
    (("content",), {"../x": 1}),
    (("errors",), {"x": -1}),
    (("further",), [[]]),
    (("likelihood", "squares"), 2**80),
]


@pytest.mark.parametrize(("at", "value"), STATS)
def test_sums_in_a_marker_with_a_wrong_value(at, value, made):
    [name, *_] = [n for n in documents(made, "plain") if "/groups/" in n]
    marker = json.loads((made.folder / "outputs/plain" / name).read_text())
    stats = json.dumps(replaced(json.loads(marker["stats"]), at, value))
    with pytest.raises(UsageError, match=r"^/x is damaged, or was made by another version"):
        metadata.marker(json.dumps({**marker, "stats": stats}).encode(), "/x")


@pytest.mark.parametrize(
    "text",
    [DEEP, '{"a":' * 3000 + "1" + "}" * 3000, "1" * 5000, "", "\x00", '{"format": 2, "format": 2}'],
)
def test_text_that_is_no_document(made, text, tmp_path):
    for read in (metadata.plan, metadata.run, metadata.marker, metadata.success, metadata.known):
        with pytest.raises(UsageError, match=r"^/x is damaged, or was made by another version"):
            read(text.encode(), "/x")
    check(made, "plain", "_vggbatch/plan.json", text, "status", tmp_path / "x")


@pytest.mark.parametrize("kind", ["grown", "rescored", "half"])
@given(data=st.data())
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
def test_any_value_in_a_document_is_read_or_refused(kind, data, made):
    """What is read of a document has the types that commands take for granted."""
    name = data.draw(st.sampled_from(documents(made, kind)))
    value = json.loads((made.folder / "outputs" / kind / name).read_text())
    at = data.draw(st.sampled_from(list(places(value))))
    text = json.dumps(replaced(value, at, data.draw(VALUES)))
    for read in (metadata.plan, metadata.run, metadata.marker, metadata.success, metadata.known):
        line = ends(lambda read=read: read(text.encode(), "/x"))
        assert line is None or "\n" not in line


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "grown", "rescored", "half", "merged"])
@given(data=st.data())
@settings(max_examples=100, suppress_health_check=list(HealthCheck))
def test_every_command_ends_well_on_any_value_in_a_document(kind, data, made, tmp_path_factory):
    place = made.folder / "tried" / str(os.getpid())
    names = [n for n in documents(made, kind) if "owner." not in n and "lease" not in n]
    name = data.draw(st.sampled_from(names))
    value = json.loads((made.folder / "outputs" / kind / name).read_text())
    top = data.draw(st.sampled_from(sorted(value)))
    at = data.draw(st.sampled_from([p for p in places(value) if p[:1] == (top,)][:20]))
    new = data.draw(VALUES)
    if at == ("stats",):
        sums = json.loads(value["stats"])
        inside = data.draw(st.sampled_from(list(places(sums))))
        new = json.dumps(replaced(sums, inside, new))
    command = data.draw(st.sampled_from(list(commands(made, kind, place))))
    check(made, kind, name, json.dumps(replaced(value, at, new)), command, place)
