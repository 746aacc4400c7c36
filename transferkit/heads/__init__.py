"""Heads: estimators from features and labels to predictions."""

from typing import TYPE_CHECKING

from transferkit._lazy import import_when_asked

if TYPE_CHECKING:  # editors and type checkers do not follow __getattr__
    from transferkit._algorithms.linear.feature_blocks import FeatureBlocks
    from transferkit.heads.linear._logistic import LogisticHead
    from transferkit.heads.linear._logistic_cv import LogisticHeadCV
    from transferkit.heads.linear._ridge import RidgeHead
    from transferkit.heads.mlp._mlp_classifier import MLPHeadClassifier
    from transferkit.heads.mlp._mlp_regressor import MLPHeadRegressor

__getattr__, __dir__ = import_when_asked(
    __name__,
    {
        "FeatureBlocks": "transferkit._algorithms.linear.feature_blocks",
        "LogisticHead": ".linear._logistic",
        "LogisticHeadCV": ".linear._logistic_cv",
        "MLPHeadClassifier": ".mlp._mlp_classifier",
        "MLPHeadRegressor": ".mlp._mlp_regressor",
        "RidgeHead": ".linear._ridge",
    },
)

__all__ = ["FeatureBlocks", "LogisticHead", "LogisticHeadCV", "MLPHeadClassifier", "MLPHeadRegressor", "RidgeHead"]
