"""Linear heads: logistic regression and ridge regression with the optima of scikit-learn, in NumPy once fitted.

`LogisticHead` minimises C * loss + ||coef - prior||^2 / 2, the loss being the cross-entropy of the softmax, or of one
sigmoid per label. `LogisticHeadCV` fits all values of C and all folds of a cross-validation together, and keeps the
best model or an average of models. `RidgeHead` does the same for the squared error, with leave-one-out errors in closed
form.

C              inverse regularisation strength, as in scikit-learn
prior          weights of a source model that the penalty pulls to (L2-SP), matched by feature name and by label
block scales   factors of the blocks of `FeatureBlocks`, and so of their penalties; zero leaves a block out
candidate      one C with one choice of block scales
labels         class numbers, or indicators of several labels per sample, each of which has a classifier of its own

_logistic, _ridge      the estimators, which encode labels, weight samples and call `_training.linear`
_logistic_cv           the search; _search_table: its candidates as the table of a GridSearchCV
evaluation             scores of held-out samples, of folds that may lack a class; weights of averaged candidates
_linear_classifier     predictions of linear classifiers, labels, weights of samples, checks of parameters
_prior                 matching of a source model by the names of features and classes
"""

from typing import TYPE_CHECKING

from transferkit._lazy import import_when_asked

if TYPE_CHECKING:  # editors and type checkers do not follow __getattr__
    from transferkit.heads.linear._linear_classifier import compute_sample_weights, encode_labels, warn_not_converged
    from transferkit.heads.linear._logistic_cv import read_candidates
    from transferkit.heads.linear._prior import match_prior

__getattr__, __dir__ = import_when_asked(
    __name__,
    {
        "compute_sample_weights": "._linear_classifier",
        "encode_labels": "._linear_classifier",
        "match_prior": "._prior",
        "read_candidates": "._logistic_cv",
        "warn_not_converged": "._linear_classifier",
    },
)

__all__ = [
    "compute_sample_weights",
    "encode_labels",
    "match_prior",
    "read_candidates",
    "warn_not_converged",
]
