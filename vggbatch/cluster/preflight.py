"""The checks before a run: every node is fit for it, or all that is wrong is reported at once.

On a cluster that is joined each node looks at itself (see node_report.py), all at once and in one
round trip; the worker process that answers takes the node's first task, so little time is lost.
What a node cannot do would otherwise come out as error rows, as failed chunks or, where versions
differ, as other predictions.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from vggbatch.cluster.connection import Cluster, living_nodes
from vggbatch.cluster.node_report import NodeCheck, NodeReport, inspect_node, unreadable
from vggbatch.cluster.node_requirements import (
    check_own_machine,
    find_problems,
    find_warnings,
    needs_of,
    node_check_for,
    tightness,
)
from vggbatch.cluster.placement import Placement, check_gpus, place
from vggbatch.errors import CannotStart, UnfitForRun
from vggbatch.job.job import Job
from vggbatch.output.names import STATE
from vggbatch.storage.filesystem import Folder

TIMEOUT_S = 20.0
"""Seconds for all nodes to answer; of one that died Ray knows by then."""
_INPUTS = 4
"""Files of the input that every node tries, each from another folder."""


def check(
    job: Job,
    cluster: Cluster,
    report: Callable[[str], None],
    meanwhile: Callable[[Placement], None] = lambda placement: None,
) -> Placement:
    """Fit a job into a cluster, and check the nodes.

    Args:
        job: the job.
        cluster: what the run is connected to.
        report: called with what is odd about the nodes but stops nothing, a line each.
        meanwhile: called while the nodes of a cluster that was joined look at themselves.

    Raises:
        UsageError: no classifier fits, or nodes are not fit for the run.
        VggbatchError: nodes do not answer.
    """
    if cluster.own:
        check_gpus(job.config.compute, cluster.gpus)
        return check_own_machine(job)
    with Preflight(job, woken=cluster.woken) as preflight:
        placement = place(cluster.node_cpus, job.config.compute, cluster.growth, gpus=cluster.gpus)
        meanwhile(placement)
        for line in preflight.finish(placement):
            report(line)
    return placement


class Preflight:
    """The checks of a cluster that was joined, from `with`, which asks the nodes, to `finish`.

    Args:
        job: the job.
        woken: node id -> a task there whose process is to inspect_node, once it has ended.
        timeout: seconds for all nodes to answer.
    """

    def __init__(
        self, job: Job, *, woken: Mapping[str, Any] | None = None, timeout: float = TIMEOUT_S
    ) -> None:
        self.job = job
        self.woken = woken or {}
        self.timeout = timeout
        self.output = Folder(job.config.output)
        self.inputs = _inputs(job)
        self.nodes = {node["NodeID"]: node for node in living_nodes()}
        self._answers: dict[Any, str] = {}
        self._mark: str | None = None
        self._made: list[str] = []

    def __enter__(self) -> Preflight:
        self._deadline = time.monotonic() + self.timeout
        if self.output.local:
            self._leave_mark()
        probe: Any = ray.remote(num_cpus=0, max_retries=0)(inspect_node)
        for name in self.nodes:
            place = NodeAffinitySchedulingStrategy(name, soft=False)
            asked = probe.options(scheduling_strategy=place, name="preflight")
            self._answers[asked.remote(self._question(name), self.woken.get(name))] = name
        return self

    def __exit__(self, *exception: object) -> None:
        if self._mark is not None:
            self.output.delete(self._mark)
        for path in self._made:
            with suppress(OSError):
                os.rmdir(path)

    def finish(self, placement: Placement) -> list[str]:
        """Wait for the answers and hold them against what the run needs.

        Returns:
            What is odd about the nodes but stops nothing, a line each.

        Raises:
            UsageError: nodes are not fit for the run; the message has a line for each fault.
            VggbatchError: nodes do not inspect_node, and nothing else is wrong.
        """
        found, silent, odd = self._judge(placement)
        if found:
            raise UnfitForRun(*found, *silent)
        if silent:
            raise CannotStart(*silent)
        return odd

    def _question(self, name: str) -> NodeCheck:
        return node_check_for(
            self.job,
            inputs=self.inputs,
            write=True,
            mark=self._mark,
            # a session's folder is `TEMPORARY/session_...`; its sockets have a folder in there
            temporary=str(Path(self.nodes[name]["ObjectStoreSocketName"]).parents[2]),
        )

    def _judge(self, placement: Placement) -> tuple[list[str], list[str], list[str]]:
        """Faults of nodes, nodes that do not inspect_node, and find_warnings."""
        needs = needs_of(self.job, unreadable(self.inputs))
        remaining = max(0.0, self._deadline - time.monotonic())
        asked = list(self._answers)
        answered, late = ray.wait(asked, num_returns=len(asked), timeout=remaining)
        found: list[str] = []
        odd: list[str] = []
        reports: list[NodeReport] = []
        for reference in answered:
            name = self._answers[reference]
            try:
                report = ray.get(reference)
            except RayError as error:
                if _lives(name):
                    found.append(f"{self._title(name)} {_cannot_run(error)}")
                continue
            cpus = int(self.nodes[name]["Resources"].get("CPU", 0))
            classifiers = min(cpus // placement.threads, placement.max_actors)
            lacking = find_problems(report, self._question(name), needs, classifiers)
            found += [f"{self._title(name)} {fault}" for fault in lacking]
            tight = tightness(report, needs, classifiers)
            odd += [f"{self._title(name)} {tight}"] if tight else []
            reports.append(report)
        silent = [
            f"{self._title(self._answers[reference])} does not answer within {self.timeout:g} s: "
            "see `ray status`, or take it out of the cluster"
            for reference in late
            if _lives(self._answers[reference])
        ]
        return found, silent, odd + find_warnings(reports)

    def _title(self, name: str) -> str:
        node = self.nodes[name]
        return f"node {node['NodeManagerHostname']} ({node['NodeManagerAddress']}, {name[:8]})"

    def _leave_mark(self) -> None:
        """Put a file into the output's folder for the nodes to see."""
        for path in (self.output.root, self.output.path(STATE)):
            if not os.path.isdir(path):
                os.makedirs(path)
                self._made.insert(0, path)
        self._mark = f"{STATE}/.mark-{uuid.uuid4().hex}"
        self.output.write_bytes(self._mark, b"")


def _inputs(job: Job) -> tuple[str, ...]:
    """Some files of the input, each from another folder."""
    found: dict[str, str] = {}
    for shard in job.shards:
        uri = shard.uri
        if shard.members is not None:
            sound = shard.members.filter(pc.field("error").is_null())
            if not sound.num_rows:
                continue
            uri = sound["source"][0].as_py() or shard.uri
        found.setdefault(uri.rpartition("/")[0], uri)
        if len(found) == _INPUTS:
            break
    return tuple(found.values())


def _lives(name: str) -> bool:
    return any(node["NodeID"] == name for node in living_nodes())


def _cannot_run(error: RayError) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = next((line for line in reversed(lines) if "Error" in line), lines[-1])
    return (
        f"cannot run this vggbatch ({reason}): install the same version on every node, or ship it "
        "with `vggbatch submit`"
    )
