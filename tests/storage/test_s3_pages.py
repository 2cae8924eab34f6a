"""Pages that are read fast have what the client has read."""

import fsspec
import pytest

from vggbatch.storage import s3_pages
from vggbatch.storage.filesystem import file_version

NAMES = ("a b+c%20.jpg", "a&b<c>.jpg", "\u6f22/x.jpg", "plain.jpg")


@pytest.fixture
def fs(s3_server):
    fs = fsspec.filesystem("s3")
    if not fs.exists("pages"):
        fs.mkdir("pages")
        fs.pipe({f"pages/in/{name}": b"xy" * size for size, name in enumerate(NAMES, start=1)})
    s3_pages.read_fast(fs)
    return fs


def ask(fs, delimiter=""):
    return fs.call_s3("list_objects_v2", Bucket="pages", Prefix="in/", Delimiter=delimiter)


@pytest.mark.parametrize("delimiter", ["", "/"])
def test_a_page_is_the_same_to_the_last_bit(fs, delimiter):
    before = ask(fs, delimiter)
    with s3_pages.fast():
        after = ask(fs, delimiter)
    assert "Contents" not in after
    assert s3_pages.files(after) == s3_pages.files(before) != []
    assert s3_pages.files(before) == [
        (file["Key"], file["Size"], file_version(file)) for file in before["Contents"]
    ]
    for name in ("CommonPrefixes", "IsTruncated", "Prefix", "KeyCount"):
        assert after.get(name) == before.get(name)


def test_others_with_the_same_client_have_the_whole_answer(fs):
    assert {file["Key"].removeprefix("in/") for file in ask(fs)["Contents"]} == set(NAMES)
    fs.invalidate_cache()
    assert len(fs.find("pages/in")) == len(NAMES)


def take(body, status=200):
    answer, taken = {"status_code": status, "body": body}, {}
    with s3_pages.fast():
        s3_pages._take_files(
            "before-parse.s3.ListObjectsV2", response_dict=answer, customized_response_dict=taken
        )
    return answer["body"], s3_pages.files(taken)


def page(inside):
    space = "http://s3.amazonaws.com/doc/2006-03-01/"
    return f'<ListBucketResult xmlns="{space}">{inside}</ListBucketResult>'.encode()


FILE = "<Contents><Key>a%2Bb</Key><Size>3</Size><ETag>&quot;e&quot;</ETag></Contents>"


def test_keys_are_decoded_where_the_store_says_that_it_encoded_them():
    assert take(page(FILE))[1] == [("a%2Bb", 3, "e")]
    body, found = take(page(f"{FILE}<EncodingType>url</EncodingType>"))
    assert found == [("a+b", 3, "e")]
    assert b"EncodingType" in body
    assert b"Contents" not in body


@pytest.mark.parametrize(
    "body",
    [
        b"<Error><Code>SlowDown</Code></Error>",
        b"<ListBucketResult><Contents><Key>a",
        page(FILE + "<Contents><Key>b</Key><Size>1</Size></Contents>"),
        page("<Contents><Key>b</Key><ETag>e</ETag></Contents>"),
        b"",
    ],
)
def test_what_is_not_expected_is_left_to_the_client(body):
    assert take(body) == (body, [])


def test_answers_with_another_status_are_left_to_the_client():
    assert take(page(FILE), status=503) == (page(FILE), [])
