"""An input that grows, an output of it, and what the output has to be."""

from __future__ import annotations

import copy
import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset

from tests.sources.samples import tar_bytes
from tests.support.here import Here
from tests.support.images import cut, jpeg, write_folder
from vggbatch import api
from vggbatch.output.ownership.fence import Fence


class Night:
    """An input that grows, and an output of it."""

    def __init__(self, folder, net):
        self.folder, self.net = folder, net
        self.images, self.out = folder / "images", folder / "out"
        self.labels = folder / "labels.csv"
        lines = [f"{number:05d}.jpg,{number % 7}" for number in range(200)]
        self.labels.write_text("\n".join(["file,class_index", *lines]) + "\n")
        write_folder(self.images, 9)
        self.tar("a", 100)
        (self.images / "00003x.jpg").write_bytes(b"no image")

    def tar(self, name, start):
        data = tar_bytes({f"{n:05d}.jpg": jpeg(cut(n)) for n in range(start, start + 5)})
        (self.images / f"{name}.tar").write_bytes(data)

    def score(self, *, evaluate=True, out=None, executor=None, **options):
        run = api.evaluate if evaluate else api.score
        executor = executor or Here()
        values = {"model": str(self.net), "labels": str(self.labels), "chunk_size": 3}
        values |= {"compute": {"pin": False}, "rows_per_file": 6, **options}
        done = run(str(self.images), output=str(out or self.out), executor=executor, **values)
        return done, getattr(executor, "images", None)  # one that works elsewhere does not say

    def rows(self, out=None):
        """By independent code: all that lies in the folder, without run.json."""
        folder = f"{out or self.out}/predictions"
        table = pa.dataset.dataset(folder, format="parquet").to_table()
        return table.sort_by("image_id").to_pylist()

    def fresh(self):
        """The rows and metrics that one run over everything gives."""
        out = self.folder / "fresh"
        shutil.rmtree(out, ignore_errors=True)
        record = self.score(out=out)[0].record
        return self.rows(out), record["metrics"]

    def kept(self, aside: Path):
        """Keep all of it as it is now: what brings it back, for the next test."""
        shutil.copytree(self.folder, aside)

        def again():
            shutil.rmtree(self.folder)
            shutil.copytree(aside, self.folder)
            return copy.copy(self)

        return again

    def check(self):
        """The output is what one run gives, and no other file is there."""
        rows, metrics = self.fresh()
        assert self.rows() == rows
        record = api.load_run(str(self.out))
        assert record["metrics"] == metrics
        assert len(api.load_predictions(str(self.out))) == len(rows)
        assert record["counts"]["images"] == len(rows)
        named = {file["name"] for file in record["files"]}
        assert named == {f"predictions/{name}" for name in os.listdir(self.out / "predictions")}
        tables = {str(path.relative_to(self.out)) for path in self.out.glob("metrics/**/*.parquet")}
        assert tables == {table["name"] for table in record["tables"]}
        state = sorted(os.listdir(self.out / "_vggbatch"))
        assert state == sorted([record["plan"], "plan.json"])
        found = api.status(str(self.out))
        assert (found.state, found.rows) == ("complete", len(rows))


def killed_at(number, command, monkeypatch):
    """Kill a command before its write or deletion of a number; whether it had as many."""
    count = 0

    def counted(plain):
        def call(self, *args, **options):
            nonlocal count
            if "lease.json" not in str(args[0]):
                count += 1
                if count > number:
                    raise KeyboardInterrupt
            return plain(self, *args, **options)

        return call

    with monkeypatch.context() as patch:
        for name in ("write_bytes", "adopt", "delete", "delete_tree", "create_json"):
            patch.setattr(Fence, name, counted(getattr(Fence, name)))
        try:
            command()
        except KeyboardInterrupt:
            return True
    return False
