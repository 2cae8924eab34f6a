"""In processes of their own: pyarrow looks for pandas once, and this one has long found it."""

import subprocess
import sys

SCRIPT = """
import sys
import pyarrow as pa
from vggbatch.executors.pandas_later import know_pandas, postpone_pandas

if "postpone" in sys.argv:
    postpone_pandas()
pa.array(["an", "object"])
print("pandas" in sys.modules)
if "know" in sys.argv:
    know_pandas()
import pandas
print(pa.Table.from_pandas(pandas.DataFrame({"x": [1, None]})).to_pandas()["x"].isna().sum())
"""


def run(*words):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_pyarrow_imports_pandas_where_nothing_is_done_about_it():
    assert run() == ["True", "1"]


def test_it_does_not_where_that_is_postponed_and_knows_pandas_afterwards():
    assert run("postpone", "know") == ["False", "1"]
