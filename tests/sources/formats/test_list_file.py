import pytest

from vggbatch.sources.formats import list_file


def read(content, *there: str):
    table = list_file.read(
        content if isinstance(content, bytes) else content.encode(), there.__contains__
    )
    return [tuple(row) for row in zip(*table.columns.values(), strict=True)]


@pytest.mark.parametrize(
    "line",
    [
        "http://cdn/img?w=100,h=200&id=1",
        "https://cdn/w_100,h_200/a.jpg",
        "https://cdn/a,5",
        "w_100,h_200.jpg",
        "my photo 12.jpg",
        'say "cheese".jpg',
        "a;b|c.jpg",
        "tab\there.jpg",
        "line\u2028separator.jpg",
        "form\x0cfeed.png",
        "'quoted'.jpg",
        "#2.jpg",
        "100%25.jpg",
    ],
)
def test_a_line_is_one_file_whatever_it_holds(line):
    assert read(f"{line}\nb.jpg\n") == [(line,), ("b.jpg",)]


def test_a_file_that_is_there_is_taken_whole():
    assert read("photo 5\nphoto 6\n", "photo 5") == [("photo 5",), ("photo 6",)]


@pytest.mark.parametrize(
    "content",
    [
        "a b.jpg 3\nc.jpg 5\n",
        "a b.jpg\t3\nc.jpg\t5\n",
        "a b.jpg,3\nc.jpg,5\n",
        "a b.jpg;3\r\nc.jpg;5\r\n",
    ],
)
def test_labels_after_the_files(content):
    assert read(content) == [("a b.jpg", "3"), ("c.jpg", "5")]


def test_some_labels():
    content = "a.jpg n01440764\nb.jpg\n"
    assert read(content) in ([("a.jpg", "n01440764"), ("b.jpg", "")],)


def test_im2rec():
    assert read("7\t1.000000\timg/a b.jpg\n3\t2.000000\timg/c.jpg\n") == [
        ("7", "1.000000", "img/a b.jpg"),
        ("3", "2.000000", "img/c.jpg"),
    ]


def test_a_line_of_a_known_name_is_a_header_unless_there_is_such_a_file():
    assert read("url\nhttp://h/a\n") == [("http://h/a",)]
    assert read("image\na.jpg\n", "image") == [("image",), ("a.jpg",)]


def test_names_of_any_bytes():
    assert read(b"caf\xe9.jpg\n") == [("caf\udce9.jpg",)]
