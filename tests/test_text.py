"""What is secret, and what may be printed."""

import json

import pytest

from vggbatch.errors import ImageError, UsageError
from vggbatch.text import printable, printable_json, public, public_values, without_secrets

PRESIGNED = [
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=K%2F1&X-Amz-Date=2&X-Amz-Expires=9"
    "&X-Amz-SignedHeaders=host&X-Amz-Security-Token=SECRET&X-Amz-Signature=SECRET&x-id=GetObject",
    "AWSAccessKeyId=K&Signature=SECRET%3D&Expires=1",
    "X-Goog-Algorithm=G&X-Goog-Credential=c&X-Goog-Signature=SECRET",
    "GoogleAccessId=a&Expires=1&Signature=SECRET",
    "sv=2022-11-02&st=a&se=b&sr=b&sp=r&spr=https&sig=SECRET%2B",
    "Expires=1&Signature=SECRET~&Key-Pair-Id=K",
    "Policy=SECRET&Signature=SECRET&Key-Pair-Id=K",
    "OSSAccessKeyId=K&Expires=1&Signature=SECRET",
    "q-sign-algorithm=sha1&q-sign-time=1&q-sign-signature=SECRET",
    "token=SECRET",
    "access_token=SECRET",
    "api_key=SECRET",
    "e=1&token=SECRET",
    "auth_key=1-2-SECRET",
]


@pytest.mark.parametrize("query", PRESIGNED)
def test_a_signature_is_no_part_of_a_uri(query):
    assert public(f"https://u:SECRET@h:8080/a%20b.jpg?{query}#SECRET") == "https://h:8080/a%20b.jpg"
    message = f"403, message='no', url='https://h/a.jpg?{query}'"
    assert without_secrets(message) == "403, message='no', url='https://h/a.jpg'"
    assert "SECRET" not in without_secrets(f"Max retries exceeded with url: /a.jpg?{query} (x)")


def test_other_queries_tell_images_apart_and_are_not_shown():
    one, other = public("http://h/get?id=1"), public("http://h/get?id=SECRET")
    assert one != other
    assert one.startswith("http://h/get?query=")
    assert "SECRET" not in other
    assert public(one) == one
    assert public("http://h/get?id=1&X-Amz-Signature=a") == one
    assert public("http://h/get?id=1&token=b") == one
    # without a signature these may be anything
    assert public("http://h/get?t=5") != public("http://h/get?t=6")


def test_users_and_keys_in_other_uris():
    assert public("s3://KEY:SECRET@bucket/a?b#c") == "s3://bucket/a?b#c"
    assert public("abfs://box@account.dfs.core.windows.net/a?b") == (
        "abfs://box@account.dfs.core.windows.net/a?b"
    )
    assert public("abfs://box:SECRET@account/a") == "abfs://box@account/a"
    assert public("ftp://u:SECRET@h/a") == "ftp://h/a"
    assert public("hf://datasets/a/b@main/c.jpg") == "hf://datasets/a/b@main/c.jpg"
    assert public("http://u:SEC/RET@h/a") == "http://***"
    assert "SECRET" not in public("http://[::1/a?sig=SECRET")


@pytest.mark.parametrize(
    "path", ["/data/what?.jpg", "a::b.jpg", "x?sig=1", "/a@b:c/x", "file:///a?b", "/x://y?z"]
)
def test_local_paths_stay_as_they_are(path):
    assert public(path) == path


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer SECRETSECRET",
        "{'Authorization': 'Basic SECRETSECRET'}",
        "AccountName=a;AccountKey=SECRET==;EndpointSuffix=x",
        "aws_secret_access_key = SECRET",
        "export HF_TOKEN=SECRET",
        '{"X-Amz-Security-Token": "SECRET"}',
        "simplecache::http://u:SECRET@h/b.jpg: no such file",
        "two: http://u:SECRET@h/a, https://h/b?sig=SECRET.",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJTRUNSRVQifQ.SECRETsecret",
        "AKIAIOSFODNN7SECRET1 hf_SECRETSECRETSECRETSECRET",
    ],
)
def test_texts(text):
    assert "SECRET" not in without_secrets(text)
    assert without_secrets(without_secrets(text)) == without_secrets(text)


@pytest.mark.parametrize(
    "text",
    [
        "the cluster wants a token: set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN",
        "signature: bad magic",
        "see https://host/docs/a.html, and s3://bucket/x/*.tar.",
        "key: None -> 3; set compute.actors=4 (max_error_rate)",
    ],
)
def test_ordinary_texts_stay(text):
    assert without_secrets(text) == text


def test_every_error_is_without_secrets():
    assert str(UsageError("http://u:p@h/a?sig=1: no such file")) == "http://h/a: no such file"
    error = ImageError("unreadable", "url='http://h/a?token=1'")
    assert str(error) == "unreadable: url='http://h/a'"
    assert "token" not in repr(error)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;title\x07x", r"\x1b]0;title\x07x"),
        ("\x9b2Jx", r"\x9b2Jx"),
        ("a\u202egpj.exe", r"a\u202egpj.exe"),
        ("a\u2066b\u200bc", r"a\u2066b\u200bc"),
        ("a\rb\tc\x7f", r"a\x0db\x09c\x7f"),
        ("\udcff.jpg", r"\udcff.jpg"),
        ("\U000e0041", r"\U000e0041"),
        ("Grüße, 猫 \U0001f408 نمی‌دانم", "Grüße, 猫 \U0001f408 نمی‌دانم"),
    ],
)
def test_printable(text, shown):
    assert printable(text) == shown
    assert printable(shown) == shown


def test_lines_stay_where_they_are_wanted():
    assert printable("a\nb") == "a\nb"
    assert printable("a\nb", "") == r"a\x0ab"


def test_json_means_what_it_meant():
    document = {"a\x1b": ["\x9b2J", "\u202ex", "\udcff", "\U000e0041", r"\x9b", "ü", 1, None]}
    text = printable_json(json.dumps(document, indent=1, ensure_ascii=False))
    assert json.loads(text) == document
    assert printable(text) == text
    assert "ü" in text


def test_every_value_of_a_document():
    document = {"a": ["http://u:p@h/x?sig=1", {"b": ("https://h/?token=1", 2)}], "c": None}
    expected = {"a": ["http://h/x", {"b": ["https://h/", 2]}], "c": None}
    assert public_values(document) == expected


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("https://host/a;jsessionid=SECRET/k.jpg", "https://host/a/k.jpg"),
        ("https://host/a;v=1;token=SECRET", "https://host/a;v=1"),
        (
            "abfs://c@acc.dfs.core.windows.net/k?sv=1&sig=SECRET",
            "abfs://c@acc.dfs.core.windows.net/k",
        ),
        ("hf://datasets/x/y.jpg?token=SECRET", "hf://datasets/x/y.jpg"),
        ("s3://bucket/what?.jpg", "s3://bucket/what?.jpg"),
        ("gs://bucket/a?size=3", "gs://bucket/a?size=3"),
    ],
)
def test_signatures_where_none_belong(uri, shown):
    assert public(uri) == shown


@pytest.mark.parametrize(
    "uri", ["//u:SECRET@host/x", "http:/u:SECRET@host/x", "https://host\\@u:SECRET@h/x"]
)
def test_passwords_of_addresses_that_are_none(uri):
    for text in (uri, f"cannot open {uri}: no such file", f"URL('{uri}')"):
        assert "SECRET" not in without_secrets(text)


def test_times_in_names_are_no_passwords():
    text = "/data/me@12:30@home.jpg and a/b:c@d.jpg"
    assert without_secrets(text) == text
