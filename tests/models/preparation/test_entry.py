"""Entries of the cache that were damaged in every way that a power cut or a stranger may."""

import json
import os
import random
import shutil
import sys

import numpy as np
import onnx
import pytest

from tests.support.prepared import SMALL, load
from vggbatch.config import ModelOptions
from vggbatch.errors import UsageError, VggbatchError
from vggbatch.models.preparation.entry import FILES, facts_of, seal
from vggbatch.models.preparation.prepare import is_prepared, prepare
from vggbatch.models.resolve import resolve
from vggbatch.models.synthesis import synthesize

KEY = {"model": "ab" * 32, "cpu": "x", "normalize": None}


@pytest.fixture
def entry(tmp_path):
    folder = tmp_path / "cache" / "prepared" / "net-0123"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"graph" * 100)
    (folder / "model.data").write_bytes(b"weights" * 1000)
    seal(folder, KEY, {"input": "data", "outputs": ["scores"]})
    return folder


def test_an_entry_is_what_was_sealed(entry):
    assert facts_of(entry, KEY) == {"input": "data", "outputs": ["scores"]}
    assert facts_of(entry, KEY, quick=True) == facts_of(entry, KEY)


def test_an_entry_of_something_else_is_none(entry):
    assert facts_of(entry, {**KEY, "model": "cd" * 32}) is None
    assert facts_of(entry.with_name("other"), KEY) is None


@pytest.mark.parametrize("name", ["prepared.json", *FILES])
@pytest.mark.parametrize("how", ["zeroed", "emptied", "cut", "gone", "replaced", "a folder"])
def test_a_damaged_file_is_seen(entry, name, how):
    path = entry / name
    data = path.read_bytes()
    path.unlink()
    new = {
        "zeroed": bytes(len(data)),
        "emptied": b"",
        "cut": data[: len(data) // 2],
        "replaced": data[:-2] + b"?" + data[-1:],
    }
    if how == "a folder":
        path.mkdir()
    elif how != "gone":
        path.write_bytes(new[how])
    assert facts_of(entry, KEY) is None


@pytest.mark.parametrize(
    "text",
    ["{}", "[]", "null", '"x"', '{"key": {}, "files": {}, "facts": {}, "sha256": ""}', "[" * 9999],
)
def test_a_document_of_another_shape_is_none(entry, text):
    (entry / "prepared.json").write_text(text)
    assert facts_of(entry, KEY) is None


def test_a_changed_fact_is_seen(entry):
    document = json.loads((entry / "prepared.json").read_text())
    document["facts"]["input"] = "other"
    (entry / "prepared.json").write_text(json.dumps(document))
    assert facts_of(entry, KEY) is None


def test_any_changed_byte_is_seen(entry):
    chance = random.Random(7)
    for _ in range(60):
        path = entry / chance.choice(["prepared.json", *FILES])
        good = path.read_bytes()
        place = chance.randrange(len(good))
        bad = good[:place] + bytes([good[place] ^ (1 << chance.randrange(8))]) + good[place + 1 :]
        path.write_bytes(bad)
        found = facts_of(entry, KEY)
        # a space in the document may become another blank, which changes nothing
        assert found is None or path.name == "prepared.json"
        if found is not None:
            assert json.loads(bad) == json.loads(good)
        path.write_bytes(good)
    assert facts_of(entry, KEY) is not None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("name", ["", "prepared.json", *FILES])
def test_a_file_of_another_users_is_refused(entry, name, monkeypatch):
    os.chown(entry / name, 1234, 1234)
    with pytest.raises(UsageError, match="belongs to the user with the number 1234"):
        facts_of(entry, KEY)
    monkeypatch.setenv("VGGBATCH_CACHE_TRUSTED", "1")
    assert facts_of(entry, KEY) is not None


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A network, and a cache that has it and another one."""
    folder = tmp_path_factory.mktemp("made")
    found = []
    for name in ("vgg16-7", "vgg16-bn-7"):
        path = folder / name / "net.onnx"
        path.parent.mkdir()
        onnx.save(synthesize(name, **SMALL), path)
        model = resolve(ModelOptions(name=str(path)))
        found.append((model, prepare(model, cache_dir=str(folder / "cache"))))
    return found, folder / "cache"


def scores(made):
    images = np.random.default_rng(1).standard_normal((2, 3, 32, 32)).astype(np.float32)
    return load(made).run(list(made.outputs), {made.input: images})[0]


@pytest.mark.parametrize("how", ["zeroed weights", "no document", "the other network's entry"])
def test_what_does_not_fit_is_made_again(prepared, tmp_path, how, caplog):
    [(model, made), (_, other)], cache = prepared
    copy = tmp_path / "cache"
    shutil.copytree(cache, copy)
    copy.chmod(0o700)
    folder = copy / made.path.parent.relative_to(cache)
    if how == "zeroed weights":
        data = folder / "model.data"
        data.write_bytes(bytes(data.stat().st_size))
    elif how == "no document":
        (folder / "prepared.json").write_bytes(b"")
        assert not is_prepared(model, cache_dir=str(copy))
    else:
        shutil.rmtree(folder)
        shutil.copytree(other.path.parent, folder)
    again = prepare(model, cache_dir=str(copy))
    np.testing.assert_array_equal(scores(again), scores(made))
    assert caplog.text.count("making it again") == 1
    assert is_prepared(model, cache_dir=str(copy))


def test_what_cannot_be_made_again_is_one_line(prepared, tmp_path, monkeypatch):
    [(model, made), _], cache = prepared
    copy = tmp_path / "cache"
    shutil.copytree(cache, copy)
    copy.chmod(0o700)
    (copy / made.path.parent.relative_to(cache) / "model.onnx").write_bytes(b"")

    def refuse(*words):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(sys.modules["vggbatch.models.preparation.making"], "_build", refuse)
    with pytest.raises(VggbatchError, match=r"cannot be used, or made again \(Read-only"):
        prepare(model, cache_dir=str(copy))
