import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vggbatch.class_list import imagenet
from vggbatch.config import ColumnOptions
from vggbatch.sources.classes import Classes
from vggbatch.sources.tables import dialect
from vggbatch.sources.tables.columns import Reading, file_column, label_column, parse, read

IMAGENET = Reading(classes=Classes(imagenet()))


def columns_of(content: str, reading: Reading = IMAGENET) -> tuple[str, str | None]:
    table = parse(content)
    file = file_column(table, reading.columns)
    return file, label_column(table, file, reading)


@pytest.mark.parametrize(
    ("content", "file", "label"),
    [
        ("file,class_index,wnid\na.jpg,0,n01440764\n", "file", "wnid"),
        ("wnid\tFilename\tlabel\nn01440764\ta.jpg\t3\n", "Filename", "wnid"),
        # a row number as pandas writes it, under a name or none
        ("index,filename,target\n0,a.jpg,7\n1,b.jpg,3\n2,c.jpg,9\n", "filename", "target"),
        (",filename,label\n0,a.jpg,7\n1,b.jpg,3\n", "filename", "label"),
        ("Unnamed: 0,filename,label\n0,a.jpg,7\n1,b.jpg,3\n", "filename", "label"),
        ("index,filename,label\n17,a.jpg,7\n4,b.jpg,3\n", "filename", "label"),
        # names and indices side by side
        ("file,class,class_index\na.jpg,tabby cat,281\n", "file", "class"),
        ("path,label,class_id\na.jpg,my own name,281\n", "path", "class_id"),
        # ids that are no paths beside paths
        ("image_id,path,label\n0,x/a.jpg,5\n1,x/b.jpg,7\n", "path", "label"),
        ("id,filepath,y\n1a,x/a.png,5\n2b,x/b.png,7\n", "filepath", "y"),
        ("key,url,label\n000,http://h/a?x=1,5\n001,http://h/b?x=2,6\n", "url", "label"),
        # the longer of two that name the same file
        ("name,path,label\na.jpg,x/a.jpg,5\nb.jpg,x/b.jpg,7\n", "path", "label"),
        # an id of zeros and digits is a name, not the number of its row
        ("id,image_id,label\n0,000,5\n1,001,7\n2,002,9\n", "image_id", "label"),
        ("img,groundtruth\na.jpg,5\nb.jpg,7\n", "img", "groundtruth"),
        # headers that are not known
        ("foto,art\na.jpg,tench\nb.jpg,goldfish\n", "foto", "art"),
        ("Bild;Klasse;label\na.jpg;x;5\nb.jpg;y;7\n", "Bild", "label"),
        ("id,breed\n000bec180eb1,beagle\n001513dfcb2f,basenji\n", "id", "breed"),
        # integers that are no classes
        ("file,width,height,label\na.jpg,500,375,5\nb.jpg,333,500,7\n", "file", "label"),
        ("file,fold,is_valid,category_id\na.jpg,0,1,5\nb.jpg,1,0,7\n", "file", "category_id"),
        ("file,split\na.jpg,train\nb.jpg,val\n", "file", None),
        # no header
        ("val_0.JPEG\tn03444034\t0\t32\t44\t62\n", "column 1", "column 2"),
        ("9\t1.000000\timg/000.jpg\n4\t2.000000\timg/001.jpg\n", "column 3", "column 2"),
        ("ILSVRC2012_val_00000001,n01751748\nILSVRC2012_val_2,n09193705\n", "column 1", "column 2"),
        ("0,a.jpg,5\n1,b.jpg,7\n", "column 2", "column 3"),
        # a decimal comma in another column
        ("file;score;label\na.jpg;0,5;3\nb.jpg;0,75;4\n", "file", "label"),
        # pandas numbers the columns that have no names
        ("0,1\na.jpg,5\nb.jpg,7\n", "column 1", "column 2"),
    ],
)
def test_columns_are_chosen_by_what_they_hold(content, file, label):
    assert columns_of(content) == (file, label)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("path,noisy_labels_0,noisy_labels_1\na.jpg,n01440764,n02102040\n", "noisy_labels_1"),
        ("path,label,target\na.jpg,1,2\nb.jpg,3,4\n", "'label' and column 'target'"),
        ("left,right,label\na.jpg,b.jpg,2\n", "'left' and column 'right'"),
        ("path,label,class\na.jpg,0,cat\nb.jpg,1,dog\nc.jpg,2,frog\n", r"indices\.names"),
        ("path,wnid,label\na.jpg,n01440764,0\nb.jpg,n01443537,1\nc.jpg,n01484850,9\n", "in 1 rows"),
        ("shape,label\nround,1\nflat,2\n", r"no column names the images.*'shape', 'label'"),
    ],
)
def test_columns_in_doubt_are_refused_by_name(content, named):
    with pytest.raises(ValueError, match=named):
        columns_of(content)


