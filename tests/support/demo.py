"""What the tests of the demo need."""

from importlib.metadata import PackageNotFoundError, distribution

import pytest

from vggbatch.demo import PACKAGE


def installed():
    try:
        return bool(distribution(PACKAGE))
    except PackageNotFoundError:
        return False


needs_package = pytest.mark.skipif(not installed(), reason=f"needs the package {PACKAGE}")
