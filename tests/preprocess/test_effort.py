"""What is decoded in a thread is cheap; all else in a process that ends, with the same result."""

import contextlib
import io
import struct
import time

import numpy as np
import pytest
from PIL import Image

from tests.support.costly_images import GIF, HOSTILE, PHOTO, bmp_rle, encode, exif_of
from tests.support.images import cut
from vggbatch.config import DecodeOptions, Preprocess, Protocol
from vggbatch.errors import ImageError
from vggbatch.preprocess import places
from vggbatch.preprocess.decode import decode_here, decode_image
from vggbatch.preprocess.effort import is_ordinary
from vggbatch.preprocess.image_buffer import ImageResizer
from vggbatch.preprocess.isolated import seconds_for
from vggbatch.preprocess.places import Places, place, places_of

OPTIONS = DecodeOptions()
MAKER = ImageResizer(OPTIONS, (Preprocess(resize=36, crop=32),), Protocol())


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_hostile_images_are_no_work_for_a_thread_and_end(data):
    assert not is_ordinary(data)
    maker = ImageResizer(DecodeOptions(timeout_s=0.5), MAKER.resize_specs, MAKER.protocol)
    started = time.monotonic()
    with contextlib.suppress(ImageError):
        maker(data)
    assert time.monotonic() - started < 30


def test_a_decoder_that_takes_too_long_is_ended():
    options = DecodeOptions(timeout_s=0.3)
    with pytest.raises(ImageError, match="CPU time") as caught:
        decode_image(bmp_rle(178_000_000), options)
    assert caught.value.kind == "timeout"
    # the next image has another process
    tiff = encode(cut(1), "TIFF")
    np.testing.assert_array_equal(decode_image(tiff, options), decode_here(tiff, options))


def test_a_decoder_that_takes_too_much_memory_is_ended():
    large = encode(Image.new("RGB", (4_200, 4_200)), "JPEG")
    with pytest.raises(ImageError) as caught:
        MAKER.__class__(DecodeOptions(max_memory_mb=64), MAKER.resize_specs, MAKER.protocol)(large)
    assert caught.value.kind == "too_large"
    assert MAKER(large)[0][0].shape == (32, 32, 3)


ORDINARY = {
    "JPEG": {},
    "PNG": {},
    "GIF": {},
    "BMP": {},
    "WEBP": {},
    "PPM": {},
}


@pytest.mark.parametrize("form", ORDINARY)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_usual_images_stay_in_the_thread(form, mode):
    assert is_ordinary(encode(cut(1).convert(mode), form))


@pytest.mark.parametrize("head", [b"P4 8 8\n", b"P4\n8\t8 ", b"P5 8 8 255\n", b"P6\n8 8\n255\n"])
def test_plain_bitmaps_stay_in_the_thread(head):
    data = head + bytes(192)
    assert is_ordinary(data)
    assert decode_image(data, OPTIONS).size == (8, 8)
    assert not is_ordinary(head.replace(b"8", b"99999999", 1) + bytes(192))


@pytest.mark.parametrize(
    "options",
    [
        {"progressive": True},
        {"quality": 100, "subsampling": 0},
        {"exif": exif_of(0)[:14] + b"\1\0" + struct.pack("<HHII", 0x112, 3, 1, 6) + bytes(4)},
        {"icc_profile": bytes(560_000)},
        {"comment": b"a photograph"},
    ],
)
def test_usual_jpegs_stay_in_the_thread(options):
    assert is_ordinary(encode(cut(1), "JPEG", **options))


@pytest.mark.parametrize("form", ["TIFF", "JPEG2000", "AVIF", "DIB"])
def test_other_formats_come_out_the_same_of_another_process(form):
    data = encode(cut(1), form)
    assert not is_ordinary(data)
    np.testing.assert_array_equal(decode_image(data, OPTIONS), decode_here(data, OPTIONS))
    np.testing.assert_array_equal(MAKER(data), MAKER.make_here(data))


def test_cut_and_foreign_bytes_cost_nothing():
    for whole in (PHOTO, GIF, encode(cut(1), "PNG"), encode(cut(1), "WEBP"), bmp_rle(9)):
        for length in range(1, 60):
            is_ordinary(whole[:length])
    assert is_ordinary(b"")
    assert is_ordinary(b"no image at all")


def test_small_files_get_less_time():
    assert seconds_for(1000, OPTIONS) == pytest.approx(3, abs=0.1)
    assert seconds_for(4 * 2**20, OPTIONS) < 6
    assert seconds_for(2**28, OPTIONS) == OPTIONS.timeout_s


def test_a_bitmaps_runs_get_little_time():
    assert seconds_for(1000, OPTIONS, bitmap=True) == pytest.approx(1, abs=0.1)
    assert seconds_for(8_000_000, OPTIONS, bitmap=True) > 5


@pytest.mark.parametrize("end", [b"\n", b"\r"])
def test_comments_of_a_plain_ppm_cost_nothing_and_change_nothing(end):
    values = b"1 2 3#of a pixel%b4 5 6 7 #" % end + end
    plain = b"P3 #size%b 8 8#8 and 8%b\n255\n" % (end, end) + values * 32 + b"#the end"
    ours = np.asarray(decode_here(plain, OPTIONS))
    np.testing.assert_array_equal(ours, np.asarray(Image.open(io.BytesIO(plain))))
    assert ours[0, 0].tolist() == [1, 2, 34]  # as Pillow has it: the line's end goes as well
    long = plain + b"#\n" * 2**20
    started = time.process_time()
    np.testing.assert_array_equal(np.asarray(decode_here(long, OPTIONS)), ours)
    assert time.process_time() - started < 2


def test_large_images_share_the_machines_places(tmp_path, monkeypatch):
    monkeypatch.setattr(places.tempfile, "gettempdir", lambda: str(tmp_path))
    with place(Places(1, 1)):
        folder = places._folder()
        assert folder.stat().st_mode & 0o777 == 0o700
        assert [file.name for file in folder.iterdir()] == ["large-0.lock"]
    # a folder that others can write to is not used
    folder.chmod(0o777)
    assert places._folder() is None
    with place(Places(1, 1)):
        pass


@pytest.mark.parametrize(
    ("gigabytes", "cpus", "count", "memory_mb"),
    [
        (256, 64, 42, 1536),
        (16, 8, 2, 1536),
        (16, 1, 1, 1536),
        (4, 8, 1, 1536),
        (2, 2, 1, 1024),
        (0.25, 1, 1, 256),
    ],
)
def test_places_follow_from_the_machines_memory(gigabytes, cpus, count, memory_mb):
    assert places_of(int(gigabytes * 2**30), cpus, 1536) == Places(count, memory_mb)


def test_more_than_one_place_is_given_only_while_memory_is_free(tmp_path, monkeypatch):
    monkeypatch.setattr(places.tempfile, "gettempdir", lambda: str(tmp_path))
    free = 2**20
    monkeypatch.setattr(places, "free_memory", lambda: free)
    with place(Places(2, 2)):
        assert places._taken(places._folder(), Places(2, 2)) is None
        free = 2**21
        with place(Places(2, 2)):
            assert places._taken(places._folder(), Places(2, 2)) is None
    free = 0
    with place(Places(2, 2)):
        pass
