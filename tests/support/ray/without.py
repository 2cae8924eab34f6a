"""A run on a Ray of its own as if that Ray lacked a name, which one of our modules then asks for.

    python -m tests.support.ray.without MODULE NAME IMAGES NET OUTPUT

Ray itself keeps the name: in the module's text another stands in its place. Prints the log.
"""

import importlib
import importlib.util
import logging
import re
import sys


def forget(module: str, name: str) -> None:
    """Import a module whose text has another name in place of one."""
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.loader is not None
    text = spec.loader.get_source(module)  # type: ignore[attr-defined]
    changed, count = re.subn(rf"\b{name}\b", f"{name}_gone", text)
    assert count, f"{module} does not use {name}"
    made = importlib.util.module_from_spec(spec)
    sys.modules[module] = made
    exec(compile(changed, str(spec.origin), "exec"), made.__dict__)
    package, _, last = module.rpartition(".")
    setattr(importlib.import_module(package), last, made)


def main(module: str, name: str, images: str, net: str, output: str) -> None:
    """Do it."""
    forget(module, name)
    from vggbatch import api
    from vggbatch.config import load_config
    from vggbatch.executors.ray_data import fused
    from vggbatch.executors.ray_data.watchdog import Watchdog

    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(name)s: %(message)s")
    Watchdog.look = 0.2
    fused._FEW = 0  # a plan of all stages asks for all names
    settings = ["compute.executor=ray", "compute.num_cpus=2", "chunk_size=4", "compute.pin=false"]
    settings += ["compute.decode_tasks=1"]
    values = {"input": (images,), "model": net, "output": output}
    api.score(load_config(options=values, settings=settings, environ={}))


if __name__ == "__main__":
    main(*sys.argv[1:])
