"""Scoring one row of many features neither copies the weights nor makes the row dense."""

import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp

from transferkit import LogisticHead, LogisticHeadCV, RidgeHead


@pytest.mark.parametrize("head", [LogisticHead(), LogisticHeadCV(2, cv=2), RidgeHead()])
def test_one_sparse_row_costs_a_fraction_of_the_weights(head):
    X = sp.random_array((60, 50_000), density=1e-3, rng=np.random.default_rng(0)).tocsr()
    y = np.arange(60) % 4
    head.fit(X, np.eye(4)[y] if isinstance(head, RidgeHead) else y)
    row = X[:1]
    head.predict(row)
    tracemalloc.start()
    head.predict(row)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < head.coef_.nbytes / 10
