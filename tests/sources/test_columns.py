import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vggbatch.sources.columns import FILE, INDEX, SYNSET, find, parse, read


@pytest.mark.parametrize(
    "text",
    [
        "file,class_index,wnid\na.jpg,3,n01440764\n",
        "wnid\tFilename\tlabel\nn01440764\ta.jpg\t3\n",
        '\ufeffImage_ID,Target,Synset\n"a.jpg",3,n01440764\n',
    ],
)
def test_headers(text):
    table = parse(text)
    assert table.column(FILE) == ["a.jpg"]
    assert table.column(INDEX) == ["3"]
    assert table.column(SYNSET) == ["n01440764"]


def test_words():
    table = parse("a b.jpg 3\nc.jpg n01440764\n\n")
    assert table.column(FILE) == ["a b.jpg", "c.jpg"]
    assert table.column(INDEX) == ["3", "n01440764"]


def test_list_of_files_with_spaces():
    table = parse("my photo.jpg\nother photo.jpg\n")
    assert table.column(FILE) == ["my photo.jpg", "other photo.jpg"]
    assert table.column(INDEX) is None


def test_csv_without_header():
    assert parse("a.jpg,1\nb.jpg,2").column(INDEX) == ["1", "2"]


def test_parquet(tmp_path):
    sink = pa.BufferOutputStream()
    table = pa.table({"path": ["a.jpg", "b.jpg"], "label": pa.array([1, None], pa.int64())})
    pq.write_table(table, sink)
    table = read(sink.getvalue().to_pybytes(), "x.parquet")
    assert table.column(FILE) == ["a.jpg", "b.jpg"]
    assert table.column(INDEX) == ["1", ""]
    with pytest.raises(ValueError, match="not a Parquet file"):
        read(b"PAR1", "x.parquet")


def test_find_prefers_the_first_name():
    assert find(["label", "class_index"], INDEX) == "class_index"
    assert find(["x"], FILE) is None


def test_too_many_fields():
    with pytest.raises(ValueError, match="row 2 has 3 fields, not 2"):
        parse("file,label\na,1\nb,2,3\n")


@given(st.text())
@example("\r\t")
def test_any_text_is_a_table_or_a_value_error(text):
    try:
        table = parse(text)
    except ValueError:
        return
    lengths = {len(column) for column in table.columns.values()}
    assert len(lengths) == 1
