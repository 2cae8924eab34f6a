"""Real runs to make pages about, and a browser to open them in."""

from __future__ import annotations

import io
import shutil
import tarfile
from pathlib import Path

import pytest

from tests.support.here import Here
from tests.support.images import cut, jpeg, write_folder
from tests.support.nets import color_net
from vggbatch import api
from vggbatch.config import load_config

COUNT = 60

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-prefers-reduced-motion",
)


def options(images, net, output, **more):
    values = {"input": (str(images),), "model": str(net), "output": str(output), "chunk_size": 16}
    return load_config(options=values | more, environ={})


@pytest.fixture(scope="session")
def images(tmp_path_factory) -> Path:
    """Loose images, a tar of more, and damaged ones in both; labels.csv beside them."""
    folder = tmp_path_factory.mktemp("report") / "images"
    names = write_folder(folder, COUNT // 2)
    (folder / "bad <b>.jpg").write_bytes(b"nothing")
    with tarfile.open(folder / "more.tar", "w") as shard:
        for number in range(COUNT // 2, COUNT):
            data = jpeg(cut(number, width=160, height=120))
            info = tarfile.TarInfo(f"deep/{number:05d}.jpg")
            if number == COUNT - 1:
                data = data[: len(data) // 2]
            info.size = len(data)
            shard.addfile(info, io.BytesIO(data))
            names.append(f"{number:05d}.jpg")
    lines = [f"{name},{number}" for number, name in enumerate(names)]
    (folder.parent / "labels.csv").write_text("\n".join(["file,class_index", *lines]) + "\n")
    return folder


@pytest.fixture(scope="session")
def run(images, net, tmp_path_factory) -> Path:
    """An evaluated run, half of whose labels are what the network says."""
    output = tmp_path_factory.mktemp("run") / "out"
    api.score(options(images, net, output / "first"), executor=Here())
    said = {
        row["image_id"].rsplit("/", 1)[-1]: row["top5_index"][0]
        for row in api.load_predictions(str(output / "first")).to_pylist()
        if row["top5_index"]
    }
    lines = [
        f"{name},{best if number % 2 else number % 6}"
        for number, (name, best) in enumerate(said.items())
    ]
    labels = images.parent / "half.csv"
    labels.write_text("\n".join(["file,class_index", *lines]) + "\n")
    shutil.rmtree(output)
    api.evaluate(options(images, net, output, labels=str(labels)), executor=Here())
    return output


@pytest.fixture(scope="session")
def other_run(images, run, tmp_path_factory) -> Path:
    """The same images and labels under another network."""
    folder = tmp_path_factory.mktemp("other")
    net = color_net(folder / "other.onnx", seed=1)
    labels = str(images.parent / "half.csv")
    api.evaluate(options(images, net, folder / "out", labels=labels), executor=Here())
    return folder / "out"


@pytest.fixture(scope="session")
def unlabeled_run(images, net, tmp_path_factory) -> Path:
    """A run without labels."""
    output = tmp_path_factory.mktemp("unlabeled") / "out"
    api.score(options(images / "more.tar", net, output), executor=Here())
    return output


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """Headless Chromium that collects what pages log."""
    binary = shutil.which("chromium") or shutil.which("chromium-browser")
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("needs Chromium: apt-get install chromium chromium-driver")
    webdriver = pytest.importorskip("selenium.webdriver")
    settings = webdriver.ChromeOptions()
    settings.binary_location = binary
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        settings.add_argument(flag)
    settings.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = webdriver.Chrome(options=settings, service=webdriver.ChromeService(driver))
    yield opened
    opened.quit()
