"""Training of penalised linear classifiers: NumPy and SciPy in, NumPy out, torch in between.

With small penalties Böhning's upper bound of the Hessian is loose. `minimise_with_restarts` then uses the Hessian at
the point that L-BFGS has reached, which shows the gain that is left along a direction that an outlier makes look flat.
With several outputs it is formed as a whole only if it is small; its diagonal blocks, one per output, cost less.

In searches the blocks help with many classes and few rows. Over ten values of C and five folds, 600 digits took 1.9
times as long without them, 1,797 digits just as long, and random problems of 3 to 6 classes and 400 to 1,000 rows 0.6
to 0.8 times as long.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeGuard

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor
from torch.linalg import LinAlgError  # type: ignore[attr-defined]

from transferkit._algorithms.linalg.threads import LARGE_STEP, one_blas_thread
from transferkit._algorithms.linear.feature_blocks import FeatureBlocks
from transferkit._algorithms.linear.logistic_regression import NEGLIGIBLE_LOSS, SURE_GAP, FeatureProblem, RowProblem
from transferkit._algorithms.linear.logistic_regression import Solution as SingleSolution
from transferkit._algorithms.linear.logistic_regression import minimise as minimise_single
from transferkit._algorithms.linear.losses import make_loss as make_single_loss
from transferkit._algorithms.linear.predictions import LinearModel
from transferkit._training.device import PER_SPARSE_ENTRY, choose_device, threads_for, with_own_modes
from transferkit._training.linear.lbfgs import PER_SCORE, LBFGSState, Solution, minimise
from transferkit._training.linear.losses import Loss, make_loss
from transferkit._training.linear.matrices import DenseMatrix
from transferkit._training.linear.preconditioning import BlockHessian, EigenMap, Preconditioner, Vector
from transferkit._training.linear.problem import (
    MAX_DECOMPOSED,
    MAX_SPAN_SPARSE_ROWS,
    Design,
    LinearProblem,
    Prior,
)

__all__ = [
    "MAX_WHOLE",
    "TOO_LARGE",
    "can_form_hessian",
    "minimise_with_restarts",
    "train_linear_classifier",
    "upcast_if_lopsided",
    "with_hessian",
]

SMALL_PROBLEM = 100_000  # entries times outputs up to which calls take longer than sums, so float64 costs no time
LARGE_SQUARE = 1e30  # squares that approach the limits of float32
STEPS_BEFORE_HESSIAN = 30  # well-conditioned problems end before; chosen on random problems with C up to 1e6
TOO_LARGE = (
    "The features are too large for arithmetic with float64, in which their squares overflow: scale them, for "
    "instance with sklearn.preprocessing.StandardScaler."
)
# Called with a function that returns the model after the last step, or with None; a true result ends the training
OnStep = Callable[[Callable[[], "LinearModel"] | None], bool]
MAX_HESSIAN_ROWS = 1500  # rows of the largest curvature that enter a whole Hessian exactly; others enter its diagonal
EXACT_ROWS_PER_VARIABLE = 2  # the same of blocks, in which more rows cost more than the steps that they save
FEWEST_EXACT_ROWS = 400
MAX_HESSIAN_ENTRIES = 300_000  # of sparse rows in the variables u, which are dense
MAX_HESSIAN_VARIABLES = 600  # beyond, the Hessian costs more than the steps that it saves
MAX_WHOLE = 300  # variables times outputs of a Hessian that is not reduced to its blocks
JITTER = 1e-10  # relative to each curvature: an absolute one would hide those that an outlier puts far below the bound
LEAST_CURVATURE = 1e-30  # relative to the bound: the intercept of a class that is never in doubt has no other


@with_own_modes()
@threads_for()
def train_linear_classifier(
    X: Any,
    targets: np.ndarray,
    row_weights: np.ndarray,
    C: float,
    *,
    n_outputs: int,
    fit_intercept: bool = True,
    tol: float = 1e-4,
    max_iter: int = 1000,
    device: str = "auto",
    prior: np.ndarray | None = None,
    block_scales: Sequence[float] | None = None,
    start: tuple[np.ndarray, np.ndarray] | None = None,
    on_step: OnStep | None = None,
) -> LinearModel:
    """Minimise sum(row_weights * loss) + ||coef - prior||^2 / (2 C).

    Small problems are solved in float64, so that their result does not depend on how a processor rounds float32. So are
    problems for which float32 has too few digits. The model has the type of X.

    Parameters
    ----------
    X : array, CSR matrix or FeatureBlocks of shape (n_rows, n_features), float32 or float64
    targets : array
        With n_outputs > 1 the class numbers (n_rows,), or probabilities (n_rows, n_outputs) of a floating type, for the
        softmax loss. With n_outputs = 1 zeros and ones, or probabilities of a floating type, of shape
        (n_rows, n_problems), for as many logistic losses.
    row_weights : array of shape (n_rows, 1) or (n_rows, n_problems)
        Rows of weight zero in all problems are left out.
    prior : array of shape (n_outputs or n_problems, n_features), optional
        Weights that the penalty pulls to; zero by default.
    block_scales : sequence of float, optional
        The penalty of each block of X is divided by its scale squared; zero leaves a block out.
    start : (coef, intercept), optional
        Initial weights.
    on_step : callable, optional
        Called after each step with a function that returns the model after that step, or with None while only some
        of several problems still run; a true result ends the training.
    """
    kept = (row_weights > 0).any(1)
    if not kept.all():
        X, targets, row_weights = X[kept], targets[kept], row_weights[kept]
    dtype, place = X.dtype, choose_device(device)
    report = on_step and (lambda read: on_step(read and (lambda: read().astype(dtype))))

    def solve(X: Any, max_iter: int, start: tuple[np.ndarray, np.ndarray] | None) -> LinearModel:
        """Return the model that training finds with numbers of X's type."""
        pull, n_done = None if prior is None else Prior.of(X, prior, fit_intercept), 0
        design = Design(
            X, row_weights.mean(1), fit_intercept=fit_intercept, device=place, prior=pull, block_scales=block_scales
        )
        is_plain = start is None and not is_lopsided  # else the Hessian is needed, or a start among the variables
        if is_plain and is_for_numpy(design.X, targets, row_weights, n_outputs, place):
            model = solve_in_numpy(
                design, targets, row_weights[:, 0], C, n_outputs=n_outputs, tol=tol, max_iter=max_iter, on_step=report
            )
            if model.converged or model.n_iter == max_iter:
                return model
            start, n_done = (model.coef, model.intercept), model.n_iter
        loss = make_loss(targets, row_weights, n_outputs, X.dtype, place)
        offset = None if pull is None else pull.make_offset(n_outputs, place)
        problem = design.make_problem(loss, torch.full_like(loss.weights[0], C), offset)
        u = problem.start() if start is None else problem.from_weights(*(array.astype(X.dtype) for array in start))
        options: dict[str, Any] = {"tol": tol, "max_iter": max_iter - n_done, "on_step": report}
        u, n_iter, converged = minimise_with_restarts(problem, u, **options)
        return LinearModel(*problem.weights(u), n_done + n_iter, converged)

    if len(targets) * min(X.shape) * n_outputs <= SMALL_PROBLEM:
        X = X.astype(np.float64)
    (X, is_lopsided), n_done = upcast_if_lopsided(X), 0
    try:
        model = solve(X, max_iter, start)
        if not model.converged and model.n_iter < max_iter and X.dtype == np.float32:
            n_done = model.n_iter
            model = solve(X.astype(np.float64), max_iter - n_done, (model.coef, model.intercept))
    except LinAlgError as error:
        raise ValueError(TOO_LARGE) from error
    if not (np.isfinite(model.coef).all() and np.isfinite(model.intercept).all()):
        raise ValueError(TOO_LARGE)
    return replace(model.astype(dtype), n_iter=n_done + model.n_iter)


