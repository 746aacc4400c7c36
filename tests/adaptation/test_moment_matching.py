"""CORAL and linear transport: moments match, formulas agree, bad input is named."""

import numpy as np
import pytest
from scipy import linalg, sparse

from transferkit import CORAL, DomainTransferClassifier, LinearTransport

RNG = np.random.default_rng(0)
SOURCE = RNG.normal(size=(300, 6)) @ RNG.normal(size=(6, 6)) + 1
TARGET = RNG.normal(size=(250, 6)) @ RNG.normal(size=(6, 6)) - 2
X = np.vstack([SOURCE, TARGET])
DOMAIN = np.repeat([1, -2], [300, 250])
MATCHERS = [CORAL, LinearTransport]


def covariance(rows):
    return np.cov(rows.T, bias=True)


def root(matrix, exponent=0.5):
    values, vectors = linalg.eigh(matrix)
    return (vectors * values**exponent) @ vectors.T


@pytest.mark.parametrize("cls", MATCHERS)
def test_source_gets_the_moments_of_the_target(cls):
    mapped = cls(shrinkage=None).fit_transform(X, sample_domain=DOMAIN)
    np.testing.assert_allclose(mapped[:300].mean(0), TARGET.mean(0), atol=1e-10)
    np.testing.assert_allclose(covariance(mapped[:300]), covariance(TARGET), atol=1e-8)


@pytest.mark.parametrize("cls", MATCHERS)
def test_target_rows_stay_as_they_are(cls):
    matcher = cls().fit(X, sample_domain=DOMAIN)
    np.testing.assert_array_equal(matcher.transform(TARGET), TARGET)
    np.testing.assert_array_equal(matcher.transform(X, sample_domain=DOMAIN)[300:], TARGET)


def test_coral_is_its_formula():
    shrunk = [0.8 * covariance(rows) + 0.2 * np.trace(covariance(rows)) / 6 * np.eye(6) for rows in (SOURCE, TARGET)]
    expected = (SOURCE - SOURCE.mean(0)) @ root(shrunk[0], -0.5) @ root(shrunk[1]) + TARGET.mean(0)
    mapped = CORAL(shrinkage=0.2).fit_transform(X, sample_domain=DOMAIN)
    np.testing.assert_allclose(mapped[:300], expected, rtol=1e-8, atol=1e-8)


def test_transport_is_its_formula():
    Cs, Ct = (covariance(rows) + 0.1 * np.eye(6) for rows in (SOURCE, TARGET))
    half = root(Cs)
    A = linalg.inv(half) @ root(half @ Ct @ half) @ linalg.inv(half)
    expected = (SOURCE - SOURCE.mean(0)) @ A + TARGET.mean(0)
    mapped = LinearTransport(shrinkage=None, ridge=0.1).fit_transform(X, sample_domain=DOMAIN)
    np.testing.assert_allclose(mapped[:300], expected, rtol=1e-8, atol=1e-8)


def test_automatic_shrinkage_is_that_of_ledoit_and_wolf():
    from sklearn.covariance import ledoit_wolf

    found = CORAL().fit(X, sample_domain=DOMAIN).shrinkage_
    np.testing.assert_allclose(found, [ledoit_wolf(rows)[1] for rows in (SOURCE, TARGET)], rtol=1e-10)


@pytest.mark.parametrize("cls", MATCHERS)
def test_span_of_few_rows_gives_what_all_features_give(cls, monkeypatch):
    rows = RNG.normal(size=(50, 200)) * np.linspace(0.1, 3, 200)
    domain = np.repeat([1, -1], 25)
    matcher = cls(shrinkage=0.3).fit(rows, sample_domain=domain)
    assert matcher.basis_.shape == (200, 48)
    assert matcher.matrix_.shape == (48, 48)
    monkeypatch.setattr("transferkit.adaptation._moment_matching.find_joint_basis", lambda *_: None)
    full = cls(shrinkage=0.3).fit(rows, sample_domain=domain)
    assert full.matrix_.shape == (200, 200)
    new = RNG.normal(size=(5, 200))  # with a part outside of the span
    ones = np.ones(5)
    expected = full.transform(new, sample_domain=ones)
    np.testing.assert_allclose(matcher.transform(new, sample_domain=ones), expected, atol=1e-9)


@pytest.mark.parametrize("cls", MATCHERS)
def test_many_features_make_no_square_matrix(cls):
    rows = RNG.normal(size=(30, 25_000)).astype(np.float32)  # 2.5 GB, if they did
    matcher = cls().fit(rows, sample_domain=np.repeat([1, -1], 15))
    assert max(matcher.matrix_.size, matcher.basis_.size) < 1e6
    assert matcher.transform(rows, sample_domain=np.ones(30)).dtype == np.float32


