"""Several source domains, weighted by their resemblance to the target."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from transferkit import DomainTransferClassifier, DomainWeighting, LogisticHead

RNG = np.random.default_rng(0)
NUMBERS = np.repeat([7, 2, 5], [100, 200, 100])  # of the source domains
DOMAIN = np.concatenate([NUMBERS, np.full(150, -1)])
EQUAL = RNG.normal(size=(550, 4))
FAR = EQUAL + 5 * np.outer(DOMAIN == 5, [1, 1, 0, 0])  # domain 5 resembles no other


@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_matrix])
def test_sources_that_are_alike_have_equal_weights(convert):
    weighting = DomainWeighting().fit(convert(EQUAL), sample_domain=DOMAIN)
    assert weighting.domains_.tolist() == [2, 5, 7]
    np.testing.assert_allclose(weighting.domain_weights_, 1, atol=0.1)


@pytest.mark.parametrize("estimator", [None, LinearDiscriminantAnalysis()], ids=str)
def test_a_source_unlike_the_target_has_no_weight(estimator):
    weighting = DomainWeighting(estimator).fit(FAR, sample_domain=DOMAIN)
    assert weighting.domain_weights_[1] < 0.01
    np.testing.assert_allclose(weighting.domain_weights_[[0, 2]], 4 / 3, atol=0.1)
    for number, weight in zip(weighting.domains_, weighting.domain_weights_, strict=True):
        np.testing.assert_array_equal(weighting.sample_weight_[number == DOMAIN], weight)
    assert weighting.sample_weight_[:400].mean() == pytest.approx(1)
    assert not weighting.sample_weight_[400:].any()
    assert weighting.effective_sample_size_ == pytest.approx(300, abs=5)


def test_a_source_that_is_nearer_counts_more_and_others_still_count():
    rows = EQUAL + np.outer((DOMAIN == 5) * 1 - (DOMAIN == 7), [1, 0, 0, 0]) + np.outer(DOMAIN == -1, [0.8, 0, 0, 0])
    weights = DomainWeighting().fit(rows, sample_domain=DOMAIN).domain_weights_
    assert weights[1] > 1.4 > weights[0] > weights[2] > 0.2  # positions -1, 0 and 1 of the sources, 0.8 of the target


def test_the_transfer_classifier_learns_from_sources_like_the_target():
    X, X_target = FAR[:400], FAR[400:]
    y = (X[:, 2] > 0) ^ (NUMBERS == 5)  # the classes of domain 5 are other ones
    settings = {"head": LogisticHead(1.0, fit_intercept=False), "adaptation": DomainWeighting()}
    model = DomainTransferClassifier(**settings).fit(X, y, X_target=X_target, sample_domain=NUMBERS)
    alone = LogisticHead(1.0, fit_intercept=False).fit(X[NUMBERS != 5], y[NUMBERS != 5])
    np.testing.assert_allclose(model.head_.coef_, alone.coef_, rtol=0.2, atol=0.3)
    assert model.score(X_target, X_target[:, 2] > 0) > 0.95
    assert model.adaptation_.domains_.tolist() == [2, 5, 7]


def test_one_source_is_refused_and_changes_nothing():
    weighting = DomainWeighting().fit(FAR, sample_domain=DOMAIN)
    state = dict(vars(weighting))
    message = r"several source domains: different numbers larger than 0 in 'sample_domain'. Got 1.* for all source rows"
    with pytest.raises(ValueError, match=message):
        weighting.fit(FAR, sample_domain=np.sign(DOMAIN))
    assert vars(weighting) == state
    with pytest.raises(ValueError, match=message):
        DomainTransferClassifier(adaptation=weighting).fit(FAR[:400], NUMBERS, X_target=FAR[400:])
