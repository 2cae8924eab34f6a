"""The benchmark: rounds over all systems and networks, one run after the other."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vggbatch.bench import machine
from vggbatch.bench.child import SEARCH
from vggbatch.bench.measure import Measurement, last_line, measure, run
from vggbatch.bench.record import Record
from vggbatch.bench.registry import PARTS_THAT_SEARCH, system
from vggbatch.bench.setup import Images, Network, collect_images, prepare_networks
from vggbatch.bench.summary import Summary, summarize
from vggbatch.bench.systems.base import System, child_command
from vggbatch.bench.task import Task
from vggbatch.config import JobConfig, Selection
from vggbatch.errors import VggbatchError

Note = Callable[[str], None]


@dataclass(frozen=True)
class Settings:
    """What is to be measured."""

    inputs: tuple[str, ...]
    models: tuple[str, ...]
    images: int | None
    """Files that every system reads; None: as many as the input has."""
    rounds: int
    systems: tuple[str, ...]
    score_settings: tuple[str, ...] = ()
    """`key=value` pairs for vggbatch itself, as `score --set` takes them."""
    select: dict[str, Any] | None = None
    """Which images of the inputs, as the setting `select`; None: all."""
    address: str | None = None
    """Ray cluster that the systems which use Ray join; its nodes must see the output folder."""


@dataclass(frozen=True)
class _Bench:
    settings: Settings
    images: Images
    cores: int
    cluster_cores: int
    record: Record
    work: Path

    def cores_of(self, runner: System) -> int:
        return self.cluster_cores if runner.clustered else self.cores

    @contextmanager
    def task(self, runner: System, network: Network) -> Iterator[Task]:
        """A task with a folder that lasts as long as it."""
        folder = Path(tempfile.mkdtemp(prefix="run-", dir=self.work))
        searched = self.record.best.get(network.label, {})
        best = searched.get(runner.name, {"batch": 1, "sessions": 1})
        yield network.task(
            self.images,
            work=folder,
            cores=self.cores_of(runner),
            batch=best["batch"],
            sessions=best["sessions"],
            score_settings=self.settings.score_settings,
            address=self.settings.address if runner.clustered else None,
        )
        shutil.rmtree(folder)

    def turn(self, number: int, runner: System, network: Network, note: Note) -> str | None:
        """Measure a system and record it; why it cannot run the network, None if it can."""
        searched = runner.name in self.record.best.get(network.label, {})
        if runner.name in PARTS_THAT_SEARCH and not searched:
            note(f"{network.label}, {runner.name}: looking for onnxruntime's best batch")
            self.search(runner, network)
        with self.task(runner, network) as task:
            if unfit := runner.unfit(task):
                return unfit
            found = measure(runner, task, number, network.label)
        self.record.add(found)
        note(f"round {number} of {self.settings.rounds}, {_line(found)}")
        return None

    def search(self, runner: System, network: Network) -> None:
        """Find out once how onnxruntime is fastest on its own."""
        with self.task(runner, network) as task:
            log = Path(task.work) / "log"
            usage = run(child_command(f"{SEARCH}{runner.name}", task), log)
            if usage.status:
                reason = last_line(log, usage.status)
                raise VggbatchError(f"onnxruntime cannot run {network.name}: {reason}")
            best = json.loads((Path(task.work) / "best.json").read_text())
            self.record.keep_best(network.label, runner.name, best)


def bench(settings: Settings, config: JobConfig, output: Path, note: Note) -> Summary:
    """Measure what the output folder lacks, and write bench.json, bench.parquet and bench.txt.

    Every measurement is kept at once, so the same command continues where one was interrupted.

    Args:
        settings: what is to be measured.
        config: where models are found; the rest of it is not used.
        output: folder on a local or shared disk.
        note: called with a line for everything that happens.

    Raises:
        UsageError: no such input or model, or the output holds another benchmark.
        VggbatchError: onnxruntime cannot run a network, or no cluster answers.
    """
    record = Record.open(output, asdict(settings))
    runners, missing = _able(settings.systems)
    for name, reason in missing.items():
        note(f"without {name}: {reason}")
    cores = machine.cores()
    cluster_cores = machine.cluster_cores(settings.address) if settings.address else cores
    work = Path(tempfile.mkdtemp(prefix="work-", dir=output))
    try:
        images = collect_images(
            settings.inputs, settings.images, work / "images", Selection(**settings.select or {})
        )
        note(f"{images.count} images, {images.distinct} of them different")
        networks = prepare_networks(settings.models, config, work)
        for network in networks:
            took = "in the cache"
            if network.prepare_seconds is not None:
                took = f"made in {network.prepare_seconds:.1f} s"
                record.keep_prepare_seconds(network.label, network.prepare_seconds)
            note(f"{network.label}: prepared before the clocks: {took}")
        plan = _Bench(settings, images, cores, cluster_cores, record, work)
        for number in range(1, settings.rounds + 1):
            for network in networks:
                for runner in _turns(number, runners):
                    if record.has(number, network.label, runner.name):
                        continue
                    unfit = plan.turn(number, runner, network, note)
                    if unfit:
                        missing[f"{runner.name}, {network.label}"] = unfit
    finally:
        shutil.rmtree(work, ignore_errors=True)
    summary = summarize(
        record.measurements,
        networks=[network.label for network in networks],
        cores={runner.name: plan.cores_of(runner) for runner in runners},
        titles={runner.name: runner.title for runner in runners},
        facts={
            "machine": machine.describe(),
            "versions": machine.versions(),
            "settings": asdict(settings),
            "images": images.count,
            "different_images": images.distinct,
            "models": {
                n.label: {
                    "name": n.name,
                    "sha256": n.sha256,
                    "prepare_seconds": record.prepare_seconds.get(n.label),
                }
                for n in networks
            },
            "fastest": record.best,
            "left_out": missing,
        },
    )
    summary.write(output)
    return summary


def _able(names: tuple[str, ...]) -> tuple[list[System], dict[str, str]]:
    """The systems that can run here, and why others cannot."""
    runners, missing = [], {}
    for name in names:
        runner = system(name)
        reason = runner.missing()
        if reason:
            missing[name] = reason
        else:
            runners.append(runner)
    return runners, missing


def _turns(number: int, runners: list[System]) -> list[System]:
    """Every other round runs backwards, so that a drift of the machine hits all alike."""
    return runners if number % 2 else runners[::-1]


def _line(found: Measurement) -> str:
    what = f"{found.network}, {found.system}: "
    if found.error:
        return f"{what}failed: {found.error}"
    steady = f", {found.steady_rate:.1f} images/s steady" if found.steady_rate else ""
    return f"{what}{found.seconds:.1f} s{steady}, {found.peak_bytes / 1e6:,.0f} MB"
