"""Distributed batch scoring of images with the ONNX model zoo's VGG networks."""

__version__ = "0.1.0"
