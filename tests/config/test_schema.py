import pytest

from vggbatch.config import JobConfig, Preprocess


def test_identity_has_what_decides_the_content_and_nothing_else():
    base = JobConfig()
    same = JobConfig.model_validate({"compute": {"actors": 2}, "overwrite": True, "output": "o"})
    other = JobConfig.model_validate({"decode": {"truncated": True}})
    assert base.identity() == same.identity()
    assert base.identity() != other.identity()


def test_one_input_may_be_a_plain_string():
    assert JobConfig.model_validate({"input": "folder"}).input == ("folder",)


def test_std_of_zero_is_refused():
    with pytest.raises(ValueError, match="std must be above 0"):
        Preprocess(std=(1.0, 0.0, 1.0))


def test_configuration_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        JobConfig().chunk_size = 3


def test_a_protocol_by_its_name_or_its_parts():
    plain = JobConfig.model_validate({"protocol": "ten"}).protocol
    assert (plain.views, plain.scales, plain.mirrored) == ("ten", None, (False, True))
    parts = {"views": "center", "scales": "256,384", "flip": True}
    assert JobConfig.model_validate({"protocol": parts}).protocol.scales == (256, 384)
    assert JobConfig().protocol.single
    for changed in ({"views": "dense"}, {"scales": [256]}, {"flip": True}):
        assert not JobConfig.model_validate({"protocol": changed}).protocol.single


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"protocol": "eleven"}, "center"),
        ({"protocol": {"scales": []}}, "scales"),
        ({"protocol": {"scales": "256,0"}}, "1 to 8192"),
        ({"protocol": {"scales": "large"}}, "such as 256,384,512"),
        ({"protocol": {"scales": [256, 256]}}, "twice"),
        ({"protocol": "ten", "features": "float32"}, "single center crop"),
        ({"model": ["a.onnx", "b.onnx"], "features": "float32"}, "one network"),
        ({"profiles": {"../x": "zoo"}}, "cannot name a folder"),
    ],
)
def test_what_does_not_fit_is_refused(settings, fault):
    with pytest.raises(ValueError, match=fault):
        JobConfig.model_validate(settings)


def test_networks_and_profiles_in_their_short_forms():
    config = JobConfig.model_validate({"model": ["a.onnx", "b.onnx"], "profiles": "zoo, squash"})
    assert config.model.name == "a.onnx"
    assert [network.name for network in config.ensemble] == ["b.onnx"]
    assert config.profiles == {"zoo": "zoo", "squash": "squash"}
    further = JobConfig.model_validate({"ensemble": ["b.onnx"]})
    assert (further.model, further.ensemble) == (JobConfig().model, config.ensemble)
    own = JobConfig.model_validate({"profiles": {"large": {"resize": 300, "crop": 299}}})
    assert own.profiles["large"] == Preprocess(resize=300, crop=299)


def test_opencv_has_the_bilinear_filter_and_float_pixels():
    Preprocess(resizer="opencv", pixels="float32")
    with pytest.raises(ValueError, match="bilinear, not bicubic"):
        Preprocess(resizer="opencv", interpolation="bicubic")
    with pytest.raises(ValueError, match="needs resizer opencv"):
        Preprocess(pixels="float32")


def test_the_same_pixels_have_the_same_geometry():
    bgr = Preprocess(channels="BGR", mean=(0.1, 0.2, 0.3))
    assert bgr.resize_spec() == Preprocess().resize_spec()
    others = {"resize_mode": "squash", "resizer": "opencv", "long_side": "truncate"}
    for name, value in others.items():
        assert Preprocess(**{name: value}).resize_spec() != Preprocess().resize_spec()