def is_for_numpy(X: Any, targets: np.ndarray, row_weights: np.ndarray, n_outputs: int, device: torch.device) -> bool:
    """Return whether this is one problem with steps so small that torch's calls would take as long as its sums."""
    if device.type != "cpu" or row_weights.shape[1] > 1 or (n_outputs == 1 and targets.size > len(targets)):
        return False
    if sp.issparse(X):
        is_suitable, per_output = MAX_SPAN_SPARSE_ROWS < X.shape[0] < X.shape[1], PER_SPARSE_ENTRY * X.nnz
    else:
        is_suitable = isinstance(X, np.ndarray) and 0 < X.shape[1] <= min(X.shape[0], MAX_DECOMPOSED)
        per_output = math.prod(X.shape)
    return is_suitable and n_outputs * max(per_output, PER_SCORE * len(targets)) < LARGE_STEP


@one_blas_thread()
@np.errstate(all="ignore")
def solve_in_numpy(
    design: Design,
    targets: np.ndarray,
    row_weights: np.ndarray,
    C: float,
    *,
    n_outputs: int,
    tol: float,
    max_iter: int,
    on_step: OnStep | None,
) -> LinearModel:
    """Return the model of one problem, or that of the steps after which only the Hessian can tell what is left."""
    X, can_refine = design.X, not sp.issparse(design.X) and design.X.shape[1] < MAX_HESSIAN_VARIABLES
    loss = make_single_loss(targets, row_weights, n_outputs, X.dtype)
    make_single = RowProblem if sp.issparse(X) else FeatureProblem

    def to_model(found: SingleSolution) -> LinearModel:
        model = design.restore(found.weights[:, None], found.intercepts[None])
        return LinearModel(*model, found.n_iter, found.converged)

    try:
        problem = make_single(X, loss, C, design.offset_scores(), design.fit_intercept)
        found = minimise_single(
            problem,
            tol=tol,
            max_iter=min(max_iter, STEPS_BEFORE_HESSIAN) if can_refine else max_iter,
            check_bound=can_refine,
            on_step=on_step and (lambda read: on_step(lambda: to_model(read()))),
        )
    except np.linalg.LinAlgError:  # rounding has made the Hessian indefinite
        zeros = np.zeros((X.shape[1], n_outputs), X.dtype)
        found = SingleSolution(zeros, zeros.sum(0), 0, False)
    return to_model(found)