def test_leading_directions_of_many_rows(monkeypatch):
    monkeypatch.setattr("transferkit._algorithms.linalg.moments.MOST_SPAN_ROWS", 20)
    monkeypatch.setattr("transferkit._algorithms.linalg.moments.N_LEADING", 10)
    rows = (RNG.normal(size=(60, 5)) @ RNG.normal(size=(5, 100)) + 0.01 * RNG.normal(size=(60, 100))).astype(np.float32)
    domain = np.repeat([1, -1], 30)
    leading = CORAL(shrinkage=0.05).fit(rows, sample_domain=domain)
    assert leading.basis_.shape == (100, 10)
    monkeypatch.undo()
    exact = CORAL(shrinkage=0.05).fit_transform(rows, sample_domain=domain)
    np.testing.assert_allclose(leading.transform(rows, sample_domain=domain), exact, atol=0.1)


@pytest.mark.parametrize("cls", MATCHERS)
def test_diagonal_keeps_sparse_rows_sparse(cls):
    rows = sparse.random(100, 40, 0.2, format="csr", random_state=0)
    domain = np.repeat([1, -1], 50)
    matcher = cls(covariance="diagonal", centre=False).fit(rows, sample_domain=domain)
    mapped = matcher.transform(rows[:50], sample_domain=np.ones(50))
    assert sparse.issparse(mapped)
    goal = np.asarray(rows[50:].multiply(rows[50:]).mean(0)).ravel()
    seen = np.asarray(rows[:50].sum(0)).ravel() > 0
    np.testing.assert_allclose(np.asarray(mapped.multiply(mapped).mean(0)).ravel()[seen], goal[seen])
    with pytest.raises(ValueError, match="cannot centre sparse rows"):
        cls(covariance="diagonal").fit(rows, sample_domain=domain)
    with pytest.raises(TypeError, match="maps sparse rows to dense ones"):
        cls().fit(rows, sample_domain=domain)


def test_diagonal_matches_variances():
    mapped = CORAL(covariance="diagonal").fit_transform(X, sample_domain=DOMAIN)
    np.testing.assert_allclose(mapped[:300].std(0), TARGET.std(0))
    np.testing.assert_allclose(mapped[:300].mean(0), TARGET.mean(0))


@pytest.mark.parametrize("reflection", [True, "auto"])
@pytest.mark.parametrize("kind", ["full", "diagonal"])
def test_reflection_undoes_inverted_contrast(reflection, kind):
    rows = RNG.exponential(size=(2000, 3))
    transport = LinearTransport(covariance=kind, shrinkage=None, reflection=reflection)
    transport.fit(np.vstack([rows, 5 - rows]), sample_domain=np.repeat([1, -1], 2000))
    assert transport.reflected_
    np.testing.assert_allclose(transport.transform(rows, sample_domain=np.ones(2000)), 5 - rows, atol=1e-8)


def test_nothing_is_reflected_without_evidence():
    assert not LinearTransport(reflection="auto").fit(X, sample_domain=DOMAIN).reflected_  # Gaussian: no third moments
    skewed = RNG.exponential(size=(400, 3))
    assert not LinearTransport(reflection="auto").fit(skewed, sample_domain=np.repeat([1, -1], 200)).reflected_


@pytest.mark.parametrize("cls", MATCHERS)
def test_singular_covariance_is_regularised_with_a_warning(cls):
    rows = X.copy()
    rows[:, 5] = rows[:, 4]
    with pytest.warns(UserWarning, match="covariance of the (source|target) rows is singular"):
        mapped = cls(shrinkage=None).fit_transform(rows, sample_domain=DOMAIN)
    assert np.isfinite(mapped).all()


def test_without_centring_means_count_as_zero():
    matcher = CORAL(shrinkage=None, centre=False).fit(X, sample_domain=DOMAIN)
    mapped = matcher.transform(SOURCE, sample_domain=np.ones(300))
    np.testing.assert_allclose(mapped.T @ mapped / 300, TARGET.T @ TARGET / 250, atol=1e-8)


@pytest.mark.parametrize("cls", MATCHERS)
def test_rows_that_do_not_vary_are_refused(cls):
    with pytest.raises(ValueError, match=r"and so are all rows of the target\. Got 1 and 1 of them"):
        cls().fit(np.eye(2, 6), sample_domain=[1, -1])


def test_warning_names_the_line_of_the_user_however_deep_the_call():
    rows = X.copy()
    rows[:, 5] = rows[:, 4]
    labels = np.arange(len(SOURCE)) % 2
    model = DomainTransferClassifier(adaptation=CORAL(shrinkage=None))
    with pytest.warns(UserWarning, match="singular") as caught:
        model.fit(rows[: len(SOURCE)], labels, X_target=rows[len(SOURCE) :])
    assert {warning.filename for warning in caught} == {__file__}
