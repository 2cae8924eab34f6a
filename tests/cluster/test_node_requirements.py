"""Every fault that a machine can have has a line of its own that says what to do."""

from dataclasses import replace

import pytest

from vggbatch.cluster.node_report import NodeCheck, NodeReport
from vggbatch.cluster.node_requirements import Needs, find_problems, find_warnings, tightness
from vggbatch.preprocess.places import Places

QUESTION = NodeCheck(
    inputs=("s3://in/a.tar", "https://user:secret@host/b.tar?token=secret"),
    output="s3://out/x",
    write=True,
    mark=None,
    cache_dir=None,
    models=("vgg16-12",),
    temporary="/tmp/ray",
)
NEEDS = Needs({"pillow": "12.0.0", "vggbatch": "1.0"}, model_bytes=500_000_000)
FIT = NodeReport(
    host="h",
    versions=dict(NEEDS.versions),
    instructions="avx2",
    memory=2**34,
    cache="/cache",
    cache_free=2**34,
    cache_writable=True,
    cache_refusal=None,
    temporary_free=2**34,
    prepared=False,
    large_images=Places(2, 1536),
)


def found(classifiers=2, needs=NEEDS, **changes):
    return list(find_problems(replace(FIT, **changes), QUESTION, needs, classifiers))


def test_a_fit_machine_has_none():
    assert found() == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"versions": {"pillow": "11.0.0", "vggbatch": "1.0"}}, "has pillow 11.0.0 (here 12.0.0)"),
        ({"versions": {"pillow": "12.0.0"}}, "has vggbatch None (here 1.0)"),
        ({"unreadable": {"s3://in/a.tar": "Access Denied"}}, "cannot read s3://in/a.tar"),
        ({"output_failure": "Access Denied"}, "cannot write to s3://out/x (Access Denied)"),
        ({"output_unseen": True}, "has another s3://out/x than this machine"),
        (
            {"memory": 2_050_000_000},
            "memory free and 2 classifiers of vgg16-12 take 2.05",
        ),
        ({"cache_writable": False}, "cannot write to the model cache /cache"),
        ({"cache_free": 1_400_000_000}, "has 1.40 GB free for the model cache /cache"),
        ({"temporary_free": 10**8}, "has 0.10 GB free for Ray's /tmp/ray"),
    ],
)
def test_each_fault_is_one_line_with_what_to_do(changes, words):
    (line,) = found(**changes)
    assert words in line
    assert ": " in line or "; " in line
    assert "\n" not in line


def test_all_faults_are_told_together():
    assert len(found(memory=0, cache_free=0, temporary_free=0, output_failure="no")) == 4


def test_a_prepared_model_needs_no_cache_and_less_memory():
    prepared = {"prepared": True, "cache_free": 0, "cache_writable": False}
    assert found(**prepared, memory=1_060_000_000) == []


def test_decoding_counts_and_shrinks_before_a_node_is_refused():
    # 1.92 GB of classifiers, 2 threads of 134 MB, 2 large images of 1.61 GB
    assert tightness(replace(FIT, memory=5_410_000_000), NEEDS, 2) is None
    tight = replace(FIT, memory=5_400_000_000)
    line = tightness(tight, NEEDS, 2)
    assert "has 5.40 GB of memory free, and 5.41 GB may be needed: 1.92 GB by its" in line
    assert "2 large images at a time" in line
    assert "\n" not in line
    assert found(memory=tight.memory) == []


def test_a_node_that_only_coordinates_needs_no_room():
    assert tightness(replace(FIT, memory=0), NEEDS, 0) is None
    assert found(classifiers=0, memory=0, cache_free=0, temporary_free=0) == []


def test_what_the_driver_cannot_read_either_is_no_fault_of_the_node():
    uri = QUESTION.inputs[0]
    assert found(needs=replace(NEEDS, unreadable={uri}), unreadable={uri: "gone"}) == []


def test_a_line_keeps_secrets():
    (line,) = found(unreadable={QUESTION.inputs[1]: "403"})
    assert "https://host/b.tar" in line
    assert "secret" not in line


def test_different_cpus_are_odd_but_stop_nothing():
    assert find_warnings([FIT, FIT]) == []
    (line,) = find_warnings([FIT, replace(FIT, instructions="avx512_vnni")])
    assert "avx2, avx512_vnni" in line
