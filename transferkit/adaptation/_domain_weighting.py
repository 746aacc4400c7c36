"""Weighting of several source domains by their resemblance to the target."""

from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from transferkit._types import Predictor
from transferkit._validation import HasMethods
from transferkit.adaptation._held_out import fit_and_predict
from transferkit.adaptation._source_weighting import SourceWeighting

__all__ = ["DomainWeighting"]


class DomainWeighting(SourceWeighting):
    """Weight each of several source domains by its resemblance to the target.

    The source domains have different positive numbers in `sample_domain`. A classifier is trained to distinguish them.
    The weight of a domain is the mean probability that a target row belongs to it, relative to its share of the source
    rows. Domains that cannot be distinguished have equal weights, and one that no target row resembles has a
    weight near zero. Rows are passed through unchanged; the weights are for the `sample_weight` of a head.

    Parameters
    ----------
    estimator : classifier with predict_proba, default=None
        Classifier that distinguishes the source domains; it is cloned. None is logistic regression.

    Attributes
    ----------
    domains_ : ndarray of shape (n_domains,)
        Numbers of the source domains, sorted.
    domain_weights_ : ndarray of shape (n_domains,)
        Their weights.
    sample_weight_ : ndarray of shape (n_samples,)
        Weight of each row of `fit`, in its order: mean 1 over source rows, 0 for target rows.
    effective_sample_size_ : float
        Kish's effective sample size (sum w)^2 / sum w^2 of the source rows.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if `fit` saw names that are all strings.

    See Also
    --------
    ImportanceWeighting : Weights single source rows.
    DomainTransferClassifier : Trains a head with these weights.

    Notes
    -----
    The target is modelled as a mixture of the source domains, whose proportions are estimated by a single step of
    expectation-maximisation [1]_ from those in the source. Further steps lead to the proportions of maximum likelihood,
    which often leave a single source, whereas more labels of less similar sources are better than none.

    Weights are estimated from features alone: a source whose labels are wrong gets no smaller weight.

    References
    ----------
    .. [1] M. Saerens, P. Latinne, C. Decaestecker, "Adjusting the outputs of a classifier to new a priori
       probabilities: a simple procedure", Neural Computation 14 (2002), 21-41.

    Examples
    --------
    >>> import numpy as np
    >>> from transferkit import DomainWeighting
    >>> X = np.repeat([0.0, 5.0, 5.0], 20)[:, None]
    >>> weighting = DomainWeighting().fit(X, sample_domain=np.repeat([1, 2, -1], 20))  # two sources, and the target
    >>> weighting.domain_weights_.round(1)
    array([0., 2.])
    """

    fitted_attributes = ("domain_weights_", "domains_")
    _advice = "Most of the weight is on a source domain with few rows: label more of them, or use no weights."

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict_proba"]), None],
    }

    def __init__(self, estimator: Predictor | None = None) -> None:
        self.estimator = estimator

    def fit(self, X, y=None, *, sample_domain: ArrayLike | None = None) -> Self:
        """Estimate the weights.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows of the source domains and of the target domain, in any order.
        y : ignored
            Here for scikit-learn's API.
        sample_domain : array-like of shape (n_samples,)
            Domain of each row: a number larger than 0 for each source domain, less than 0 for the target.

        Returns
        -------
        self : DomainWeighting
            The fitted estimator.
        """
        return super().fit(X, sample_domain, sample_domain=sample_domain)

    def _learn(self, source, target, y):
        domains, numbers, counts = np.unique(y, return_inverse=True, return_counts=True)
        if len(domains) < 2:
            raise ValueError(
                "DomainWeighting needs several source domains: different numbers larger than 0 in 'sample_domain'. Got "
                f"{domains[0].item()!r} for all source rows."
            )
        weights = fit_and_predict(self.estimator, source, numbers, target).mean(0) * counts.sum() / counts
        return {"domains_": domains, "domain_weights_": weights, "sample_weight_": weights[numbers]}
