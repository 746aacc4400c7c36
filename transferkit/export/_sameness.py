"""Whether an exported model gives the same, on a few rows made from the model itself."""

import numpy as np

from transferkit.exceptions import ExportError
from transferkit.persistence import make_probe


def check_same(model, exported):
    """Raise ExportError unless an exported model gives the model's output for the rows of its probe."""
    probe = make_probe(model)
    if probe is None or not hasattr(exported, probe["method"]):
        return
    expected = getattr(model, probe["method"])(probe["X"])
    try:
        output = getattr(exported, probe["method"])(probe["X"])
    except (AttributeError, TypeError) as error:
        raise ExportError(
            f"The exported {type(model).__name__} cannot be used: {error}. If it has a tokenizer of its own, let that "
            "return a list of str; scikit-learn takes nothing else with n-grams."
        ) from error
    is_numbers = expected.dtype.kind == "f" and 0 not in expected.shape
    largest = np.abs(expected).max() if is_numbers else 0
    if not agree(output, expected, rtol=1e-4, atol=1e-5 * max(1, largest)):
        raise ExportError(f"The exported {type(model).__name__} would not give the same results, so there is none.")


def agree(output, expected, *, rtol, atol):
    """Return whether outputs, dense or sparse, are the same; floats may differ by a tolerance."""
    output, expected = (
        value.toarray() if hasattr(value, "toarray") else np.asarray(value) for value in (output, expected)
    )
    if expected.dtype.kind != "f":
        return np.array_equal(output, expected)
    return np.allclose(output.reshape(expected.shape), expected, rtol=rtol, atol=atol)
