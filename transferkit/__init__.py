"""Transfer learning with scikit-learn's API: pretrain once, fine-tune many small tasks."""

import importlib
from typing import Any

__version__ = "0.1.0"

_ROOM_OF_NAME = {
    "AutoencoderEncoder": "encoders",
    "EmbeddingMapDisplay": "inspection",
    "FeatureBlocks": "heads",
    "KMeansEncoder": "encoders",
    "LSAEncoder": "encoders",
    "LogisticHead": "heads",
    "LogisticHeadCV": "heads",
    "MLPHeadClassifier": "heads",
    "MLPHeadRegressor": "heads",
    "MultiTaskTransfer": "transfer",
    "PretrainedEncoder": "encoders",
    "RidgeHead": "heads",
    "SOMEncoder": "encoders",
    "SentenceEncoder": "encoders",
    "TfidfEncoder": "encoders",
    "TorchEncoder": "encoders",
    "TransferClassifier": "transfer",
    "TransferCurveDisplay": "inspection",
    "TransferRegressor": "transfer",
    "WordVectorEncoder": "encoders",
    "describe": "persistence",
    "explain": "inspection",
    "load": "persistence",
    "rank_encoders": "selection",
    "save": "persistence",
    "to_onnx": "export",
    "to_sklearn": "export",
    "top_terms": "inspection",
}
_ROOMS = (
    "compression",
    "datasets",
    "distributed",
    "encoders",
    "exceptions",
    "export",
    "heads",
    "inspection",
    "persistence",
    "selection",
    "transfer",
)

__all__ = [
    "AutoencoderEncoder",
    "EmbeddingMapDisplay",
    "FeatureBlocks",
    "KMeansEncoder",
    "LSAEncoder",
    "LogisticHead",
    "LogisticHeadCV",
    "MLPHeadClassifier",
    "MLPHeadRegressor",
    "MultiTaskTransfer",
    "PretrainedEncoder",
    "RidgeHead",
    "SOMEncoder",
    "SentenceEncoder",
    "TfidfEncoder",
    "TorchEncoder",
    "TransferClassifier",
    "TransferCurveDisplay",
    "TransferRegressor",
    "WordVectorEncoder",
    "datasets",
    "describe",
    "explain",
    "load",
    "rank_encoders",
    "save",
    "to_onnx",
    "to_sklearn",
    "top_terms",
]


def __getattr__(name: str) -> Any:
    if name in _ROOM_OF_NAME:
        value = getattr(importlib.import_module(f"transferkit.{_ROOM_OF_NAME[name]}"), name)
        globals()[name] = value  # the next look-up no longer comes here
        return value
    if name in _ROOMS:
        return importlib.import_module(f"transferkit.{name}")
    raise AttributeError(f"module 'transferkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
