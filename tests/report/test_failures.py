from vggbatch.metrics import Metric
from vggbatch.report.failures import failures_of
from vggbatch.report.scan import Scan


def found(**errors):
    scan = Scan(gallery=8, rows=200)
    for kind, count in errors.items():
        scan.error_counts[kind] = count
        scan.errors[kind] = [f"{kind} {i}" for i in range(min(2, count))]
    return scan


def line(metric, value, n, label_set="x"):
    return Metric(label_set, metric, value, value - 1, value + 1, n)


def test_no_failure_is_nothing_to_say():
    assert failures_of(found(), [line("top1", 70, 200)]) is None


def test_kinds_have_their_numbers_and_examples():
    failures = failures_of(found(truncated=2, not_image=5), [])
    assert [(kind.name, kind.share) for kind in failures.kinds] == [
        ("not_image", 2.5),
        ("truncated", 1.0),
    ]
    assert (failures.count, len(failures.kinds[0].examples), failures.sides) == (7, 2, [])


def test_both_policies_stand_side_by_side_whichever_was_chosen():
    other = line("top1", 1, 10, "other")
    wrong = [line("top1", 63, 200), other, line("top1_scored", 70, 180)]
    left_out = [line("top1", 70, 180), other, line("top1_all", 63, 200)]
    for metrics in (wrong, left_out):
        [side] = failures_of(found(truncated=20), metrics).sides
        assert (side.metric, side.with_failed.value, side.without_failed.value) == ("top1", 63, 70)
