import pytest

from vggbatch import class_list, json_text
from vggbatch.errors import UsageError
from vggbatch.output import metadata
from vggbatch.sources.tables import columns

DEEP = {"lists": "[" * 100_000, "objects": '{"a":' * 50_000}


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP)
def test_nesting_without_end_is_one_line_wherever_json_is_read(text):
    for read in (
        json_text.parse,
        lambda text: columns.read(text.encode(), "labels.csv"),
        lambda text: class_list.parse(text.encode()),
    ):
        with pytest.raises(ValueError, match="nested too deeply"):
            read(text)
    with pytest.raises(UsageError, match="nested too deeply"):
        metadata.known(text.encode(), "run.json")


def test_no_list_of_classes_is_a_value_error():
    with pytest.raises(ValueError, match="not valid JSON"):
        class_list.parse(b"{[1]: 2}")
