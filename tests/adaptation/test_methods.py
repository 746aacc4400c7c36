"""Each method does what its paper says, on cases worked out another way."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from transferkit import ImportanceWeighting, MarginalizedDenoising, StructuralCorrespondence, SubspaceAlignment
from transferkit._algorithms.domains.importance_weights import (
    effective_sample_size,
)

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


def test_no_pivots_are_refused():
    with pytest.raises(ValueError, match="No feature occurs in min_count=100 rows"):
        StructuralCorrespondence(min_count=100).fit(X, sample_domain=DOMAIN)


def test_added_features_have_the_length_asked_for():
    rows = np.abs(RNG.normal(size=(60, 8)))
    adaptation = StructuralCorrespondence(4, 2, scale=3.0)
    mapped = adaptation.fit_transform(rows, sample_domain=np.repeat([1, -1], 30))
    assert np.square(mapped[:, 8:]).sum() == pytest.approx(9 * np.square(rows).sum())


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
