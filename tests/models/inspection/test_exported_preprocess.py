"""Recipes as hubs and exporters write them; the parts were read off the libraries' own code."""

import json
import math

import pytest
from onnx import TensorProto, helper

from vggbatch.config import Preprocess
from vggbatch.errors import UsageError
from vggbatch.models.catalog import synset
from vggbatch.models.inspection import exported_preprocess as exported
from vggbatch.models.inspection.stated import same_as, stated

HALF = (0.5, 0.5, 0.5)
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}


def test_vit_squashes():
    found = exported.of_transformers(
        {
            "image_processor_type": "ViTImageProcessor",
            "do_resize": True,
            "size": {"height": 224, "width": 224},
            "resample": 2,
            "do_rescale": True,
            "rescale_factor": 0.00392156862745098,
            "do_normalize": True,
            "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.5, 0.5, 0.5],
        }
    )
    assert found == Preprocess(resize=224, resize_mode="squash", crop=224, mean=HALF, std=HALF)


@pytest.mark.parametrize(
    ("config", "resize", "mode", "crop", "interpolation"),
    [
        # resnet-50: ConvNext's processor, whose size is the crop's
        (
            {"feature_extractor_type": "ConvNextFeatureExtractor", "size": 224, "resample": 3},
            256,
            "shorter",
            224,
            "bicubic",
        ),
        (
            {
                "image_processor_type": "ConvNextImageProcessor",
                "size": {"shortest_edge": 384},
                "crop_pct": None,
                "resample": 3,
            },
            384,
            "squash",
            384,
            "bicubic",
        ),
        (
            {
                "image_processor_type": "CLIPImageProcessor",
                "size": {"shortest_edge": 224},
                "do_center_crop": True,
                "crop_size": {"height": 224, "width": 224},
                "resample": 3,
            },
            224,
            "shorter",
            224,
            "bicubic",
        ),
        (
            {
                "image_processor_type": "DeiTImageProcessor",
                "size": {"height": 256, "width": 256},
                "do_center_crop": True,
                "crop_size": 224,
                "resample": 3,
            },
            256,
            "squash",
            224,
            "bicubic",
        ),
        (
            {
                "image_processor_type": "LevitImageProcessor",
                "size": {"shortest_edge": 224},
                "do_center_crop": True,
                "crop_size": {"height": 224, "width": 224},
                "resample": 3,
            },
            256,
            "shorter",
            224,
            "bicubic",
        ),
    ],
)
def test_processors_mean_different_sizes(config, resize, mode, crop, interpolation):
    found = exported.of_transformers({"do_normalize": True, **IMAGENET, **config})
    assert (found.resize, found.resize_mode, found.crop) == (resize, mode, crop)
    assert (found.interpolation, found.scale) == (interpolation, 255)
    assert found.mean == (0.485, 0.456, 0.406)


def test_mobilevit_wants_bgr_and_no_normalization():
    found = exported.of_transformers(
        {
            "image_processor_type": "MobileViTImageProcessor",
            "size": {"shortest_edge": 288},
            "do_center_crop": True,
            "crop_size": {"height": 256, "width": 256},
            "resample": 2,
            "do_flip_channel_order": True,
        }
    )
    assert (found.channels, found.mean, found.std) == ("BGR", (0, 0, 0), (1, 1, 1))


def test_timm_divides_the_size_by_its_share():
    recipe = {
        "input_size": [3, 224, 224],
        "crop_pct": 0.875,
        "crop_mode": "center",
        "interpolation": "bicubic",
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
    }
    found = exported.of_timm({"architecture": "x", "pretrained_cfg": recipe})
    assert (found.resize, found.crop, found.resize_mode) == (256, 224, "shorter")
    assert found.interpolation == "bicubic"
    assert exported.of_timm({**recipe, "crop_pct": 0.95}).resize == 235
    assert exported.of_timm({**recipe, "crop_mode": "squash", "crop_pct": 1}).resize == 224
    with pytest.raises(exported.Inexpressible, match="crop_mode border"):
        exported.of_timm({**recipe, "crop_mode": "border"})


