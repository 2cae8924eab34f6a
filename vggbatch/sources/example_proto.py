"""The protobuf message tf.train.Example, built from its description and not from TensorFlow."""

from __future__ import annotations

from functools import cache
from typing import Any

_PACKAGE = "vggbatch.example"


@cache
def example_class() -> Any:
    """The message class, as tensorflow/core/example/example.proto and feature.proto define it."""
    # what most inputs do not need takes a while to import
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="vggbatch/example.proto", package=_PACKAGE, syntax="proto3"
    )
    one, many = field.LABEL_OPTIONAL, field.LABEL_REPEATED
    _field(file.message_type.add(name="BytesList"), "value", many, field.TYPE_BYTES)
    _field(file.message_type.add(name="FloatList"), "value", many, field.TYPE_FLOAT)
    _field(file.message_type.add(name="Int64List"), "value", many, field.TYPE_INT64)
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
    _field(entry, "key", one, field.TYPE_STRING)
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
        added.type, added.type_name = type(added).TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
    else:
        added.type = kind
    return added
