"""Each method does what its paper says, on cases worked out another way."""

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import minimize
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics.pairwise import rbf_kernel as sklearn_rbf

from transferkit import ImportanceWeighting, MarginalizedDenoising, StructuralCorrespondence, SubspaceAlignment
from transferkit._algorithms.domains.both_domains import for_both, symmetric_power
from transferkit._algorithms.domains.importance_weights import (
    effective_sample_size,
    entry_variance,
    fit_kliep,
    fit_kmm,
    fit_odds,
    mean_kernel,
    rbf_kernel,
)
from transferkit._algorithms.domains.marginalized_denoising import fit_layer
from transferkit._algorithms.domains.pivots import choose_pivots, find_correspondences, mutual_information

RNG = np.random.default_rng(0)
SOURCE, TARGET = RNG.normal(size=(60, 2)), RNG.normal(size=(50, 2)) * 0.5 + 1
X, DOMAIN = np.vstack([SOURCE, TARGET]), np.repeat([1, -1], [60, 50])


@pytest.mark.parametrize("shape", [(40, 30, 6), (8, 9, 30)])
def test_subspace_alignment_is_its_formula(shape):
    n_source, n_target, n_features = shape
    rows = RNG.normal(size=(n_source + n_target, n_features)) * np.linspace(1, 3, n_features)
    domain = np.repeat([1, -1], [n_source, n_target])
    mapped = SubspaceAlignment(3).fit_transform(rows, sample_domain=domain)
    source, target = (PCA(3).fit(part) for part in (rows[:n_source], rows[n_source:]))
    expected = source.transform(rows[:n_source]) @ source.components_ @ target.components_.T
    signs = np.sign((mapped[n_source:] * target.transform(rows[n_source:])).sum(0))
    np.testing.assert_allclose(mapped[:n_source], expected * signs, atol=1e-8)
    np.testing.assert_allclose(mapped[n_source:], target.transform(rows[n_source:]) * signs, atol=1e-8)


def test_logistic_weights_are_the_odds():
    weighting = ImportanceWeighting(C=2.0).fit(X, sample_domain=DOMAIN)
    trusted = LogisticRegression(C=2.0, tol=1e-8).fit(X, DOMAIN < 0)
    odds = np.exp(trusted.decision_function(SOURCE))
    np.testing.assert_allclose(weighting.sample_weight_[:60], odds / odds.mean(), rtol=0.02)
    assert not weighting.sample_weight_[60:].any()
    np.testing.assert_allclose(weighting.compute_weights(SOURCE), weighting.sample_weight_[:60])


@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_matrix])
def test_steps_of_the_odds_are_bounded(convert):
    rows = convert(RNG.normal(size=(200, 30)) * np.logspace(0, 2, 30))
    domain = np.repeat([1, -1], 100)
    with pytest.warns(ConvergenceWarning, match="method='logistic' did not converge in max_iter=1 steps"):
        few = ImportanceWeighting(max_iter=1).fit(rows, sample_domain=domain)
    enough = ImportanceWeighting(max_iter=500).fit(rows, sample_domain=domain)
    assert np.abs(few.coef_ - enough.coef_).max() > 0.01 * np.abs(enough.coef_).max()


def test_the_classifier_of_domains_is_that_of_scikit_learn():
    rows = RNG.normal(size=(400, 120)) @ RNG.normal(size=(120, 120)) + 1000
    rows[250:] += RNG.normal(size=120)
    coef, intercept, converged = fit_odds(rows[:250], rows[250:], 0.1, tol=1e-6, max_iter=200)
    assert converged
    trusted = LogisticRegression(C=0.1, tol=1e-8, max_iter=10_000).fit(rows - rows.mean(0), np.arange(400) >= 250)
    expected = trusted.decision_function(rows - rows.mean(0))
    assert np.abs(rows @ coef + intercept - expected).mean() < 0.02 * np.abs(expected).mean()


def test_kmm_reaches_the_optimum_of_the_quadratic_programme():
    kernel, cross = sklearn_rbf(SOURCE, gamma=0.5), sklearn_rbf(SOURCE, TARGET, gamma=0.5)
    kappa = 60 * cross.mean(1)
    weights, converged = fit_kmm(kernel, kappa, bound=5.0, slack=0.2, tol=1e-9, max_iter=20_000)
    assert converged

    def objective(w):
        return w @ kernel @ w / 2 - kappa @ w

    trusted = minimize(
        objective,
        np.ones(60),
        jac=lambda w: kernel @ w - kappa,
        bounds=[(0, 5)] * 60,
        constraints=[
            {"type": "ineq", "fun": lambda w: 72 - w.sum(), "jac": lambda w: -np.ones(60)},
            {"type": "ineq", "fun": lambda w: w.sum() - 48, "jac": lambda w: np.ones(60)},
        ],
        method="SLSQP",
        options={"maxiter": 1000, "ftol": 1e-12},
    )
    assert (weights >= 0).all()
    assert (weights <= 5).all()
    assert 48 - 1e-6 <= weights.sum() <= 72 + 1e-6
    assert objective(weights) <= trusted.fun + 1e-5 * abs(trusted.fun)