def upcast_if_lopsided(X: Any) -> tuple[Any, bool]:
    """Return X, in float64 if float32 has too few digits for it, and whether one row dominates all others.

    A row with more than a quarter of the sum of all squares dominates: in float32 the others are lost in its rounding
    errors. Squares near the limits of float32 need float64, too.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.zeros(X.shape[0])
        block: Any
        for block in X.blocks if isinstance(X, FeatureBlocks) else [X]:
            squares += sum_squares(block)
        is_lopsided = not squares.max() <= squares.sum() / 4
    needs_digits = X.dtype == np.float32 and (is_lopsided or not squares.max() <= LARGE_SQUARE)
    return (X.astype(np.float64) if needs_digits else X), is_lopsided


def sum_squares(block: Any) -> np.ndarray:
    """Return the sum of squares of each row of an array or sparse matrix, without a copy of its shape."""
    if not sp.issparse(block):
        return np.einsum("ij,ij->i", block, block)
    csr = block.tocsr()
    return sp.csr_matrix((csr.data**2, csr.indices, csr.indptr), shape=csr.shape) @ np.ones(csr.shape[1], csr.dtype)


def minimise_with_restarts(
    problem: LinearProblem, u: Vector, *, tol: float, max_iter: int, on_step: OnStep | None = None
) -> tuple[Vector, int, bool]:
    """Return the solution of the problems, the number of steps, and whether all have converged.

    The Hessian at the point that was reached replaces the upper bound on it after every `STEPS_BEFORE_HESSIAN` steps,
    and if L-BFGS ends without a sure bound on the optimality gap.
    """
    n_iter, value, stopped, is_whole = 0, float("inf"), False, False
    n_problems = len(problem.loss.weights[0])

    def report(state: LBFGSState) -> bool:
        def read() -> LinearModel:
            return LinearModel(*state.problem.weights(state.u), 1, False)

        nonlocal stopped
        stopped = on_step is not None and on_step(read if len(state.numbers) == n_problems else None)
        return stopped

    while True:
        preconditioner = problem.preconditioner
        can_refine = can_form_hessian(preconditioner)
        is_refined = isinstance(preconditioner, EigenMap) and preconditioner.hessian is not None
        n_steps = min(max_iter - n_iter, STEPS_BEFORE_HESSIAN) if can_refine else max_iter - n_iter
        on_iteration = None if on_step is None else report
        solution = minimise(problem, u, tol=tol, max_iter=n_steps, trust_hessian=is_refined, on_iteration=on_iteration)
        n_taken, total = int(solution.n_iter.max()), float(solution.objectives.sum())
        is_lower = value - total > 1e-15 * total
        u, value, n_iter, converged = solution.u, total, n_iter + n_taken, bool(solution.converged.all())
        if stopped or n_iter >= max_iter or not can_form_hessian(preconditioner):
            return u, n_iter, converged
        if is_refined and n_taken < n_steps and not (is_whole and is_lower):
            return u, n_iter, converged
        if converged and is_certain(preconditioner, problem.loss, solution, tol):
            return u, n_iter, True
        is_whole = len(preconditioner.scale) * problem.loss.n_outputs <= MAX_WHOLE
        try:
            preconditioner = with_hessian(preconditioner, problem.loss, solution.scores, whole=is_whole)
        except LinAlgError:  # rounding has made the Hessian indefinite
            return u, n_iter, converged
        problem = replace(problem, preconditioner=preconditioner)


def is_certain(eigen_map: EigenMap, loss: Loss, solution: Solution, tol: float) -> bool:
    """Return whether the penalty alone proves that the gap is small, whatever the curvature along each direction.

    The intercept is taken at the mean of the rows weighted by their curvatures, where it has no part in the weights'
    curvature.
    """
    gradient = solution.gradient / eigen_map.scale
    rest = torch.zeros_like(solution.objectives)
    if eigen_map.has_intercept:
        curvatures = loss.curvatures(solution.scores)
        totals = curvatures.sum(0).clamp_min(torch.finfo(gradient.dtype).tiny)
        sums = eigen_map.matrix.rmatmul(curvatures.flatten(1)).view(-1, *totals.shape)
        mean = eigen_map.adjoint(sums) / totals
        gradient, last = gradient[:-1] - mean * gradient[-1], gradient[-1]
        rest = (last.square() / (2 * totals)).sum(1)
    gap = eigen_map.C / 2 * gradient.square().sum((0, 2), dtype=torch.float64) + rest
    size = solution.objectives.clamp_min(NEGLIGIBLE_LOSS * float(loss.weights.sum()))
    return bool((gap <= SURE_GAP * tol * size).all())


def can_form_hessian(preconditioner: Preconditioner) -> TypeGuard[EigenMap]:
    """Return whether the Hessian costs less than the steps that it may save; all problems must have the same C."""
    if not isinstance(preconditioner, EigenMap) or not isinstance(preconditioner.basis, Tensor):
        return False
    n_variables, matrix, C = len(preconditioner.scale), preconditioner.matrix, preconditioner.C
    is_small = matrix.n_rows * n_variables <= MAX_HESSIAN_ENTRIES or isinstance(matrix, DenseMatrix)
    return is_small and n_variables <= MAX_HESSIAN_VARIABLES and bool((C[0] == C).all())


def with_hessian(eigen_map: EigenMap, loss: Loss, scores: Tensor, *, whole: bool = False) -> EigenMap:
    """Return the preconditioner with the Hessian at these scores (n_rows, n_problems, n_outputs), or with its blocks.

    With several outputs the Hessian is averaged over the problems, which must be folds of one C. With one output each
    problem has its own whole Hessian.
    """
    inverses = (invert_whole if whole else invert_blocks)(eigen_map, loss, scores)
    return replace(eigen_map, hessian=BlockHessian(inverses, of_problems=whole and scores.shape[2] == 1))


def invert_blocks(eigen_map: EigenMap, loss: Loss, scores: Tensor) -> Tensor:
    """Return the inverse of each output's block."""
    curvatures = loss.curvatures(scores).mean(1).T
    rows, slopes = centre(rotate_rows(eigen_map), curvatures.sum(0), eigen_map.has_intercept)
    blocks = sum_products(rows, curvatures, max(FEWEST_EXACT_ROWS, EXACT_ROWS_PER_VARIABLE * rows.shape[1]))
    return invert(blocks, penalty_diagonal(eigen_map), slopes, eigen_map.scale.dtype)


