"""KernelSearch: the optima of LogisticHead for every fold, C and block scale, wherever it starts."""

import numpy as np
import pytest
from scipy import sparse

from transferkit import FeatureBlocks, LogisticHead
from transferkit._algorithms.linear import kernel_lbfgs
from transferkit._algorithms.linear.kernel_search import KernelSearch

CS = (0.1, 10.0, 1000.0)


def make_rows(n_rows=60, n_columns=90, n_classes=3, seed=0):
    random = np.random.default_rng(seed)
    X = random.normal(size=(n_rows, n_columns)) / np.sqrt(n_columns)
    y = np.argmax(X[:, :n_classes] + 0.05 * random.normal(size=(n_rows, n_classes)), axis=1)
    return X, y


def make_folds(n_rows, n_folds=3):
    return (np.arange(n_rows)[:, None] % n_folds != np.arange(n_folds)).astype(float)


def make_search(X, y, weights, n_outputs=3, **options):
    options = {"fit_intercept": True, "tol": 1e-8, "max_iter": 1000} | options
    return KernelSearch(X, y, weights, n_outputs=n_outputs, **options)


def check_fit(fit, X, y, weights, atol=3e-3, **parameters):
    """Compare the models and scores of each fold with those of a LogisticHead on its training part."""
    for fold, model in enumerate(fit.models()):
        expected = LogisticHead(C=fit.C, tol=1e-9, **parameters).fit(X, y, sample_weight=weights[:, fold])
        np.testing.assert_allclose(model.coef, expected.coef_, atol=atol * np.abs(expected.coef_).max())
        scores = expected.decision_function(X).reshape(len(y), -1)
        np.testing.assert_allclose(fit.scores[:, fold], scores, atol=atol * np.abs(scores).max())
        np.testing.assert_allclose(
            np.asarray(X @ model.coef.T) + model.intercept, scores, atol=atol * np.abs(scores).max()
        )


@pytest.mark.parametrize("kind", ["dense", "sparse", "two classes", "labels", "no intercept", "weights", "far"])
def test_has_the_optima_of_the_head(kind):
    X, y = make_rows(n_classes=2 if kind == "two classes" else 3)
    weights, n_outputs, parameters = make_folds(len(X)), 3, {}
    if kind == "sparse":
        X = sparse.csr_matrix(np.where(X > 0, X, 0))
    if kind == "two classes":
        n_outputs = 1
    if kind == "labels":
        y, n_outputs = np.column_stack([y == 0, y == 1, X[:, 5] > 0]).astype(int), 1
    if kind == "no intercept":
        parameters = {"fit_intercept": False}
    if kind == "weights":
        weights *= np.random.default_rng(1).uniform(0.01, 20, (len(X), 1))
    if kind == "far":
        X = X + 1e4
    fits = list(make_search(X, y, weights, n_outputs, **parameters).run(CS))
    assert [fit.C for fit in fits] == list(CS)
    assert all(fit.converged for fit in fits)
    for fit in fits:
        check_fit(fit, X, y, weights, **parameters)


def test_labels_may_have_weights_of_their_own():
    X, y = make_rows()
    labels = np.column_stack([y == 0, y == 1]).astype(int)
    weights = np.random.default_rng(1).uniform(0.5, 2, (len(X), 1, 2))
    fit = make_search(X, labels, weights, 1).fit(10.0)
    for label, coef in enumerate(fit.last_model().coef):
        head = LogisticHead(C=10.0, tol=1e-9).fit(X, labels[:, label], sample_weight=weights[:, 0, label])
        np.testing.assert_allclose(coef, head.coef_[0], atol=1e-3)


