"""Heads: estimators from features and labels to predictions."""

from transferkit.heads._logistic import LogisticHead

__all__ = ["LogisticHead"]
