"""Metrics as Prometheus gets them: scraped from the real endpoint, equal to the record."""

import json
import re
import time
from collections import defaultdict
from pathlib import Path
from urllib.request import urlopen

import pytest
import ray

from tests.support.images import write_folder
from vggbatch import api
from vggbatch.config import load_config
from vggbatch.executors.ray_data.stages import STAGES
from vggbatch.runs.progress.telemetry import SECONDS

DASHBOARD = Path(__file__).parents[3] / "deploy/grafana-dashboard.json"
SERIES = re.compile(r"^(ray_vggbatch_\w+)\{(.*)\} (\S+)$")


def scrape(run_id):
    """Metric name -> labels (those of ours) -> value, of one run."""
    return series("run_id", run_id)


def series(label, value):
    """Of those that have a label of this value."""
    (node,) = [node for node in ray.nodes() if node["Alive"]]
    url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    found = defaultdict(dict)
    for line in urlopen(url, timeout=10).read().decode().splitlines():
        if match := SERIES.match(line):
            labels = dict(re.findall(r'(\w+)="([^"]*)"', match[2]))
            if labels[label] == value:
                key = tuple(labels[n] for n in ("output", "kind", "stage", "state") if n in labels)
                found[match[1]][key] = float(match[3])
    return found


def scrape_until(run_id, complete):
    """Ray hands metrics on every ten seconds."""
    deadline = time.monotonic() + 60
    while not complete(found := scrape(run_id)):
        assert time.monotonic() < deadline, found
        time.sleep(0.5)
    return found


@pytest.fixture(scope="module")
def run(ray_cluster, net, tmp_path_factory):
    """A run with error rows, its record and its metrics."""
    folder = tmp_path_factory.mktemp("metrics")
    write_folder(folder / "images", 20)
    (folder / "images/00003a.jpg").write_bytes(b"")
    (folder / "images/00004a.jpg").write_bytes(b"no image")
    options = {"input": (str(folder / "images"),), "model": str(net), "output": str(folder / "out")}
    scored = api.score(load_config(options=options, settings=["chunk_size=4"], environ={}))
    now = scored.record["this_run"]
    # gauges are at 0 only once the run has counted all; Ray does not hand all on at the same moment
    at_rest = {
        f"ray_vggbatch_{name}": {(options["output"], which): 0 for which in of}
        for name, of in {
            "classifiers": ("ready", "pending"),
            "queue_chunks": STAGES,
            "running_chunks": STAGES,
        }.items()
    }
    found = scrape_until(
        now["run_id"],
        lambda found: (
            found["ray_vggbatch_images_total"] == {(options["output"],): now["images"]}
            and all(found[name] == values for name, values in at_rest.items())
        ),
    )
    return options["output"], scored.record, found


def test_counters_are_what_run_json_says(run):
    output, record, found = run
    now = record["this_run"]
    assert now["images"] == record["counts"]["images"] == 22
    assert found["ray_vggbatch_chunks_total"] == {(output,): 6}
    assert found["ray_vggbatch_image_bytes_total"] == {(output,): now["image_bytes"]}
    assert found["ray_vggbatch_errors_total"] == {
        (output, "empty"): 1,
        (output, "not_image"): 1,
    }
    assert now["errors_by_kind"] == record["counts"]["errors_by_kind"]
    for stage, name in SECONDS.items():
        seconds = found["ray_vggbatch_stage_seconds_total"][output, stage]
        assert seconds == pytest.approx(now["timings"][name], abs=1e-3)
        assert record["timings"][name] == now["timings"][name] > 0


def test_gauges_end_at_rest(run):
    output, record, found = run
    for name in ("queue_chunks", "running_chunks"):
        assert found[f"ray_vggbatch_{name}"] == {(output, stage): 0 for stage in STAGES}
    assert found["ray_vggbatch_classifiers"] == {(output, "ready"): 0, (output, "pending"): 0}
    for name in ("images_safe", "images_expected"):
        assert found[f"ray_vggbatch_{name}"] == {(output,): record["counts"]["images"]}


def test_labels_are_few(run):
    """One series for each kind and stage, whatever the number of images and chunks."""
    _, _, found = run
    assert sum(len(series) for series in found.values()) < 30


def test_the_dashboard_asks_for_what_is_exported(run):
    _, _, found = run
    dashboard = json.loads(DASHBOARD.read_text())
    asked = set()
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            names = re.findall(r"ray_vggbatch_\w+", target["expr"])
            assert names, panel["title"]
            asked.update(names)
            by = re.search(r"by \((\w+)\)", target["expr"])
            if by and by[1] not in ("run_id", "output"):
                assert f"{{{{{by[1]}}}}}" in target["legendFormat"]
    # failures have a series once there is one
    assert asked == set(found) | {"ray_vggbatch_chunk_failures_total"}


def test_the_dashboards_panels_do_not_overlap():
    cells = [
        (x, y)
        for panel in json.loads(DASHBOARD.read_text())["panels"]
        for at in [panel["gridPos"]]
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
