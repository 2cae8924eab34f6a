import pytest

from vggbatch.config import Preprocess
from vggbatch.errors import UsageError
from vggbatch.preprocess.profiles import PROFILES, resolve_profile


def test_parts_that_equal_a_profile_have_its_name():
    assert resolve_profile(Preprocess(resize_mode="squash")) == ("squash", PROFILES["squash"])
    assert resolve_profile(Preprocess(resize=300))[0] == "custom"


def test_an_unknown_profile_names_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'caffe2'"):
        resolve_profile("caffe")
