"""What computes a network in place of onnxruntime's own CPU kernels: its execution providers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import onnxruntime as ort

from vggbatch.errors import UsageError, VggbatchError
from vggbatch.exact_int8 import CPU, open_exactly

_SUFFIX = "ExecutionProvider"


@dataclass(frozen=True)
class Provider:
    """An execution provider, by onnxruntime's name, and its options."""

    name: str
    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def named(cls, name: str, options: Mapping[str, str], *, here: bool) -> Provider | None:
        """The provider of a setting; None for onnxruntime's own CPU kernels.

        Args:
            name: in lower case, without onnxruntime's suffix.
            options: of the provider.
            here: whether it is this machine that must have it.

        Raises:
            UsageError: this onnxruntime does not know it, or was built without it.
        """
        if name == "cpu":
            return None
        known = ort.get_available_providers() if here else ort.get_all_providers()
        found = next((one for one in known if _short(one) == name), None)
        if found is None:
            raise UsageError(
                f"compute.provider {name}: onnxruntime {ort.__version__} here has "
                f"{', '.join(map(_short, known))}; the wheels onnxruntime-gpu and "
                "onnxruntime-openvino, installed in place of onnxruntime, have others"
            )
        return cls(found, dict(options))

    def open(self, path: str, options: ort.SessionOptions) -> ort.InferenceSession:
        """Open a network on it; what it does not compute itself the CPU does.

        Raises:
            VggbatchError: it cannot be used on this machine, or not with its options. Left to
                itself, onnxruntime would take the CPU, and say so where no user looks.
        """
        reason = "its libraries or its device are missing"
        if self.name in ort.get_available_providers():
            preferred = (self.name, dict(self.options))
            try:
                session = open_exactly(path, options, checked=True, providers=[preferred, CPU])
                session.disable_fallback()
                if session.get_providers()[0] == self.name:
                    return session
            except Exception as error:  # each provider has errors of its own
                reason = " ".join(str(error).split())[:300]
        raise VggbatchError(f"onnxruntime's {self.name} cannot be used on this machine: {reason}")


def needs_gpu(name: str) -> bool:
    """Whether classifiers on a provider, by its short name, ask Ray for a GPU each."""
    return name in ("cuda", "tensorrt", "nvtensorrtrtx", "rocm", "migraphx")


def _short(name: str) -> str:
    return name.removesuffix(_SUFFIX).lower()
