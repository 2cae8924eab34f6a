"""Log lines that say which run, shard and chunk they are about.

With `compute.log_format=json` each is a JSON object: the driver's on standard error (`json_lines`),
the workers', to which Ray adds node, process and task, in their files in Ray's log folder.
"""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import time
from collections.abc import Iterator, MutableMapping
from typing import TYPE_CHECKING, Any

from vggbatch.text import printable, without_secrets

if TYPE_CHECKING:
    from vggbatch.chunks.chunk import ChunkKey

    _Adapter = logging.LoggerAdapter[logging.Logger]
else:
    _Adapter = logging.LoggerAdapter  # takes no type argument before Python 3.11


class RunLogger(_Adapter):
    """A logger of one run: each line carries `run_id`, `host` and what it is given as fields."""

    def __init__(self, name: str, run_id: str) -> None:
        logger = logging.getLogger(name)
        logger.addFilter(hide_secrets)  # here, for Ray's workers have handlers of Ray's
        super().__init__(logger, {"run_id": run_id, "host": socket.gethostname()})

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the run's fields to the line's own."""
        return msg, {**kwargs, "extra": {**(self.extra or {}), **(kwargs.get("extra") or {})}}


def hide_secrets(record: logging.LogRecord) -> bool:
    """Take what is secret out of a line: its text, its fields, its traceback."""
    record.msg, record.args = without_secrets(record.getMessage()), ()
    for name, value in _fields(record).items():
        if isinstance(value, str):
            setattr(record, name, without_secrets(value))
    if record.exc_info:
        text = logging.Formatter().formatException(record.exc_info)
        # formatters take this, and the exception itself where there is none
        record.exc_text, record.exc_info = without_secrets(text), None
    return True


@contextlib.contextmanager
def run_logged(log: RunLogger, **fields: Any) -> Iterator[None]:
    """The lines that begin and end a run, around a block; the last one says how it ended."""
    started = time.perf_counter()
    log.info("run started", extra=fields)
    end: dict[str, Any] = {}
    try:
        yield
    except BaseException as error:
        end["failure"] = f"{type(error).__name__}: {error}"
        raise
    finally:
        end["seconds"] = round(time.perf_counter() - started, 3)
        log.info("run ended", extra=end)


_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "fields"}


class TextFormatter(logging.Formatter):
    """A log record as a line for people, its fields behind the message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(name)s %(levelname)s %(message)s%(fields)s")

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the traceback if there is one."""
        hide_secrets(record)
        record.msg = printable(record.msg, keep="")
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items())
        record.fields = printable(fields, keep="")
        return printable(super().format(record))


class JsonFormatter(logging.Formatter):
    """A log record as a JSON object, with the names that Ray gives the same fields."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        hide_secrets(record)
        values = {
            "asctime": self.formatTime(record),
            "levelname": record.levelname,
            "message": record.getMessage(),
            "name": record.name,
            "process": record.process,
        }
        values |= _fields(record)
        if record.exc_text:
            values["exc_text"] = record.exc_text
        return json.dumps(values, default=str)


@contextlib.contextmanager
def json_lines() -> Iterator[None]:
    """Log lines of this process as JSON on standard error, in place of what -v shows."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.handlers[:] = before
        root.setLevel(level)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """What the line was given beside its message; Ray marks its lines with names like `_ray_x`."""
    return {
        name: value
        for name, value in record.__dict__.items()
        if name not in _STANDARD and not name.startswith("_")
    }


def chunk_fields(key: ChunkKey) -> dict[str, int]:
    """The fields of a line about a chunk; a shard as a whole has no chunk number."""
    fields = {"group": key.group, "shard": key.shard}
    return fields if key.chunk < 0 else {**fields, "chunk": key.chunk}
