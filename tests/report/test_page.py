import base64
import hashlib
import html
import re
import sys

import pytest

from vggbatch.errors import UsageError
from vggbatch.report.page import render


def test_the_policy_admits_the_one_script_and_no_other():
    page = html.unescape(render("base.html"))
    [script] = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page


def test_without_jinja2_the_user_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(UsageError, match=r"pip install 'vggbatch\[report\]'"):
        render("base.html")
