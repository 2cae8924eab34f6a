"""Measurements for tests."""

from __future__ import annotations

from typing import Any

from vggbatch.bench.measure import Measurement


def measurement(system: str, number: int = 1, network: str = "fp32", **more: Any) -> Measurement:
    """A run of 100 images in 10 s."""
    values: dict[str, Any] = {
        "whole": True,
        "images": 100,
        "seconds": 10.0,
        "first_seconds": 2.0,
        "steady_rate": 20.0,
        "peak_bytes": 10**9,
        "top1": [1, 2, 3, 4],
    }
    return Measurement(number, network, system, **(values | more))
