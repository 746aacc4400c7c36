"""Transfer learning with scikit-learn's API: pretrain once, fine-tune many small tasks."""

import importlib
from typing import Any

__version__ = "0.1.0"

_ROOM_OF_NAME = {
    "FeatureBlocks": "heads",
    "LSAEncoder": "encoders",
    "LogisticHead": "heads",
    "LogisticHeadCV": "heads",
    "PretrainedEncoder": "encoders",
    "RidgeHead": "heads",
    "TfidfEncoder": "encoders",
    "TransferClassifier": "transfer",
    "WordVectorEncoder": "encoders",
    "describe": "persistence",
    "load": "persistence",
    "save": "persistence",
}
_ROOMS = ("datasets", "encoders", "exceptions", "heads", "persistence", "transfer")

__all__ = [
    "FeatureBlocks",
    "LSAEncoder",
    "LogisticHead",
    "LogisticHeadCV",
    "PretrainedEncoder",
    "RidgeHead",
    "TfidfEncoder",
    "TransferClassifier",
    "WordVectorEncoder",
    "datasets",
    "describe",
    "load",
    "save",
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
