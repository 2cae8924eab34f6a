"""What the header check misjudges ends all the same."""

import threading
import time

import pytest

from tests.support.costly_images import bmp_rle
from tests.support.images import cut, jpeg
from vggbatch.config import DecodeOptions, Preprocess, Protocol
from vggbatch.errors import ImageError
from vggbatch.preprocess import backstop, decode, image_buffer
from vggbatch.preprocess.backstop import Limited, TooSlow

OPTIONS = DecodeOptions(timeout_s=0.5)
MAKER = image_buffer.ImageResizer(OPTIONS, (Preprocess(resize=36, crop=32),), Protocol())


@pytest.fixture
def misjudged(monkeypatch):
    """Every header looks cheap."""
    for module in (decode, image_buffer):
        monkeypatch.setattr(module, "is_ordinary", lambda data: True)
    monkeypatch.setattr(decode, "_check_work", lambda image, options: None)
    monkeypatch.setattr(image_buffer, "ORDINARY_PIXELS", 2**30)
    monkeypatch.setattr(decode, "ORDINARY_PIXELS", 2**30)


@pytest.mark.parametrize(
    "make", [MAKER, lambda data: decode.decode_image(data, OPTIONS)], ids=["pictures", "image"]
)
def test_a_slow_image_in_a_thread_is_an_error_and_the_thread_goes_on(misjudged, make):
    started = time.thread_time()
    with pytest.raises(ImageError) as caught:
        make(bmp_rle(178_000_000))
    assert caught.value.kind == "timeout"
    assert time.thread_time() - started < 6
    assert make(jpeg(cut(0)))


def test_what_is_in_time_is_left_alone():
    for _ in range(3):
        with Limited(0.2):
            pass
    time.sleep(2 * backstop._LOOKS_SECONDS)
    assert not backstop._open


def test_each_thread_has_its_own_time():
    ended = []

    def work(seconds):
        try:
            with Limited(seconds):
                until = time.thread_time() + 1.5
                while time.thread_time() < until:
                    pass
        except TooSlow:
            ended.append(seconds)

    threads = [threading.Thread(target=work, args=(seconds,)) for seconds in (0.3, 60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ended == [0.3]
