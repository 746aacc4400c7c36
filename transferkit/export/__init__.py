"""Models for places where transferkit is not installed."""

from transferkit.export._onnx import to_onnx
from transferkit.export._sklearn import to_sklearn

__all__ = ["to_onnx", "to_sklearn"]
