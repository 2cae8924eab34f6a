"""Making an entry of prepared networks, by one process while the others wait.

Apart from `prepare`, which most processes need for entries that are there.
"""

from __future__ import annotations

import logging
import os
import pickle
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from vggbatch import process
from vggbatch.errors import UsageError, VggbatchError
from vggbatch.models.durable import sync
from vggbatch.models.model import Model
from vggbatch.models.preparation.build_job import BuildJob
from vggbatch.models.preparation.entry import Variant, facts_of
from vggbatch.models.source_files import Source, original_file
from vggbatch.preprocess.profiles import resolve_profile

_BUILD_SECONDS = 3600
"""A VGG-19 takes one minute on two slow cores; a network that computes without end takes all."""

log = logging.getLogger(__name__)


def make(
    model: Model,
    folder: Path,
    key: Mapping[str, Any],
    variant: Variant,
    *,
    cache_dir: str | None,
    source: Source | None,
) -> dict[str, Any]:
    """The facts of the entry, once it is made, by this process or another.

    Raises:
        UsageError: the graph cannot be made batchable.
        VggbatchError: the bytes are missing or have another SHA-256, or the prepared file does not
            compute what the original does.
        OSError: the cache cannot be written.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        facts = facts_of(folder, key)
        if facts is None:
            _build(model, folder, key, variant, cache_dir, source)
            facts = facts_of(folder, key)
    if facts is None:
        raise VggbatchError(f"{folder} has lost what was just written to it: is its disk damaged?")
    return facts


def _build(
    model: Model,
    folder: Path,
    key: Mapping[str, Any],
    variant: Variant,
    cache_dir: str | None,
    source: Source | None,
) -> None:
    """Make the folder; it appears under its name only when it is complete. Runs under its lock."""
    log.info("preparing %s for this machine (once)", model.name)
    for left in (folder, *folder.parent.glob(f".{folder.name}.*")):
        shutil.rmtree(left, ignore_errors=True)
    # A name of its own: what an orphan of a killed process still writes stays out of it.
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        _, profile = resolve_profile(model.preprocess)
        job = BuildJob(
            name=model.name,
            original=original_file(model, work, cache_dir, source),
            synthetic_of=model.synthetic_of,
            work=work,
            target=work / "prepared",
            input=model.input,
            scores=model.scores,
            binary=model.output if model.binary else None,
            layout=model.layout,
            size=model.input_size or (profile.crop, profile.crop),
            profile=profile,
            features=variant.features,
            dense=variant.dense,
            portable=variant.portable,
            normalize=variant.normalize,
            key=key,
        )
        (work / "job").write_bytes(pickle.dumps(job))
        _run_build(model, work / "job")
        # its content is on the disk by now: so it is there whole, or not at all
        os.rename(job.target, folder)
        sync(folder.parent)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _run_build(model: Model, job: Path) -> None:
    """Run the build as a process of its own; its last line says what failed."""
    command = process.python("vggbatch.models.preparation.build", str(job))
    environment = process.environment()
    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_BUILD_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise VggbatchError(
            f"{model.name} could not be prepared within {_BUILD_SECONDS // 60} minutes"
        ) from None
    if done.returncode == 0:
        return
    lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
    if done.returncode == UsageError.exit_status:
        raise UsageError(lines[-1])
    if done.returncode < 0:
        lines = [f"killed by signal {-done.returncode}; is there enough memory on this machine?"]
    raise VggbatchError(f"{model.name} could not be prepared: {lines[-1]}")