def test_open_clip_and_ultralytics_and_windows():
    clip = exported.of_open_clip({"model_cfg": {"vision_cfg": {"image_size": 224}}})
    assert (clip.resize, clip.crop, clip.interpolation) == (224, 224, "bicubic")
    assert clip.mean == pytest.approx((0.48145466, 0.4578275, 0.40821073))
    yolo = exported.of_ultralytics([224, 224])
    assert (yolo.resize, yolo.crop, yolo.scale, yolo.mean) == (224, 224, 255, (0, 0, 0))
    metadata = {"Image.BitmapPixelFormat": "Bgr8", "Image.NominalPixelRange": "Normalized_1_1"}
    windows = exported.of_windows(metadata, Preprocess())
    assert (windows.channels, windows.scale, windows.mean) == ("BGR", 127.5, (1, 1, 1))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"size": {"longest_edge": 300}}, "size"),
        ({"do_resize": False}, "do_resize"),
        ({"size": {"shortest_edge": 224}, "do_center_crop": False}, "keep their shape"),
        ({"size": 224, "image_processor_type": "OtherImageProcessor"}, "size 224"),
        ({"do_pad": True}, "do_pad"),
        ({"do_grayscale": True}, "do_grayscale"),
        ({"do_thumbnail": True}, "do_thumbnail"),
        ({"keep_aspect_ratio": True}, "keep_aspect_ratio"),
        ({"size": {"height": 9, "width": 9}, "do_rescale": False}, "do_rescale false"),
        ({"size": {"height": 9, "width": 9}, "image_mean": [math.nan, 0, 0]}, "finite number"),
        (
            {"size": {"height": 224, "width": 224}, "image_mean": [124, 117, 104]},
            "mean 124 is outside",
        ),
    ],
)
def test_what_cannot_be_followed_is_refused(config, message):
    base = {"resample": 2, "do_normalize": True, **IMAGENET}
    with pytest.raises(exported.Inexpressible, match=message):
        exported.of_transformers(base | config)


def network(**metadata):
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [value], [value])
    model = helper.make_model(graph)
    helper.set_model_props(model, metadata)
    return model


def test_neighbors_are_read_and_metadata_come_first(tmp_path):
    uri = str(tmp_path / "onnx" / "model.onnx")
    (tmp_path / "onnx").mkdir()
    assert stated(uri, network()).preprocess is None
    recipe = {"input_size": [3, 288, 288], "mean": HALF, "std": HALF, "crop_pct": 1.0}
    labels = {"id2label": {"1": "dog", "0": "cat"}}
    (tmp_path / "config.json").write_text(json.dumps({"pretrained_cfg": recipe, **labels}))
    found = stated(uri, network())
    assert found.preprocess.crop == 288
    assert found.preprocess_source == str(tmp_path / "config.json")
    assert found.classes == ("cat", "dog")
    names = "{0: 'tench', 1: 'goldfish'}"
    found = stated(uri, network(task="classify", imgsz="[224, 224]", names=names))
    assert (found.preprocess.crop, found.classes) == (224, ("tench", "goldfish"))
    detector = network(task="detect", imgsz="[640, 640]")
    for preprocessed in (False, True):
        with pytest.raises(UsageError, match="for the task 'detect'"):
            stated(uri, detector, preprocessed=preprocessed)
    (tmp_path / "preprocessor_config.json").write_text('{"do_pad": true}')
    with pytest.raises(UsageError, match=r"cannot be followed \(do_pad\)"):
        stated(uri, network())


def test_a_neighbor_that_cannot_be_read_is_refused(tmp_path):
    uri = str(tmp_path / "model.onnx")
    (tmp_path / "config.json").write_text("// of another program")
    assert stated(uri, network()).preprocess is None
    nested = {"size": {"height": 32, "width": 32}, "resample": 2, **IMAGENET}
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": nested}))
    assert stated(uri, network()).preprocess.crop == 32
    for text in ("{not json", "[1, 2]"):
        (tmp_path / "preprocessor_config.json").write_text(text)
        with pytest.raises(UsageError, match=r"preprocessor_config\.json .* cannot be read"):
            stated(uri, network())
        assert stated(uri, network(), preprocessed=True).preprocess is None


@pytest.mark.parametrize(
    ("config", "classes"),
    [
        ({"id2label": {"0": "cat", "1": "dog"}}, ("cat", "dog")),
        ({"id2label": ["cat", "dog"]}, ("cat", "dog")),
        ({"label2id": {"dog": 1, "cat": 0}}, ("cat", "dog")),
        ({"label_names": ["cat", "dog"]}, ("cat", "dog")),
        ({"id2label": {"0": "cat", "00": "dog"}}, None),
        ({"id2label": {"0": "cat", "2": "dog"}}, None),
    ],
)
def test_classes_of_hubs(tmp_path, config, classes):
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert stated(str(tmp_path / "model.onnx"), network()).classes == classes


def test_names_of_the_thousand_classes_are_known():
    names = tuple(line.partition(" ")[2] for line in synset())
    assert same_as(names, synset())
    first = tuple(name.partition(",")[0].replace(" ", "_") for name in names)
    assert same_as(first, synset())
    assert not same_as(names[1:] + names[:1], synset())
    assert not same_as(names[:10], synset())