def test_kliep_reaches_the_optimum():
    centres = TARGET[:8]
    kernel, means = rbf_kernel(TARGET, centres, 0.7), rbf_kernel(SOURCE, centres, 0.7).mean(0)
    coefficients, converged = fit_kliep(kernel, means, tol=1e-7, max_iter=10_000)
    assert converged
    assert means @ coefficients == pytest.approx(1)
    trusted = minimize(
        lambda a: -np.log(kernel @ a).mean(),
        np.full(8, 1 / means.sum()),
        bounds=[(0, None)] * 8,
        constraints={"type": "eq", "fun": lambda a: means @ a - 1},
        method="SLSQP",
        options={"maxiter": 1000, "ftol": 1e-14},
    )
    assert np.log(kernel @ coefficients).mean() == pytest.approx(-trusted.fun, abs=1e-6)


def test_kernel_is_scikit_learns():
    trusted = sklearn_rbf(SOURCE, TARGET, gamma=0.3)
    np.testing.assert_allclose(rbf_kernel(SOURCE, TARGET, 0.3), trusted)
    np.testing.assert_allclose(mean_kernel(SOURCE, TARGET, 0.3), trusted.mean(1))
    assert entry_variance((SOURCE, TARGET)) == pytest.approx(X.var())


@pytest.mark.parametrize("method", ["logistic", "kliep", "kmm"])
def test_weights_bring_the_source_mean_to_the_target(method):
    weighting = ImportanceWeighting(method, tol=1e-4).fit(X, sample_domain=DOMAIN)
    weights = weighting.sample_weight_[:60]
    assert weights.mean() == pytest.approx(1)
    before = np.linalg.norm(SOURCE.mean(0) - TARGET.mean(0))
    assert np.linalg.norm(np.average(SOURCE, axis=0, weights=weights) - TARGET.mean(0)) < before / 2
    assert weighting.effective_sample_size_ == pytest.approx(effective_sample_size(weights))


def test_weights_that_rest_on_few_rows_are_warned_of():
    far = np.vstack([SOURCE, SOURCE[:1] + 6 + 0.01 * RNG.normal(size=(50, 2))])
    with pytest.warns(UserWarning, match=r"effective sample size is .* of 60 source rows"):
        ImportanceWeighting(C=1e4).fit(far, sample_domain=DOMAIN)


def test_domains_that_are_worlds_apart_are_weighted_all_the_same():
    weights = ImportanceWeighting().fit(np.vstack([SOURCE, TARGET + 1e9]), sample_domain=DOMAIN).sample_weight_
    assert np.isfinite(weights).all()


def test_kmm_knows_no_other_rows():
    with pytest.raises(ValueError, match="defines weights for the source rows of fit only"):
        ImportanceWeighting("kmm", tol=1e-3).fit(X, sample_domain=DOMAIN).compute_weights(SOURCE)


def test_kliep_without_overlap_is_refused():
    with pytest.raises(ValueError, match="No source row is near a centre"):
        ImportanceWeighting("kliep", gamma=10.0).fit(np.vstack([SOURCE, TARGET + 100]), sample_domain=DOMAIN)


def test_effective_sample_size_counts_equal_weights():
    assert effective_sample_size(np.full(7, 3.0)) == pytest.approx(7)
    assert effective_sample_size(np.array([1.0, 0, 0])) == pytest.approx(1)


def test_mutual_information_is_scikit_learns():
    from sklearn.feature_selection import mutual_info_classif

    rows = (RNG.random((80, 5)) < [0.1, 0.3, 0.5, 0.9, 0]).astype(float)
    labels = RNG.integers(0, 3, 80)
    trusted = mutual_info_classif(rows, labels, discrete_features=True)
    np.testing.assert_allclose(mutual_information(rows, labels), trusted, atol=1e-10)


def test_pivots_are_frequent_in_both_domains_and_tell_of_labels():
    labels = np.repeat([0, 1], 10)
    source = np.c_[labels, labels, np.ones(20), RNG.integers(0, 2, 20)].astype(float)
    target = source[::-1].copy()
    target[:, 1] = 0  # not in the target
    np.testing.assert_array_equal(choose_pivots(source, target, labels, 1, 3), [0])


