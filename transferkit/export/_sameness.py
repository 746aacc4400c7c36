"""Is an exported model the same? A look at a few rows made from the model itself."""

import numpy as np

from transferkit.exceptions import ExportError
from transferkit.persistence import make_probe


def check_same(model, exported):
    """Raise ExportError unless an exported model gives the model's output for the rows of its probe."""
    probe = make_probe(model)
    if probe is None or not hasattr(exported, probe["method"]):
        return
    expected, output = (getattr(estimator, probe["method"])(probe["X"]) for estimator in (model, exported))
    expected, output = (
        value.toarray() if hasattr(value, "toarray") else np.asarray(value) for value in (expected, output)
    )
    if expected.dtype.kind != "f":
        same = np.array_equal(expected, output)
    else:
        same = np.allclose(expected, output, rtol=1e-4, atol=1e-5 * max(1, np.abs(expected).max(initial=0)))
    if not same:
        raise ExportError(f"The exported {type(model).__name__} would not give the same results, so there is none.")
