from rich.console import Console

from tests.bench.samples import measurement
from vggbatch.bench.render import WIDTH, render
from vggbatch.bench.summary import summarize

FACTS = {
    "images": 1000,
    "different_images": 200,
    "machine": {"cores": 2, "processor": "Some CPU", "memory": 24 * 2**30},
    "models": {
        "fp32": {"name": "vgg16-12", "prepare_seconds": 17.84},
        "int8": {"name": "vgg16-12-int8", "prepare_seconds": None},
    },
    "fastest": {"fp32": {"bare": {"batch": 4, "sessions": 2}}},
    "left_out": {"torch": "torch is not installed (pip install torch)"},
}


def text_of(*measurements) -> str:
    names = ["loop1", "loop", "vggbatch"]
    summary = summarize(
        measurements,
        networks=list(dict.fromkeys(m.network for m in measurements)),
        cores=dict.fromkeys(names, 2),
        titles={name: f"the {name}" for name in names},
        facts=FACTS,
    )
    console = Console(width=WIDTH, color_system=None)
    with console.capture() as capture:
        console.print(render(summary))
    return capture.get()


def test_a_line_has_its_figures():
    slow = measurement("loop1", 2, seconds=20.0)
    lines = text_of(measurement("loop1"), slow, measurement("vggbatch")).splitlines()
    [loop] = [line.split() for line in lines if line.startswith("the loop1")]
    # rate and spread, steady, per core, first, memory, agreement, ratios
    assert loop[2:4] == ["7.50", "(5.00-10.0)"]
    assert loop[4:] == ["20.0", "3.75", "2.0", "1,000", "100.0%", "1.33", "1.00"]


def test_what_differs_is_marked():
    text = text_of(measurement("loop1"), measurement("vggbatch", top1=[1, 2, 9, 9]))
    assert "50.0% !" in text
    assert "100.0% !" not in text


def test_failures_and_absentees_are_told():
    text = text_of(measurement("loop1"), measurement("loop", error="no memory [left]"))
    assert "failed: no memory [left]" in text
    assert "without torch: torch is not installed" in text
    assert "1,000 images (200 different), medians of 1 round" in text


def test_what_a_ratio_is_of_is_said():
    text = text_of(
        measurement("loop1"),
        measurement("loop1", 2),
        measurement("loop1", network="int8", steady_rate=80.0, seconds=4.0),
        measurement("vggbatch", network="int8", steady_rate=None),
        measurement("vggbatch", 2),
    )
    assert "int8 against fp32, loop1: whole 2.50, steady 4.00, 1,000 images, 1 round" in text
    assert "int8 against fp32, vggbatch: whole 1.00, 1,000 images, 1 round" in text
    assert "int8, the loop1: 1 of 2 rounds" in text


def test_what_is_prepared_before_the_clocks_is_said():
    text = text_of(measurement("loop1"))
    assert "prepared for vggbatch (fp32 17.8 s, int8 in the cache)" in text
    assert "fp32, bare: onnxruntime is fastest with batch 4 in 2 session(s)" in text
