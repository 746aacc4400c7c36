"""Base class of adaptations that leave features unchanged and weight the rows of the source."""

import warnings
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import OneToOneFeatureMixin

from transferkit._algorithms.domains.importance_weights import effective_sample_size
from transferkit.adaptation._base import DomainTransformer, LinearOnTargetMixin
from transferkit.exceptions import count_inner_frames

__all__ = ["SourceWeighting"]

FEWEST_EFFECTIVE = 0.05  # of the source rows


class SourceWeighting(OneToOneFeatureMixin, LinearOnTargetMixin, DomainTransformer):
    """Base class of adaptations that give each source row a weight, for the `sample_weight` of a head.

    `_learn` returns `sample_weight_` with one weight per source row.
    """

    fitted_attributes = ("effective_sample_size_", "sample_weight_")
    _advice = ""  # what to do if the weights are dominated by few rows

    def fit(self, X, y=None, *, sample_domain: ArrayLike | None = None) -> Self:
        """Estimate the weights.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows of the source and of the target domain, in any order.
        y : array-like of shape (n_samples,), default=None
            Labels. Only labels of source rows are used, and only by methods that document it.
        sample_domain : array-like of shape (n_samples,)
            Domain of each row: larger than 0 for the source, less than 0 for the target.

        Returns
        -------
        self : SourceWeighting
            The fitted estimator.
        """
        super().fit(X, y, sample_domain=sample_domain)
        is_source = np.asarray(sample_domain) > 0
        weights = np.zeros(len(is_source))
        weights[is_source] = self.sample_weight_
        self.sample_weight_ = weights
        n_source = int(is_source.sum())
        self.effective_sample_size_ = effective_sample_size(weights)
        if self.effective_sample_size_ < FEWEST_EFFECTIVE * n_source:
            self._warn_dominated(n_source)
        return self

    def _warn_dominated(self, n_source):
        size = self.effective_sample_size_
        warnings.warn(
            f"The weights are dominated by few rows: the effective sample size is {size:.1f} of {n_source} source rows "
            f"({size / n_source:.1%}). {self._advice}",
            UserWarning,
            stacklevel=count_inner_frames(),
        )
