"""Heads: estimators from features and labels to predictions."""

from transferkit._algorithms.feature_blocks import FeatureBlocks
from transferkit.heads._logistic import LogisticHead
from transferkit.heads._logistic_cv import LogisticHeadCV
from transferkit.heads._mlp_classifier import MLPHeadClassifier
from transferkit.heads._mlp_regressor import MLPHeadRegressor
from transferkit.heads._ridge import RidgeHead

__all__ = ["FeatureBlocks", "LogisticHead", "LogisticHeadCV", "MLPHeadClassifier", "MLPHeadRegressor", "RidgeHead"]