def test_settings_choose_among_columns():
    content = "left,right,label,target\na.jpg,b.jpg,2,3\n"
    options = ColumnOptions(file="right", label="Target")
    assert columns_of(content, Reading(options, IMAGENET.classes)) == ("right", "target")
    with pytest.raises(ValueError, match=r"no column 'middle' \(columns\.file\).*'left', 'right'"):
        columns_of(content, Reading(ColumnOptions(file="middle")))


def test_without_labels_no_table_is_refused_for_them():
    content = "path,label,target\na.jpg,1,2\n"
    assert columns_of(content, Reading(labels=False)) == ("path", None)


def test_files_that_are_there_decide():
    table = parse("thumb,photo,label\na_t.jpg,a.jpg,1\nb_t.jpg,b.jpg,2\n")
    assert file_column(table, ColumnOptions(), {"a.jpg", "b.jpg"}.__contains__) == "photo"


def test_words():
    table = parse("a b.jpg 3\nc.jpg n01440764\nd.jpg\n\n")
    assert list(table.columns.values()) == [["a b.jpg", "c.jpg", "d.jpg"], ["3", "n01440764", ""]]


@pytest.mark.parametrize(
    "content",
    [
        '\ufefffile,label\n"a, b.jpg",1\nc.jpg,2\n',
        'file;label\r\n"a, b.jpg";1\r\nc.jpg;2\r\n',
        "file|label\ra, b.jpg|1\rc.jpg|2\r",
        "file\tlabel\na, b.jpg\t1\nc.jpg\t2\n",
        '"file", "label"\n"a, b.jpg", "1"\n"c.jpg", "2"\n',
        "a, b.jpg 1\nc.jpg 2\n",
        'sep=;\nfile;label\n"a, b.jpg";1\nc.jpg;2\n',
        '# made by hand\n\nfile,label\n"a, b.jpg",1\nc.jpg,2\n',
        'file,label\n"a, b.jpg",1,\nc.jpg,2,\n',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_delimiters_quotes_and_line_ends(content, encoding):
    table = read(content.encode(encoding), "l.csv")
    assert list(table.columns.values()) == [["a, b.jpg", "c.jpg"], ["1", "2"]]


@pytest.mark.parametrize(
    "value",
    [
        {"file": ["a.jpg", "b.jpg"], "label": [1, 2]},
        {"file": ["a.jpg", "b.jpg"], "labels": [1, 2]},
        {"columns": ["file", "label"], "index": [0, 1], "data": [["a.jpg", 1], ["b.jpg", 2]]},
        {"0": {"file": "a.jpg", "label": 1}, "1": {"file": "b.jpg", "label": 2}},
        {"file": {"0": "a.jpg", "1": "b.jpg"}, "label": {"0": 1, "1": 2}},
        {"a.jpg": {"label": 1, "width": 500}, "b.jpg": {"label": 2, "width": 333}},
        {"images": [{"file_name": "a.jpg", "label": 1}, {"file_name": "b.jpg", "label": 2}]},
        {"labels": [["a.jpg", 1], ["b.jpg", 2]]},
        {"1": ["a.jpg"], "2": ["b.jpg"]},
    ],
)
def test_forms_of_json(value):
    table = read(json.dumps(value).encode(), "l.json")
    file = file_column(table, ColumnOptions())
    label = label_column(table, file, Reading(classes=IMAGENET.classes))
    assert table.columns[file] == ["a.jpg", "b.jpg"]
    assert table.columns[label] == ["1", "2"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"PK\3\4" + bytes(99), "zip archive: save the table as CSV"),
        (b"\x1f\x8b\x08\0\xff" + bytes(9), "gzip-compressed data: decompress it first"),
    ],
)
def test_what_is_no_text_is_named(data, message):
    with pytest.raises(ValueError, match=message):
        read(data, "l.csv")


