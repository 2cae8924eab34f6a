"""What a file or member counts as: an image, a shard, or a kind of what is left out.

The suffix decides where it is known, else how the content begins.
"""

from __future__ import annotations

from vggbatch.preprocess.content import HEAD, Form, recognize
from vggbatch.sources import names
from vggbatch.sources.input_warnings import ARCHIVE, LEFT_OUT, PICTURE, RAW, VIDEO

__all__ = ["HEAD", "IMAGE", "by_content", "by_name"]

IMAGE = "image"
"""A row, also where the form is one that is not decoded: that is the row's error."""

_SUFFIXES = {
    # photographs that people expect to be scored, so that each is a row with an error
    IMAGE: "heic heif hif jxl jxr wdp",
    ARCHIVE: "zip gz tgz bz2 tbz tbz2 xz txz zst tzst lz4 lzma 7z rar iso lmdb mdb z",
    RAW: "3fr arw cr2 cr3 crw dcr dng erf iiq kdc mef mos mrw nef nrw orf pef raf rw2 rwl sr2 srf"
    " srw x3f",
    PICTURE: "ai cdr dcm dds djvu emf eps exr hdr icns ico odg pdf ps psb psd svg svgz tga wmf xcf",
    VIDEO: "3gp aac aiff avi flac flv m4a m4v mkv mov mp3 mp4 mpeg mpg mts ogg ogv wav webm wma"
    " wmv",
    LEFT_OUT: "arrow asc c cache cfg class cls cmd conf config cpp crc csv css db doc docx feather"
    " h h5 hdf5 htm html idx ini ipynb java js json jsonl key lnk lock log lst mat md md5 ndjson"
    " npy npz odt onnx pb pbtxt pdiparams pem pickle pkl ppt pptx properties proto pt pth py pyc"
    " rst rtf safetensors sh sha1 sha256 sha512 sig so sql sqlite thm toml ts tsv txt url xls xlsx"
    " xml xmp yaml yml",
}
_KINDS = {suffix: kind for kind, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}
_KINDS |= dict.fromkeys(names.IMAGE_SUFFIXES, IMAGE)

_FORMS = {
    Form.IMAGE: IMAGE,
    Form.UNDECODED: IMAGE,
    Form.TAR: "tar",
    Form.PARQUET: "parquet",
    Form.ARCHIVE: ARCHIVE,
    Form.RAW: RAW,
    Form.PICTURE: PICTURE,
    Form.VIDEO: VIDEO,
    Form.OTHER: LEFT_OUT,
}


def by_name(name: str) -> str | None:
    """IMAGE, the format of a shard or a kind that is left out; None where the content decides."""
    # no suffix of these is a shard's
    return _KINDS.get(names.suffix(name)) or names.shard_format(name)


def by_content(head: bytes) -> str:
    """As `by_name`, by the first `HEAD` bytes."""
    content = recognize(head)
    return LEFT_OUT if content is None else _FORMS[content.form]
