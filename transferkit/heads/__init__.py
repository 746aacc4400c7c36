"""Heads: estimators from features and labels to predictions."""

from transferkit.heads._logistic import LogisticHead
from transferkit.heads._logistic_cv import LogisticHeadCV

__all__ = ["LogisticHead", "LogisticHeadCV"]
