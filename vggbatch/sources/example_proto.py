"""The protobuf message tf.train.Example, built from its description and not from TensorFlow."""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE = "vggbatch.example"
_Field = descriptor_pb2.FieldDescriptorProto


@cache
def example_class() -> Any:
    """The message class, as tensorflow/core/example/example.proto and feature.proto define it."""
    file = descriptor_pb2.FileDescriptorProto(
        name="vggbatch/example.proto", package=_PACKAGE, syntax="proto3"
    )
    one, many = _Field.LABEL_OPTIONAL, _Field.LABEL_REPEATED
    _field(file.message_type.add(name="BytesList"), "value", many, _Field.TYPE_BYTES)
    _field(file.message_type.add(name="FloatList"), "value", many, _Field.TYPE_FLOAT)
    _field(file.message_type.add(name="Int64List"), "value", many, _Field.TYPE_INT64)
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for name, kind in (
        ("bytes_list", "BytesList"),
        ("float_list", "FloatList"),
        ("int64_list", "Int64List"),
    ):
        _field(feature, name, one, kind).oneof_index = 0
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    _field(entry, "key", one, _Field.TYPE_STRING)
    _field(entry, "value", one, "Feature")
    _field(features, "feature", many, "Features.FeatureEntry")
    _field(file.message_type.add(name="Example"), "features", one, "Features")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Example"))


def _field(message: Any, name: str, label: int, kind: int | str) -> Any:
    """Add the next field: of a scalar type, or of a message named by its type."""
    added = message.field.add(name=name, number=len(message.field) + 1, label=label)
    if isinstance(kind, str):
        added.type, added.type_name = _Field.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
    else:
        added.type = kind
    return added