def invert_whole(eigen_map: EigenMap, loss: Loss, scores: Tensor) -> Tensor:
    """Return the inverse of the whole Hessian; with one output that of each problem.

    The Hessian of a softmax is computed as a sum over pairs of outputs, which loses no digits if a probability is
    almost 1.
    """
    curvatures, n_outputs = loss.curvatures(scores), scores.shape[2]
    rows, slopes = centre(rotate_rows(eigen_map), curvatures.sum((1, 2)), eigen_map.has_intercept)
    penalty, dtype = penalty_diagonal(eigen_map), eigen_map.scale.dtype
    if n_outputs == 1:
        return invert(sum_products(rows, curvatures[:, :, 0].T, MAX_HESSIAN_ROWS), penalty, slopes, dtype)
    probabilities = torch.softmax(scores, 2)
    pairs = torch.combinations(torch.arange(n_outputs, device=scores.device))
    products = probabilities[:, :, pairs[:, 0]] * probabilities[:, :, pairs[:, 1]] * loss.weights[:, :, None]
    size = rows.shape[1]
    whole = torch.zeros(n_outputs, size, n_outputs, size, dtype=torch.float64, device=rows.device)
    blocks = sum_products(rows, products.mean(1).T, MAX_HESSIAN_ROWS)
    for (one, other), block in zip(pairs.tolist(), blocks, strict=True):
        whole[one, :, one] += block
        whole[other, :, other] += block
        whole[one, :, other] -= block
        whole[other, :, one] -= block
    common = torch.einsum("kiki->i", whole) / n_outputs**2  # the loss is constant along equal steps of all outputs
    whole += torch.diag(common)[None, :, None, :]
    return invert([whole.view(n_outputs * size, -1)], penalty.repeat(n_outputs), slopes, dtype)


