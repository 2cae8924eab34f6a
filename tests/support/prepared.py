"""Prepared networks, opened."""

import onnxruntime

SMALL = {"shrink": 16, "size": 32}


def load(prepared):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(prepared.path, options)
