import pickle

import onnx
import pytest

from vggbatch.config import ModelOptions, Preprocess
from vggbatch.errors import UsageError
from vggbatch.models.cache import sha256_of
from vggbatch.models.catalog import synset
from vggbatch.models.resolve import resolve
from vggbatch.models.synthesis import synthesize


@pytest.fixture
def net(tmp_path):
    path = tmp_path / "net.onnx"
    onnx.save(synthesize("vgg16-12", shrink=64, size=32), path)
    return path


def test_twin_of_a_zoo_model():
    model = resolve(ModelOptions(name="vgg19-caffe2-9@synthetic"))
    assert model.synthetic
    assert model.uri is None
    assert (model.input, model.output, model.preprocess) == ("data_0", "probabilities", "caffe2")
    assert model.classes == synset()
    assert model.entry.features == "fc7_3"
    assert model.sha256 != resolve(ModelOptions(name="vgg16-12@synthetic")).sha256
    assert pickle.loads(pickle.dumps(model)) == model
    assert len(pickle.dumps(model)) < 100_000


def test_missing_weights_say_how_to_get_them(tmp_path):
    with pytest.raises(UsageError) as error:
        resolve(ModelOptions(name="vgg16-12"), cache_dir=str(tmp_path), mirrors=[str(tmp_path)])
    text = str(error.value)
    assert "\n" not in text
    for part in ("vggbatch models pull vgg16-12", "553 MB", "vgg16-12.onnx", "@synthetic"):
        assert part in text


def test_weights_in_a_mirror_are_found_by_size(tmp_path):
    path = tmp_path / "vgg16-12.onnx"
    with path.open("wb") as file:
        file.truncate(553437752)
    options = ModelOptions(name="vgg16-12")
    pattern = f"{tmp_path}/{{file}}"
    model = resolve(options, cache_dir=str(tmp_path / "cache"), mirrors=["/nowhere", pattern])
    assert model.uri == str(path)
    assert model.sha256 == model.entry.weights.sha256
    assert [file.name for file in model.files] == ["vgg16-12.onnx"]
    path.write_bytes(b"short")
    with pytest.raises(UsageError, match="not on this machine"):
        resolve(options, cache_dir=str(tmp_path / "cache"), mirrors=[str(tmp_path)])


@pytest.mark.parametrize("name", ["vgg16", "vgg16-13", "vgg16_12"])
def test_unknown_name_tells_the_nearest(name):
    with pytest.raises(UsageError, match="did you mean 'vgg16-"):
        resolve(ModelOptions(name=name))
    with pytest.raises(UsageError, match=r"did you mean 'vgg16-.*@synthetic'"):
        resolve(ModelOptions(name=name + "@synthetic"))


def test_own_file_without_description(net):
    model = resolve(ModelOptions(name=str(net)))
    assert model.uri == str(net)
    assert model.sha256 == sha256_of(net)
    assert model.entry is None
    assert (model.input, model.layout, model.output) == ("data", "NCHW", "logits")
    assert (model.preprocess, model.input_size) == ("zoo", (32, 32))


def test_yaml_beside_the_file_is_overridden_by_options(net, tmp_path):
    (tmp_path / "net.yaml").write_text(
        "layout: NCHW\nclasses: names.txt\npreprocess: {resize: 32, crop: 32}\n"
    )
    (tmp_path / "names.txt").write_text("".join(f"n{i:08} thing\n" for i in range(1000)))
    model = resolve(ModelOptions(name=str(net)))
    assert model.preprocess == Preprocess(resize=32, crop=32)
    assert model.classes[7] == "n00000007 thing"
    other = resolve(ModelOptions(name=str(net), preprocess=Preprocess(resize=40, crop=32)))
    assert other.preprocess.resize == 40


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("layuot: NCHW", "did you mean 'layout'"),
        ("[1, 2]", "must be a mapping"),
        ("a: [", "not valid YAML"),
        ("layout: NHWC", "is it model.layout=NCHW"),
        ("input: other", "no input 'other'"),
        ("classes: none.txt", "class list .*none.txt"),
    ],
)
def test_wrong_description_is_one_clear_line(net, tmp_path, text, message):
    (tmp_path / "net.yaml").write_text(text)
    with pytest.raises(UsageError, match=message) as error:
        resolve(ModelOptions(name=str(net)))
    assert "\n" not in str(error.value)


def test_class_list_of_another_length_is_refused(tmp_path):
    path = tmp_path / "net.onnx"
    onnx.save(synthesize("vgg16-12", shrink=64, size=32, classes=10), path)
    with pytest.raises(UsageError, match=r"10 outputs but .* has 1000 classes"):
        resolve(ModelOptions(name=str(path)))


def test_no_file_and_no_onnx_file(tmp_path):
    with pytest.raises(UsageError, match="no model file"):
        resolve(ModelOptions(name=str(tmp_path / "none.onnx")))
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    (tmp_path / "lfs.onnx").write_text(pointer)
    with pytest.raises(UsageError, match=r"lfs.onnx is no ONNX file but a Git LFS.*git lfs pull"):
        resolve(ModelOptions(name=str(tmp_path / "lfs.onnx")))
    (tmp_path / "bad.onnx").write_bytes(b"not a protobuf")
    with pytest.raises(UsageError, match=r"bad.onnx is no ONNX file"):
        resolve(ModelOptions(name=str(tmp_path / "bad.onnx")))
