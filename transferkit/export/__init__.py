"""Export of fitted models for use without transferkit.

- `to_sklearn` converts a model to scikit-learn's own classes, by a table of converters from each class of transferkit
  (`_sklearn`).
- `to_onnx` writes an ONNX graph: the model is converted to scikit-learn's classes first, except networks and k-means,
  and each step is appended as nodes (`_onnx`, `_onnx_steps`).

Both are exact: a part without an exact counterpart raises ExportError, which names it, and the exported model is
compared with the original on a few rows generated from the model (its *probe*) before it is returned or written.
"""

from transferkit.export._onnx import to_onnx
from transferkit.export._sklearn import to_sklearn

__all__ = ["to_onnx", "to_sklearn"]