def rotate_rows(eigen_map: EigenMap) -> Tensor:
    """Return the matrix whose product with u gives the scores, (n_rows, n_variables)."""
    assert isinstance(eigen_map.basis, Tensor)
    rows = eigen_map.matrix.matmul(eigen_map.basis)
    if eigen_map.has_intercept:
        rows = torch.cat([rows, torch.ones_like(rows[:, :1])], 1)
    return rows * eigen_map.scale.mean(1)[:, 0]


def centre(rows: Tensor, weights: Tensor, has_intercept: bool) -> tuple[Tensor, Tensor]:
    """Return rows minus their weighted mean, and how much of each variable for these the intercept takes.

    The intercept for the rows is that for the centred ones plus the inner product of these slopes (n_variables,) with
    the other variables. An outlier without curvature moves the plain mean so far that weights and intercept become
    collinear.
    """
    slopes = torch.zeros(rows.shape[1], dtype=torch.float64, device=rows.device)
    if not has_intercept:
        return rows, slopes
    mean = (weights @ rows) / weights.sum().clamp_min(torch.finfo(rows.dtype).tiny)
    slopes[:-1] = -(mean / rows[0, -1])[:-1]
    mean[-1] = 0
    return rows - mean, slopes


def penalty_diagonal(eigen_map: EigenMap) -> Tensor:
    """Return the curvature of the penalty along each variable."""
    diagonal = eigen_map.scale.square().mean(1)[:, 0] / eigen_map.C[0]
    if eigen_map.has_intercept:
        diagonal[-1] = LEAST_CURVATURE
    return diagonal


def sum_products(rows: Tensor, weights: Tensor, n_exact: int) -> Iterator[Tensor]:
    """Yield rows.T @ diag(w) @ rows for each w of the weights (n_blocks, n_rows), beyond `n_exact` rows the diagonal.

    In the whitened variables of an `EigenMap` the average of many rows is nearly diagonal.
    """
    squares = rows.square()
    diagonals = (weights @ squares).double()
    _, largest = (weights * squares.sum(1)).topk(min(n_exact, len(rows)), dim=1)
    for weight, index, diagonal in zip(weights, largest, diagonals, strict=True):
        part = (rows[index] * weight[index].sqrt()[:, None]).double()
        block = part.T @ part
        if n_exact < len(rows):
            block.diagonal().add_((diagonal - block.diagonal()).clamp_min(0))
        yield block


def invert(blocks: Iterable[Tensor], penalty: Tensor, slopes: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the inverses of blocks (n, n) plus the penalty, in the variables for rows that are not centred.

    The variables of one output are as many as there are slopes, and a block is of one or of all outputs. Blocks are
    consumed one by one, because in float64 all of them would need several times the memory of the inverses.
    """
    inverses = []
    for block in blocks:
        diagonal = block.diagonal()
        diagonal += JITTER * diagonal + penalty
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(block))
        parts = inverse.view(-1, len(slopes), len(block) // len(slopes), len(slopes))
        parts[:, -1] += torch.einsum("i,kilj->klj", slopes, parts)
        parts[..., -1] += torch.einsum("kilj,j->kil", parts, slopes)
        inverses.append(inverse.to(dtype))
    return torch.stack(inverses)
