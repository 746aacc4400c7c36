"""Conjugate gradients solve each column's system, in at most as many steps as there are distinct eigenvalues."""

import numpy as np
import pytest
from scipy.sparse.linalg import cg

from transferkit._algorithms.linalg.conjugate_gradients import conjugate_gradients

RNG = np.random.default_rng(0)
BASIS = np.linalg.qr(RNG.normal(size=(40, 40)))[0]


def make_system(eigenvalues, n_columns=3):
    matrix = (BASIS * eigenvalues) @ BASIS.T
    return matrix, RNG.normal(size=(40, n_columns))


def test_few_distinct_eigenvalues_need_as_few_steps():
    matrix, right = make_system(np.repeat([1.0, 5.0, 30.0, 100.0], 10))
    expected = np.linalg.solve(matrix, right)
    solution, converged = conjugate_gradients(matrix.__matmul__, right.copy(), 4, tol=1e-10)
    np.testing.assert_allclose(solution, expected, rtol=1e-9, atol=1e-12)
    assert converged
    assert not conjugate_gradients(matrix.__matmul__, right.copy(), 3, tol=1e-10)[1]


@pytest.mark.parametrize("n_steps", [1, 5, 12])
def test_each_step_is_that_of_scipy(n_steps):
    matrix, right = make_system(np.geomspace(1, 1e4, 40))
    expected = [cg(matrix, column, rtol=0, maxiter=n_steps)[0] for column in right.T]
    np.testing.assert_allclose(
        conjugate_gradients(matrix.__matmul__, right.copy(), n_steps)[0], np.transpose(expected), rtol=1e-8
    )


def test_the_residual_takes_the_place_of_the_right_hand_side():
    matrix, right = make_system(np.geomspace(1, 100, 40))
    residual = right.copy()
    solution, _ = conjugate_gradients(matrix.__matmul__, residual, 7)
    np.testing.assert_allclose(residual, right - matrix @ solution, atol=1e-10)


@pytest.mark.parametrize("tol", [0.0, 1e-6])
def test_a_right_hand_side_of_zeros_has_the_solution_zero(tol):
    matrix, right = make_system(np.geomspace(1, 100, 40))
    right[:, 1] = 0
    solution, converged = conjugate_gradients(matrix.__matmul__, right, 200, tol=tol)
    assert converged == (tol > 0)
    np.testing.assert_array_equal(solution[:, 1], 0)
    assert np.isfinite(solution).all()


def test_iteration_goes_on_until_every_column_has_converged():
    matrix = np.diag(np.geomspace(1, 100, 40))
    right = np.zeros((40, 2))
    right[0, 0], right[:, 1] = 1, 1  # the first needs one step, the other many
    solution, converged = conjugate_gradients(matrix.__matmul__, right, 100, tol=1e-8)
    assert converged
    np.testing.assert_allclose(solution[:, 1], 1 / np.diag(matrix), rtol=1e-6)
    np.testing.assert_allclose(solution[0, 0], 1)
