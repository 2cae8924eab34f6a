"""The page about a run, from a real run with labels and a damaged image."""

import re

import pytest

from tests.images import write_folder
from vggbatch import api
from vggbatch.cli.report import report
from vggbatch.config import load_config
from vggbatch.errors import UsageError


@pytest.mark.usefixtures("ray_cluster")
def test_one_file_with_figures_galleries_and_nothing_from_the_network(net, tmp_path, capsys):
    names = write_folder(tmp_path / "images", 6)
    (tmp_path / "images/bad.jpg").write_bytes(b"nothing")
    (tmp_path / "labels.csv").write_text(
        "file,class_index\n" + "".join(f"{name},{i}\n" for i, name in enumerate(names))
    )
    options = {
        "input": (str(tmp_path / "images"),),
        "labels": str(tmp_path / "labels.csv"),
        "model": str(net),
        "output": str(tmp_path / "out"),
    }
    api.evaluate(load_config(options=options, environ={}))
    report(str(tmp_path / "out"))
    assert capsys.readouterr().out.strip().endswith("report.html")
    page = (tmp_path / "out/report.html").read_text()
    assert "bad.jpg" in page
    assert "no known image format" in page
    assert "data:image/" in page
    assert not re.findall(r"(?:src|href)=[\"']?https?:", page)


def test_an_output_without_a_run_is_one_line(tmp_path):
    with pytest.raises(UsageError):
        report(str(tmp_path))
