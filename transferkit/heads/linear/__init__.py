"""Linear heads: logistic regression and ridge regression."""

from typing import TYPE_CHECKING

from transferkit._lazy import import_when_asked

if TYPE_CHECKING:  # editors and type checkers do not follow __getattr__
    from transferkit.heads.linear._linear_classifier import warn_not_converged
    from transferkit.heads.linear._logistic import read_targets, weigh_targets
    from transferkit.heads.linear._logistic_cv import read_candidates
    from transferkit.heads.linear._prior import FrozenParametersMixin, match_prior

__getattr__, __dir__ = import_when_asked(
    __name__,
    {
        "FrozenParametersMixin": "._prior",
        "match_prior": "._prior",
        "read_candidates": "._logistic_cv",
        "read_targets": "._logistic",
        "warn_not_converged": "._linear_classifier",
        "weigh_targets": "._logistic",
    },
)

__all__ = [
    "FrozenParametersMixin",
    "match_prior",
    "read_candidates",
    "read_targets",
    "warn_not_converged",
    "weigh_targets",
]