def test_scales_of_blocks_divide_their_penalties():
    X, y = make_rows()
    blocks, weights = FeatureBlocks(sparse.csr_matrix(np.where(X[:, :50] > 0, X[:, :50], 0)), X[:, 50:]), make_folds(60)
    scales = [(1.0, 0.0), (0.5, 2.0), (0.0, 1.0)]
    fits = list(make_search(blocks, y, weights, block_scales=scales).run(CS))
    assert [(fit.scale_index, fit.C) for fit in fits] == [(place, C) for place in range(3) for C in CS]
    for fit in fits:
        check_fit(fit, blocks, y, weights, block_scales=scales[fit.scale_index])


@pytest.mark.parametrize("C", [0.1, 1000.0])
def test_one_scale_alone_has_the_same_fit_as_all_together(C):
    X, y = make_rows()
    blocks, scales = FeatureBlocks(X[:, :50], X[:, 50:]), [(1.0, 0.3), (1.0, 3.0)]
    search = make_search(blocks, y, make_folds(60), block_scales=scales, tol=1e-10)
    together = {fit.scale_index: fit.scores for fit in search.run([C])}
    for place in range(2):
        scores = search.fit(C, scale_index=place).scores
        np.testing.assert_allclose(scores, together[place], atol=1e-4 * np.abs(scores).max())


def test_starts_near_fits_of_other_scales_and_of_other_features():
    X, y = make_rows(150, 200)
    X, weights = X.astype(np.float64), make_folds(150)
    blocks = FeatureBlocks(X[:, :100], X[:, 100:])
    search = make_search(blocks, y, weights, block_scales=[(1.0, 1.0), (1.0, 2.0)])
    other = make_search(2 * X + 0.01, y, weights).fit(1000.0)
    cold = search.fit(1000.0)
    for before, scale_index in ([[other], 0], [[cold], 1]):
        warm, known = search.fit(1000.0, before, scale_index), search.fit(1000.0, scale_index=scale_index)
        start = before[0].move_to(search.rows.combine(search.scales[[scale_index]]))
        at_start, at_zero = (
            kernel_lbfgs.State(
                search.rows.combine(search.scales[[scale_index]]), search.folds, 1000.0, point
            ).objectives
            for point in (start, search.folds.zeros(1))
        )
        assert (at_start < at_zero / 10).all()
        np.testing.assert_allclose(warm.scores, known.scores, atol=0.02 * np.abs(known.scores).max())


def test_follows_the_path_of_smaller_values_of_C():
    X, y = make_rows(150, 200)
    search = make_search(X, y, make_folds(150), tol=1e-4)
    before = [search.fit(10.0), search.fit(100.0)]
    assert search.fit(1000.0, before).n_iter < search.fit(1000.0).n_iter


def test_a_large_C_alone_is_as_precise_as_at_the_end_of_a_path():
    X, y = make_rows(150, 200)
    search = make_search(X, y, make_folds(150), tol=1e-3)
    optimum = make_search(X, y, make_folds(150), tol=1e-10).fit(1000.0).scores
    zeros = search.folds.zeros(1)
    from_zero = kernel_lbfgs.minimise(search.rows.combine(search.scales), search.folds, 1000.0, zeros, **search.stop)
    error_from_zero = np.abs(from_zero.scores[0].transpose(2, 0, 1) - optimum).mean()
    assert np.abs(search.fit(1000.0).scores - optimum).mean() < 0.7 * error_from_zero


def test_refits_all_rows():
    X, y = make_rows()
    search = make_search(X, y, make_folds(60))
    model = search.refit([search.fit(10.0)], np.ones((60, 1)))[0]
    expected = LogisticHead(C=10.0, tol=1e-9).fit(X, y)
    np.testing.assert_allclose(model.coef, expected.coef_, atol=1e-4)
    np.testing.assert_allclose(model.intercept, expected.intercept_, atol=1e-4)


