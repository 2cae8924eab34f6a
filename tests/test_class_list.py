import json

import pytest

from vggbatch.class_list import imagenet, parse

NAMES = ("american bulldog", "crane", "crane")


@pytest.mark.parametrize(
    "data",
    [
        b"american bulldog\ncrane\ncrane\n",
        b"\xef\xbb\xbfamerican bulldog\r\ncrane\r\ncrane\r\n\r\n",
        "american bulldog\rcrane\rcrane".encode("utf-16"),
        # TF-Slim's labels.txt, and lists with the index after a space
        b"0:american bulldog\n1:crane\n2:crane\n",
        b"0 american bulldog\n1 crane\n2 crane\n",
        b'["american bulldog", "crane", "crane"]',
        # out of order, as JSON objects may be
        b'{"2": "crane", "0": "american bulldog", "1": "crane"}',
        # a model's config.json
        b'{"model_type": "vit", "id2label": {"0": "american bulldog", "1": "crane", "2": "crane"}}',
        # imagenet1000_clsidx_to_labels.txt is a Python dict
        b"{0: 'american bulldog',\n 1: 'crane',\n 2: 'crane'}",
    ],
)
def test_forms(data):
    assert parse(data) == NAMES


def test_keras_class_index():
    index = {str(i): [line[:9], line[10:]] for i, line in enumerate(imagenet())}
    assert parse(json.dumps(index).encode()) == imagenet()


def test_index_by_class():
    assert parse(b'{"dog": 1, "cat": 0}') == ("cat", "dog")


def test_names_that_are_numbers_stay():
    assert parse(b"0\n1\n10\n") == ("0", "1", "10")
    assert parse(b"0 tench\nother\n") == ("0 tench", "other")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"cat\n\ndog\n", "line 2 is empty"),
        (b'{"0": "cat", "2": "dog"}', "each index from 0 to 1"),
        (b'{"n01440764": "tench"}', "each index"),
        (b'{"cat": 1, "dog": 1}', "each index"),
        (b"[1.5]", "no class"),
        (b'{"0": ', "not valid JSON"),
        (b"caf\xe9\n", "not UTF-8"),
    ],
)
def test_faults(data, message):
    with pytest.raises(ValueError, match=message):
        parse(data)


SHUFFLED = [
    b"1:crane\n0:bulldog\n2:plum\n",
    b"2,n01440764,tench\n0,n01443537,goldfish\n1,n01484850,shark\n",
    b"2\tcrane\n1\tbulldog\n",
    "".join(f"{number} thing\n" for number in reversed(range(20))).encode(),
    "".join(f"/a/thing {number}\n" for number in reversed(range(20))).encode(),
]


@pytest.mark.parametrize("data", SHUFFLED)
def test_indices_in_another_order_are_refused(data):
    with pytest.raises(ValueError, match="in another order: sort them by it"):
        parse(data)


def test_numbers_in_names_are_no_indices():
    folders = sorted(f"{number} thing" for number in range(30))
    assert parse("\n".join(folders).encode()) == tuple(folders)
    places = [f"/a/thing {number}" for number in range(30)]
    assert parse("\n".join(places).encode()) == tuple(places)
    assert parse(b"stage 2\nstage 1\nstage 0\n") == ("stage 2", "stage 1", "stage 0")
