import pytest

from tests.cluster import command
from vggbatch import api


@pytest.mark.slow
def test_the_demo_scores_and_evaluates_what_comes_with_vggbatch(tmp_path):
    """Without a way to the zoo, by a mirror that has nothing: a full-size network is made up."""
    (tmp_path / "mirror").mkdir()
    output = tmp_path / "out"
    demo = command("demo", "-o", output, VGGBATCH_MIRRORS=str(tmp_path / "mirror"))
    printed, notes = demo.communicate(timeout=300)
    assert demo.returncode == 0, notes
    assert "the demo goes on with vgg16-12@synthetic" in notes
    rows = api.load_predictions(str(output)).to_pylist()
    assert [row["image_id"] for row in rows if row["error"]] == ["truncated.JPEG"]
    for row in rows:
        assert row["image_id"] in printed
        assert row["error"] or row["top5_synset"][0][:20] in printed
    assert (output / "metrics/summary").is_dir()