@pytest.mark.parametrize("n_rows", [30, 6])
def test_correspondences_are_singular_vectors_of_ridge_predictors(n_rows):
    rows = RNG.random((n_rows, 8)) * (RNG.random((n_rows, 8)) < 0.6)
    pivots = np.array([1, 4, 6])
    others = np.setdiff1d(np.arange(8), pivots)
    alpha = 0.5
    present = (rows[:, pivots] != 0).astype(float)
    penalty = alpha * np.square(rows[:, others]).sum() / n_rows
    ridge = Ridge(penalty, fit_intercept=False).fit(rows[:, others], present - present.mean(0))
    expected = np.linalg.svd(ridge.coef_.T, full_matrices=False)[0][:, :2]
    found = find_correspondences(rows, pivots, 2, alpha)
    assert not found[pivots].any()
    np.testing.assert_allclose(np.abs(expected.T @ found[others]), np.eye(2), atol=1e-7)


def test_conjugate_gradients_agree_with_the_factorisation(monkeypatch):
    rows = RNG.random((40, 12)) * (RNG.random((40, 12)) < 0.6)
    exact = find_correspondences(rows, np.arange(4), 3, 0.5)
    monkeypatch.setattr("transferkit._algorithms.domains.pivots.MOST_UNKNOWNS", 1)
    np.testing.assert_allclose(find_correspondences(rows, np.arange(4), 3, 0.5), exact, atol=1e-5)


def test_no_pivots_are_refused():
    with pytest.raises(ValueError, match="No feature occurs in min_count=100 rows"):
        StructuralCorrespondence(min_count=100).fit(X, sample_domain=DOMAIN)


def test_added_features_have_the_length_asked_for():
    rows = np.abs(RNG.normal(size=(60, 8)))
    adaptation = StructuralCorrespondence(4, 2, scale=3.0)
    mapped = adaptation.fit_transform(rows, sample_domain=np.repeat([1, -1], 30))
    assert np.square(mapped[:, 8:]).sum() == pytest.approx(9 * np.square(rows).sum())


def test_denoising_layer_is_the_mean_over_many_corruptions():
    rows = RNG.random((12, 4))
    weights, intercept = fit_layer(rows, np.arange(4), 0.3)
    copies = np.tile(rows, (20_000, 1))
    lost = copies * (RNG.random(copies.shape) < 0.7)
    design = np.c_[lost, np.ones(len(lost))]
    gram = design.T @ design / 20_000
    gram.flat[::6] += 1e-3 * np.square(rows).sum(0).mean()
    expected = np.linalg.solve(gram, design.T @ copies / 20_000)
    np.testing.assert_allclose(np.vstack([weights, intercept]), expected, atol=0.02)


@pytest.mark.parametrize("to_rows", [np.asarray, sparse.csr_matrix])
def test_denoising_keeps_the_rows_when_asked(to_rows):
    rows = to_rows(np.abs(RNG.normal(size=(40, 6))))
    kept = MarginalizedDenoising(2, 3, keep_input=True).fit(rows, sample_domain=np.repeat([1, -1], 20))
    alone = MarginalizedDenoising(2, 3).fit(rows, sample_domain=np.repeat([1, -1], 20))
    mapped = kept.transform(rows)
    assert sparse.issparse(mapped) == sparse.issparse(rows)
    mapped, rows = (X.toarray() if sparse.issparse(X) else X for X in (mapped, rows))
    np.testing.assert_allclose(mapped, np.hstack([rows, alone.transform(rows)]))
    assert len(kept.get_feature_names_out()) == mapped.shape[1] == 12


@pytest.mark.parametrize("size", [10, 150, 5000])
def test_both_domains_at_once_come_back_in_order(size):
    matrices = [np.diag(np.linspace(1, 2, 150)), np.diag(np.linspace(3, 4, 150))]
    roots = for_both(size, symmetric_power, (matrices[0], 0.5), (matrices[1], -0.5))
    np.testing.assert_allclose(np.diag(roots[0]) ** 2, np.linspace(1, 2, 150))
    np.testing.assert_allclose(np.diag(roots[1]) ** -2, np.linspace(3, 4, 150))


def test_errors_of_the_other_thread_are_raised():
    with pytest.raises(np.linalg.LinAlgError):
        for_both(150, np.linalg.cholesky, (np.eye(150),), (-np.eye(150),))


def test_denoising_looks_at_the_most_frequent_features_only():
    rows = np.abs(RNG.normal(size=(40, 6))) * (RNG.random((40, 6)) < [0.2, 0.9, 0.3, 0.8, 0.1, 0.7])
    adaptation = MarginalizedDenoising(2, 2, max_features=3).fit(rows, sample_domain=np.repeat([1, -1], 20))
    assert set(adaptation.features_) == {1, 3, 5}
    assert adaptation.transform(rows).shape == (40, 4)
    assert np.square(adaptation.transform(rows)).sum(1).mean() == pytest.approx(1)


@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_matrix])
def test_denoising_of_rows_of_zeros_is_zero(convert):
    rows = convert(np.zeros((6, 3), np.float32))
    found = MarginalizedDenoising().fit_transform(rows, sample_domain=[1, 1, 1, -1, -1, -1])
    np.testing.assert_array_equal(found, np.zeros((6, 9)))
