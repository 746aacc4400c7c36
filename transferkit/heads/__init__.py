"""Heads: estimators from features and labels to predictions."""

from transferkit._lazy import import_when_asked

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
