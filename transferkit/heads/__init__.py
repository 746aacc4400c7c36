"""Heads: estimators from features and labels to predictions."""

from typing import TYPE_CHECKING

from transferkit._lazy import import_when_asked

if TYPE_CHECKING:  # editors and type checkers do not follow __getattr__
    from transferkit._algorithms.feature_blocks import FeatureBlocks
    from transferkit.heads._logistic import LogisticHead
    from transferkit.heads._logistic_cv import LogisticHeadCV
    from transferkit.heads._mlp_classifier import MLPHeadClassifier
    from transferkit.heads._mlp_regressor import MLPHeadRegressor
    from transferkit.heads._ridge import RidgeHead

__getattr__, __dir__ = import_when_asked(
    __name__,
    {
        "FeatureBlocks": "transferkit._algorithms.feature_blocks",
        "LogisticHead": "._logistic",
        "LogisticHeadCV": "._logistic_cv",
        "MLPHeadClassifier": "._mlp_classifier",
        "MLPHeadRegressor": "._mlp_regressor",
        "RidgeHead": "._ridge",
    },
)

__all__ = ["FeatureBlocks", "LogisticHead", "LogisticHeadCV", "MLPHeadClassifier", "MLPHeadRegressor", "RidgeHead"]