def test_offsets_are_part_of_the_scores():
    X, y = make_rows()
    source = LogisticHead().fit(X, np.roll(y, 1))
    prior = source.coef_
    offsets = np.repeat((X @ prior.T)[:, None], 3, axis=1)
    search = make_search(X, y, make_folds(60), offsets=offsets)
    fit, head = search.fit(10.0), LogisticHead(C=10.0, tol=1e-9, prior=source).fit(X, y)
    model = search.refit([fit], np.ones((60, 1)), offsets[:, 0])[0]
    np.testing.assert_allclose(model.coef + prior, head.coef_, atol=1e-3)
    expected = np.asarray(X @ fit.models()[1].coef.T) + fit.models()[1].intercept + offsets[:, 1]
    np.testing.assert_allclose(fit.scores[:, 1], expected, atol=1e-6)


def test_a_class_that_a_fold_lacks_has_no_probability_there():
    X, y = make_rows()
    weights = np.ones((60, 2))
    weights[y == 2, 0] = 0
    fit = make_search(X, y, weights).fit(10.0)
    assert (fit.scores[:, 0].argmax(1) < 2).all()
    assert (fit.scores[:, 1].argmax(1) == 2).any()
    known = y < 2
    expected = LogisticHead(C=20.0, tol=1e-9).fit(X[known], y[known]).decision_function(X)
    np.testing.assert_allclose(fit.scores[:, 0, 1] - fit.scores[:, 0, 0], expected, atol=1e-3)


def test_reports_that_steps_ran_out():
    X, y = make_rows(150, 200)
    assert not make_search(X, y, make_folds(150), max_iter=2).fit(10.0).converged


def test_float32_with_many_rows_only():
    X, y = make_rows(300, 100)
    assert make_search(X.astype(np.float32), y, make_folds(300)).dtype == np.float32
    assert make_search(X, y, make_folds(300)).dtype == np.float64
    small = make_search(X[:100].astype(np.float32), y[:100], make_folds(100))
    assert small.dtype == np.float64
    assert small.fit(1.0).last_model().coef.dtype == np.float32


def test_float32_finds_the_optimum():
    X, y = make_rows(300, 400)
    fit = make_search(X.astype(np.float32), y, make_folds(300), tol=1e-6).fit(100.0)
    check_fit(fit, X, y, make_folds(300), atol=0.01)


def test_a_failed_line_search_keeps_the_point():
    """At a minimum that rounding hides, no step is taken, and the search ends."""
    X, y = make_rows()
    search = make_search(X, y, make_folds(60), tol=0.0)
    fit = search.fit(10.0)
    assert fit.n_iter < 1000
    assert fit.converged
    check_fit(fit, X, y, make_folds(60))


def test_is_declined_where_the_space_of_rows_is_no_help():
    X, y = make_rows()
    options = {"n_outputs": 3, "fit_intercept": True, "tol": 1e-3, "max_iter": 100}
    folds = make_folds(60)
    decide = KernelSearch.if_suitable
    assert decide(X, y, folds, 1000.0, **options) is not None
    assert decide(X[:, :10], y, folds, 1000.0, **options) is None  # few columns
    assert decide(X, np.eye(3)[y], folds, 1000.0, **options) is None  # soft targets
    assert decide(1e6 * X, y, folds, 1000.0, **options) is None  # rounding
    assert decide(2e5 * X, y, folds, 1000.0, **options) is None  # rounding of eigenvalues
    assert decide(X, y, folds * (np.arange(60) > 0)[:, None], 1000.0, **options) is None  # a row without weight
    many = sparse.random(2501, 3000, 0.001, format="csr", random_state=0)
    assert decide(many, np.arange(2501) % 3, np.ones((2501, 1)), 1.0, **options) is None


def test_rows_without_features_get_the_intercept():
    X, y = make_rows()
    X[:5] = 0
    fit = make_search(sparse.csr_matrix(np.where(X > 0, X, 0)), y, np.ones((60, 1))).fit(10.0)
    np.testing.assert_allclose(fit.scores[0, 0], fit.last_model().intercept, atol=1e-6)


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-8, 1e-3])
def test_features_so_small_that_the_penalty_hides_them(scale):
    X, y = make_rows()
    fits = list(make_search(scale * X, y, make_folds(60)).run(CS))
    assert all(fit.converged for fit in fits)
    for fit in fits:
        np.testing.assert_allclose(fit.scores, fits[0].scores, atol=0.02)
        if scale == 1e-3:
            check_fit(fit, scale * X, y, make_folds(60), atol=0.01)


