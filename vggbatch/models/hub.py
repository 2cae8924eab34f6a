"""The zoo's organization on the Hugging Face Hub, as this machine is set up to reach it.

HF_ENDPOINT, HF_TOKEN, HF_HOME and HF_HUB_OFFLINE mean what they mean to huggingface_hub. Where
it is installed (extra `hub`) it does the transfer, and a file in its cache is taken from there.
"""

from __future__ import annotations

import os
from importlib.util import find_spec

_ORGANIZATION = "onnxmodelzoo"
_ENDPOINT = "https://huggingface.co"


def is_offline() -> bool:
    """Whether nothing may be downloaded."""
    return os.environ.get("HF_HUB_OFFLINE", "").strip().lower() in ("1", "true", "yes", "on")


def addresses(model: str, file: str, *, offline: bool = False) -> list[str]:
    """Where the Hub may have a file of a model, in the order in which to ask.

    Args:
        model: zoo name.
        file: its file.
        offline: only what huggingface_hub keeps on this machine, as where HF_HUB_OFFLINE is set.
    """
    offline = offline or is_offline()
    repository = f"{_ORGANIZATION}/{model}"
    if find_spec("huggingface_hub") is None:
        endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/") or _ENDPOINT
        return [] if offline else [f"{endpoint}/{repository}/resolve/main/{file}"]
    from huggingface_hub import try_to_load_from_cache

    kept = try_to_load_from_cache(repository, file)
    found = [kept] if isinstance(kept, str) else []
    return found if offline else [*found, f"hf://{repository}/{file}"]
