"""Several actors of a pool in one process, so that a machine holds hundreds that only wait.

Ray Data sees as many actors as there are and sends each its own chunks. In truth they are the
threads of fewer processes: what a driver spends on connections to processes is less than in truth.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from ray.actor import ActorHandle
from ray.data._internal.execution.operators import actor_pool_map_operator


class _Twin(ActorHandle[Any]):
    """Another handle of an actor, and for a pool another actor."""

    def __init__(self, actor: ActorHandle[Any]) -> None:
        self.__dict__.update(actor.__dict__)
        self._twin_of = actor
        self._ray_weak_ref = True

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other


class _Starter:
    """Starts one process for several actors: what an actor class is to a pool."""

    def __init__(self, actor_class: Any, in_process: int) -> None:
        self._class = actor_class
        self._in_process = in_process
        self._calls = actor_class._default_options["max_concurrency"]
        self._options: dict[str, Any] = {}
        self._left = 0
        self._actor: Any = None

    def options(self, **options: Any) -> _Starter:
        self._options = options
        return self

    def remote(self, **arguments: Any) -> ActorHandle[Any]:
        if not self._left:
            options = self._options | {
                "num_cpus": self._options["num_cpus"] * self._in_process,
                "max_concurrency": self._calls * self._in_process,
            }
            self._actor = self._class.options(**options).remote(**arguments)
            self._left = self._in_process
        self._left -= 1
        return _Twin(self._actor)


@contextmanager
def shared_processes(in_process: int) -> Iterator[None]:
    """Let pools put so many actors into each process."""
    pool = actor_pool_map_operator.ActorPoolMapOperator
    start = pool._start_actor

    def start_shared(self: Any, *arguments: Any) -> Any:
        if not isinstance(self._actor_cls, _Starter):
            self._actor_cls = _Starter(self._actor_cls, in_process)
        return start(self, *arguments)

    with patch.object(pool, "_start_actor", start_shared):
        yield