def test_all_rows_equal():
    y = np.arange(30) % 3
    fit = make_search(np.ones((30, 40)), y, np.ones((30, 1))).fit(1000.0)
    np.testing.assert_allclose(fit.last_model().coef, 0, atol=1e-9)
    np.testing.assert_allclose(np.ptp(fit.scores[0, 0]), 0, atol=1e-3)


def test_features_that_are_all_alike_are_no_start():
    """Dual variables of the same scores would be so large there that only rounding errors are left of them."""
    X, y = make_rows()
    search = make_search(X, y, make_folds(60))
    fit, kernels = search.fit(10.0), search.rows.combine(search.scales)
    assert not fit.move_to(1e-12 * kernels).coords.any()
    np.testing.assert_allclose(fit.move_to(0.1 * kernels).coords, 10 * fit.points.coords)


def test_an_indefinite_matrix_has_no_inverse():
    with pytest.raises(np.linalg.LinAlgError, match="not positive definite"):
        kernel_lbfgs.invert(np.diag([1.0, -1.0]))


def count_evaluations(monkeypatch):
    """Return a list to which every evaluation of a loss adds an entry."""
    evaluated, evaluate = [], kernel_lbfgs.CrossEntropy.evaluate

    def count(loss, scores):
        evaluated.append(scores.shape)
        return evaluate(loss, scores)

    monkeypatch.setattr(kernel_lbfgs.CrossEntropy, "evaluate", count)
    return evaluated


def test_steps_are_as_long_as_the_curvature_along_the_last_one_says(monkeypatch):
    X, y = make_rows(240, 300, 4)
    search = make_search(X.astype(np.float32), y, make_folds(240), 4, tol=1e-3)
    before = search.fit(1000.0)  # separates the classes, so that the mean curvature of the rows is small there
    evaluated = count_evaluations(monkeypatch)
    fit = search.fit(10.0, [before])
    assert fit.n_iter <= 12  # 23, and 61 evaluations, at the mean curvature alone
    assert len(evaluated) <= 20


def test_steps_do_not_become_longer_than_the_mean_curvature_says():
    random = np.random.default_rng(0)
    frequencies = 8 / np.arange(1, 401)
    X = np.where(random.random((300, 400)) < frequencies, random.exponential(size=(300, 400)), 0)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    y = np.argmax(X[:, 5:9] + 0.02 * random.normal(size=(300, 4)), axis=1)
    X = X.astype(np.float32)
    blocks, scales = FeatureBlocks(X[:, :200], X[:, 200:]), [(0.25, 1.0), (1.0, 0.0)]
    search = make_search(blocks, y, make_folds(300), 4, tol=1e-3, block_scales=scales)
    fit = search.fit(1000.0, [search.fit(10.0)], 1)
    tight = make_search(blocks, y, make_folds(300), 4, block_scales=scales).fit(1000.0, scale_index=1)
    assert np.abs(fit.scores - tight.scores).max() < 10  # of up to 80; 1,000 and more otherwise


def test_hessians_that_are_hard_for_float32_are_inverted_in_float64():
    X, y = make_rows(300, 200)
    X = (X + 30 * X[:, :1]).astype(np.float32)
    search = make_search(X, y, make_folds(300), tol=1e-3)
    assert search.dtype == np.float32
    kernels = search.rows.combine(search.scales)
    state = kernel_lbfgs.State(kernels, search.folds, 1000.0, search.folds.zeros(1))
    hessian = float(state.curvature.item()) * kernels[0] + np.eye(300) / 1000.0
    exact = np.linalg.inv(hessian)
    assert np.linalg.norm(state.inverses[0] - exact) < 1e-5 * np.linalg.norm(exact)
