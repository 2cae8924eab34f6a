"""ONNX graphs: what they declare, and how they are changed without changing what they compute."""
