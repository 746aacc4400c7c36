"""Encoding in steps, which frozen encoders report to callbacks: for them it is what takes long."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from scipy import sparse

from transferkit._estimator import FitProgress
from transferkit._validation import count_rows, take_rows

__all__ = ["BATCHES_PER_STEP", "encode_in_steps", "report_fit"]

BATCHES_PER_STEP = 4  # of encoders that work in batches


@contextmanager
def report_fit(encoder: Any, X: Any, y: Any) -> Iterator[None]:
    """Report to callbacks the beginning and the end of a `fit` that learns nothing."""
    progress = FitProgress(encoder, 0)
    progress.begin(X, y)
    yield
    progress.end({})


def encode_in_steps(encoder: Any, X: Any, y: Any, encode: Callable[[Any], Any], step: int) -> Any:
    """Return encoded samples; if the encoder has callbacks, so many at a time, each of which is a task of the fit.

    A request to stop is ignored, because every sample needs its row.
    """
    n_rows = count_rows(X)
    progress = FitProgress(encoder, -(-n_rows // step), "samples")
    progress.begin(X, y)
    if not progress.is_watched:
        return encode(X)
    parts = []
    for begin in range(0, n_rows, step):
        parts.append(encode(take_rows(X, slice(begin, begin + step))))
        progress.step()
    progress.end({})
    return sparse.vstack(parts, format=parts[0].format) if sparse.issparse(parts[0]) else np.concatenate(parts)
