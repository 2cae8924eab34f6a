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