def test_json_of_files_alone():
    assert read(b'["a.jpg", "b.jpg"]', "l.json").columns == {"file": ["a.jpg", "b.jpg"]}
    # two columns of files, and not the files of two classes
    both = {"image": ["a.jpg", "b.jpg"], "mask": ["c.png", "d.png"]}
    assert list(read(json.dumps(both).encode(), "l.json").columns) == ["image", "mask"]


def test_list_of_files_with_spaces():
    assert parse("my photo.jpg\nother photo.jpg\n").columns == {
        "column 1": ["my photo.jpg", "other photo.jpg"]
    }


def test_parquet():
    sink = pa.BufferOutputStream()
    label = pa.array(["tench", None]).dictionary_encode()
    table = pa.table({"path": ["a.jpg", "b.jpg"], "label": label, "image": [b"1", b"2"]})
    pq.write_table(table, sink)
    table = read(sink.getvalue().to_pybytes(), "x.parquet")
    assert table.columns == {"path": ["a.jpg", "b.jpg"], "label": ["tench", ""]}
    with pytest.raises(ValueError, match="not a Parquet file"):
        read(b"PAR1", "x.parquet")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("file,label\na,1\nb,2,3\n", "row 2 has 3 fields, not 2"),
        ("a.jpg,1\nb.jpg,2\nc,d.jpg,3\n", "row 3 has 3 fields, not 2"),
        ("file,label\n", "no row below the header"),
        ("\n \n", "empty"),
    ],
)
def test_faults(content, message):
    with pytest.raises(ValueError, match=message):
        parse(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a.jpg": 1, "a.jpg": 2}', "'a.jpg' is there twice"),
        ('{"images": [], "annotations": []}', "COCO"),
        ('{"file": "a.jpg"}\n{"file": \n', "line 2 is not valid JSON"),
        ("[1, 2]", "each record must be an object"),
        ("[]", "no records"),
    ],
)
def test_faults_of_json(content, message):
    with pytest.raises(ValueError, match=message):
        read(content.encode(), "l.json")


@given(st.text())
@example("\r\t")
@example("{")
@example("[[")
def test_any_text_is_a_table_or_a_value_error(content):
    try:
        table = read(content.encode("utf-8", "replace"), "l.csv")
    except ValueError:
        return
    assert len({len(column) for column in table.columns.values()}) == 1


cell = st.text("abc ,;|'-_é", min_size=1, max_size=8).map(str.strip).filter(bool)


@given(
    st.lists(st.tuples(cell.map(lambda name: f"{name}.jpg"), st.integers(0, 999)), min_size=1),
    st.sampled_from([",", ";", "\t", "|"]),
    st.booleans(),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_what_is_written_is_read(rows, delimiter, header, end):
    lines = [f'"{name}"{delimiter}{label}' for name, label in rows]
    if header:
        lines.insert(0, f"picture{delimiter}label")
    table = read(end.join(lines).encode(), "l.csv")
    file, label = list(table.columns)
    assert table.columns[file] == [name for name, _ in rows]
    assert table.columns[label] == [str(number) for _, number in rows]
    assert table.named == header


def test_text_out_of_proportion_is_refused_before_it_is_taken_apart(monkeypatch):
    monkeypatch.setattr(dialect, "_LONGEST_LINE", 100)
    monkeypatch.setattr(dialect, "MOST_CELLS", 1000)
    rows = "a.jpg,1\n" * 900
    assert len(dialect.parse(rows)[1]) == 900
    assert len(dialect.parse(rows.replace("\n", "\r"))[1]) == 900
    for content, words in (
        ("a.jpg,1\n" + "1" * 101 + "\n" + rows, "a line of more than 100"),
        (rows + "1" * 101, "a line of more than 100"),
        ('a.jpg,"' + "\n" * 1001, "more than 1,000 lines or cells"),
        ("1," * 60 + "\n" + rows + "1," * 49, "more than 1,000 lines or cells"),
    ):
        with pytest.raises(ValueError, match=words):
            dialect.parse(content)
