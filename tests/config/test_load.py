import pytest
from hypothesis import given
from hypothesis import strategies as st

from vggbatch.config import JobConfig, known_keys, load_config
from vggbatch.errors import UsageError


def write(tmp_path, text):
    path = tmp_path / "job.yaml"
    path.write_text(text)
    return path


def test_file_below_environment_below_command_line(tmp_path):
    file = write(tmp_path, "model: vgg19-7\nchunk_size: 1\ncompute: {actors: 1, threads: 1}\n")
    environ = {"VGGBATCH_CHUNK_SIZE": "2", "VGGBATCH_COMPUTE__ACTORS": "2", "OTHER": "x"}
    config = load_config(
        file, environ=environ, options={"compute.actors": 3}, settings=["max_error_rate=0.5"]
    )
    assert config.model.name == "vgg19-7"
    assert config.chunk_size == 2
    assert config.compute.actors == 3
    assert config.compute.threads == 1
    assert config.max_error_rate == 0.5


def test_options_that_were_not_given_change_nothing():
    assert load_config(options={"output": None, "input": ()}, environ={}) == JobConfig()


@pytest.mark.parametrize("model", ["model=vgg16-7", "model.name=vgg16-7", "model={name: vgg16-7}"])
def test_a_model_may_be_a_name_or_a_mapping(model):
    assert load_config(settings=[model], environ={}).model.name == "vgg16-7"


def test_model_keys_add_to_a_name(tmp_path):
    file = write(tmp_path, "model: net.onnx\n")
    config = load_config(file, settings=["model.layout=NHWC"], environ={})
    assert (config.model.name, config.model.layout) == ("net.onnx", "NHWC")


def test_preprocess_is_a_profile_or_its_parts():
    named = load_config(settings=["model.preprocess=squash"], environ={})
    assert named.model.preprocess == "squash"
    parts = load_config(settings=["model.preprocess={resize: 300, crop: 299}"], environ={})
    assert parts.model.preprocess.crop == 299


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("chunk_sise=3", ["chunk_sise", "'chunk_size'"]),
        ("compute.actor=3", ["compute.actor", "'compute.actors'"]),
        ("model.preprocess={crp: 3}", ["model.preprocess.crp", "'model.preprocess.crop'"]),
        ("compute.actors=0", ["compute.actors", "greater than or equal to 1", "got 0"]),
        ("compute.actors=two", ["compute.actors", "two"]),
        ("max_error_rate=1.5", ["max_error_rate", "less than or equal to 1"]),
        ("model.preprocess={crop: 300}", ["crop 300", "resize 256"]),
        ("model.layout=CHW", ["model.layout", "NCHW"]),
        ("chunk_size", ["key=value"]),
    ],
)
def test_a_mistake_is_one_line_that_names_it(setting, words):
    with pytest.raises(UsageError) as caught:
        load_config(settings=[setting], environ={})
    line = str(caught.value)
    assert "\n" not in line
    assert all(word in line for word in words), line


def test_an_unknown_environment_variable_is_an_error_too():
    with pytest.raises(UsageError, match="did you mean 'overwrite'"):
        load_config(environ={"VGGBATCH_OVERWRITES": "1"})


@pytest.mark.parametrize(
    ("content", "words"),
    [("a: [", "not valid YAML"), ("- a\n", "must be a mapping"), ("\x00", "not valid YAML")],
)
def test_a_broken_file_is_one_line(tmp_path, content, words):
    with pytest.raises(UsageError, match=words) as caught:
        load_config(write(tmp_path, content), environ={})
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"none\.yaml"):
        load_config(tmp_path / "none.yaml", environ={})


def test_an_empty_file_is_the_default(tmp_path):
    assert load_config(write(tmp_path, ""), environ={}) == JobConfig()


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz_.", min_size=1, max_size=20))
def test_any_key_is_known_or_refused(key):
    """No key is silently ignored: what is accepted is among the known ones."""
    try:
        load_config(settings=[f"{key}=1"], environ={})
    except UsageError:
        return
    assert key in known_keys(JobConfig)


def test_a_protocol_named_on_the_command_line_keeps_the_files_scales(tmp_path):
    (tmp_path / "job.yaml").write_text("protocol: {scales: [256, 384]}")
    for options in ({"protocol": "dense"}, {"protocol": "dense", "protocol.flip": False}):
        found = load_config(tmp_path / "job.yaml", options=options, environ={}).protocol
        assert (found.views, found.scales) == ("dense", (256, 384))
    assert len(found.mirrored) == 1
    (tmp_path / "job.yaml").write_text("protocol: grid")
    found = load_config(tmp_path / "job.yaml", options={"protocol.scales": "300"}, environ={})
    assert (found.protocol.views, found.protocol.scales) == ("grid", (300,))


def test_what_several_keys_get_wrong_together_is_told_without_all_of_them():
    with pytest.raises(UsageError, match=r"^configuration: features are .* center crop$"):
        load_config(options={"protocol": "ten", "features": "float32"}, environ={})


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("chunk_size: yes", "chunk_size"),
        ("max_error_rate: on", "max_error_rate"),
        ("compute: {actors: true}", "compute.actors"),
    ],
)
def test_yes_is_no_number(tmp_path, text, where):
    (tmp_path / "job.yaml").write_text(text)
    with pytest.raises(UsageError, match=f"{where}.*true is no value"):
        load_config(tmp_path / "job.yaml", environ={})
    assert load_config(settings=["overwrite=yes"], environ={}).overwrite is True
