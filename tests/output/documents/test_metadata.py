"""What is read of the JSON files of an output; all kinds of damage: ../test_damage.py."""

import json

import pytest

from vggbatch.chunks.stats import Stats
from vggbatch.errors import UsageError
from vggbatch.output.documents import metadata

NETWORK = {"name": "net", "synthetic": False, "classes_sha256": "0"}
MARKER = {"format": 2, "rows": 1, "files": [], "profiles": {}, "stats": Stats(rows=1).to_json()}
RESCORED = {
    "format": 2,
    "finished": "2026-01-01",
    "metrics": [],
    "tables": [],
    "rescored": {"predictions": "/a", "labels": []},
}


def said(read, value):
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    with pytest.raises(
        UsageError, match=r"^/x is damaged, or was made by another version"
    ) as caught:
        read(data, "/x")
    return str(caught.value).split("(", 1)[1].split("): use", 1)[0]


def test_more_than_is_known_is_read():
    assert metadata.marker(json.dumps({**MARKER, "new": 1}).encode(), "/x")["new"] == 1
    stats = json.dumps({**json.loads(Stats(rows=7).to_json()), "new": 1})
    assert metadata.marker(json.dumps({**MARKER, "stats": stats}).encode(), "/x")["rows"] == 1
    assert metadata.known(b'{"new": 1}', "/x") == {"new": 1}


def test_the_reason_names_the_place():
    assert said(metadata.marker, {**MARKER, "rows": "1"}).startswith("rows: Input should be")
    assert (
        said(metadata.marker, {**MARKER, "files": [{"rows": 1}]}) == "files.0.name: Field required"
    )
    assert said(metadata.marker, {**MARKER, "stats": "[]"}).startswith("stats: ")
    assert said(metadata.known, {"model": {**NETWORK, "synthetic": "no"}}).startswith(
        "model.synthetic: "
    )
    assert said(metadata.plan, b'{"id": "01')
    assert said(metadata.plan, b"null") == "Input should be an object"
    assert said(metadata.run, b"null") == "it is no JSON object"
    assert said(metadata.plan, b"\xff\x00")


def test_a_name_is_no_way_out_of_the_output():
    for name in ("../x", "a/b", "a\\b", "", "..", ".hidden"):
        with pytest.raises(metadata.Impossible, match=r"/x was not written by vggbatch: profiles"):
            metadata.marker(json.dumps({**MARKER, "profiles": {name: []}}).encode(), "/x")
    for name in ("/etc/x", "../part-000000.parquet", "predictions/x", "predictions/part-0.parquet"):
        files = [{"name": name, "rows": 1, "bytes": 1, "footer": "0"}]
        with pytest.raises(metadata.Impossible, match=r"/x was not written by vggbatch: files"):
            metadata.marker(json.dumps({**MARKER, "files": files}).encode(), "/x")
    for name in ("../x", "metrics/../x", "metrics/a/b/c", "predictions/x"):
        tables = [{"name": name, "bytes": 1, "sha256": "0"}]
        with pytest.raises(metadata.Impossible, match=r"/x was not written by vggbatch: tables"):
            metadata.run(json.dumps({**RESCORED, "tables": tables}).encode(), "/x")
        old = {**RESCORED, "format": 1, "metrics": tables}
        with pytest.raises(metadata.Impossible, match=r"/x was not written by vggbatch: metrics"):
            metadata.run(json.dumps(old).encode(), "/x")
    for identifier in ("..", "../../0123456789ab", "0123456789ABCDEF"):
        assert said(metadata.plan, {"format": 1, "id": identifier}).startswith("id: ")


def test_a_rescored_output_is_told_by_its_key():
    read = metadata.run(json.dumps(RESCORED).encode(), "/x")
    assert read["rescored"]["labels"] == []
    # and not by a folder of that name
    assert (
        said(metadata.run, {"format": 1, "finished": "2026", "output": "rescored"})
        == "plan: Field required"
    )


@pytest.mark.parametrize("read", [metadata.plan, metadata.marker, metadata.run, metadata.known])
def test_a_later_format_is_refused_whatever_else_it_says(read):
    with pytest.raises(
        UsageError, match=r"^/x was written by a later version .*format 3, this one"
    ):
        read(json.dumps({**RESCORED, "format": 3, "files": "elsewhere"}).encode(), "/x")


@pytest.mark.parametrize("read", [metadata.plan, metadata.marker, metadata.run])
def test_a_document_without_a_format_is_refused(read):
    assert said(read, {"id": "0" * 16, "rows": 0}) == "format: Field required"


def test_tables_are_listed_where_each_format_has_them():
    table = {"name": "metrics/per_class.parquet", "bytes": 1, "sha256": "0"}
    old = {**RESCORED, "format": 1, "metrics": [table]}
    assert metadata.tables_of(metadata.run(json.dumps(old).encode(), "/x")) == [table]
    table["name"] = "metrics/per_class/label_set=a%20b/profile=zoo/part-0.parquet"
    new = {**RESCORED, "metrics": [{"metric": "top1"}], "tables": [table]}
    assert metadata.tables_of(metadata.run(json.dumps(new).encode(), "/x")) == [table]
    assert metadata.tables_of({"format": 2}) is None
