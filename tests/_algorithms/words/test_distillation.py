"""Linear students: against a dense solution of the same regression."""

import numpy as np
import pytest
from scipy import sparse

from transferkit._algorithms.words.distillation import cosines_of_rows, fit_term_vectors, sum_batches

RNG = np.random.default_rng(0)


def make_group(n_texts, offset=0.0):
    rows = sparse.csr_matrix(RNG.random((n_texts, 12)) * (RNG.random((n_texts, 12)) < 0.4), dtype=np.float32)
    return rows, (RNG.normal(size=(n_texts, 3)) + offset).astype(np.float32)


def in_batches(rows, embeddings, size):
    return [(rows[k : k + size], embeddings[k : k + size]) for k in range(0, len(embeddings), size)]


def solve_densely(groups, ridge):
    S = np.vstack([rows.toarray() for rows, _ in groups]).astype(float)
    T = np.vstack([embeddings - embeddings.mean(axis=0, dtype=float) for _, embeddings in groups])
    return np.linalg.solve(S.T @ S + ridge * np.eye(S.shape[1]), S.T @ T)


@pytest.mark.parametrize("ridge", [0.1, 2.0])
@pytest.mark.parametrize("size", [1, 7, 50])
def test_vectors_are_those_of_a_dense_regression(ridge, size):
    groups = [make_group(50), make_group(12, offset=3.0)]  # the second group has a mean of its own
    sums = [sum_batches(in_batches(*group, size)) for group in groups]
    vectors, is_converged = fit_term_vectors(sums, ridge, 1e-6, 100)
    assert is_converged
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, solve_densely(groups, ridge), atol=1e-5)


def test_long_mean_costs_no_digits():
    rows, embeddings = make_group(200)
    far = embeddings + np.float32(4096)  # exact differences to about 2 ** -11
    sums = sum_batches(in_batches(rows, far, 20))
    exact = far.astype(float)
    np.testing.assert_allclose(sums.mean, exact.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(sums.products, rows.T @ (exact - exact.mean(axis=0)), atol=1e-4)
    assert sums.spread == pytest.approx(np.sqrt(((exact - exact.mean(axis=0)) ** 2).sum(axis=1).mean()), rel=1e-5)


def test_too_few_steps_are_reported():
    assert not fit_term_vectors([sum_batches([make_group(50)])], 0.1, 1e-6, 2)[1]


def test_cosine_of_a_row_of_zeros_is_zero():
    left = np.array([[3.0, 4.0], [0.0, 0.0], [1.0, 0.0]])
    right = np.array([[6.0, 8.0], [1.0, 1.0], [-2.0, 0.0]])
    np.testing.assert_allclose(cosines_of_rows(left, right), [1, 0, -1])
