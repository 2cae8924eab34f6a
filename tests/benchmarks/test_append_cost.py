"""The program that measures what an append costs, on a few images."""

from __future__ import annotations

import pytest

from benchmarks.append_cost import costs
from tests.support.images import write_folder


@pytest.mark.slow
def test_each_number_of_old_images_is_measured(tmp_path):
    write_folder(tmp_path / "in", 5)
    found = list(costs([str(tmp_path / "in")], [20, 40], 6, tmp_path))
    assert [(cost.old, cost.new) for cost in found] == [(20, 6), (40, 6)]
    for cost in found:
        assert 0 < cost.listing_seconds < cost.append_seconds
        assert cost.peak_bytes > 50 * 2**20
