"""Transfer learning with scikit-learn's API: pretrain once, fine-tune many small tasks."""

import importlib
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # editors and type checkers do not follow __getattr__
    from transferkit import datasets
    from transferkit.adaptation import (
        CORAL,
        DomainWeighting,
        FeatureAugmentation,
        ImportanceWeighting,
        JointDistributionAdaptation,
        LabelShiftWeighting,
        LinearTransport,
        MarginalizedDenoising,
        StructuralCorrespondence,
        SubspaceAlignment,
    )
    from transferkit.encoders import (
        AutoencoderEncoder,
        KMeansEncoder,
        LSAEncoder,
        PretrainedEncoder,
        SentenceEncoder,
        SOMEncoder,
        TfidfEncoder,
        TorchEncoder,
        WordVectorEncoder,
    )
    from transferkit.export import to_onnx, to_sklearn
    from transferkit.heads import (
        FeatureBlocks,
        LogisticHead,
        LogisticHeadCV,
        MLPHeadClassifier,
        MLPHeadRegressor,
        RidgeHead,
    )
    from transferkit.inspection import (
        DomainGapDisplay,
        EmbeddingMapDisplay,
        RiskCoverageDisplay,
        TransferCurveDisplay,
        domain_gap,
        explain,
        top_terms,
    )
    from transferkit.persistence import describe, load, save
    from transferkit.selection import SelectiveClassifier, rank_encoders, suggest_labels
    from transferkit.transfer import DomainTransferClassifier, MultiTaskTransfer, TransferClassifier, TransferRegressor

__version__ = "0.1.0"

_PACKAGE_OF_NAME = {
    "AutoencoderEncoder": "encoders",
    "CORAL": "adaptation",
    "DomainGapDisplay": "inspection",
    "DomainTransferClassifier": "transfer",
    "DomainWeighting": "adaptation",
    "EmbeddingMapDisplay": "inspection",
    "FeatureAugmentation": "adaptation",
    "FeatureBlocks": "heads",
    "ImportanceWeighting": "adaptation",
    "JointDistributionAdaptation": "adaptation",
    "KMeansEncoder": "encoders",
    "LSAEncoder": "encoders",
    "LabelShiftWeighting": "adaptation",
    "LinearTransport": "adaptation",
    "LogisticHead": "heads",
    "LogisticHeadCV": "heads",
    "MLPHeadClassifier": "heads",
    "MLPHeadRegressor": "heads",
    "MarginalizedDenoising": "adaptation",
    "MultiTaskTransfer": "transfer",
    "PretrainedEncoder": "encoders",
    "RidgeHead": "heads",
    "RiskCoverageDisplay": "inspection",
    "SOMEncoder": "encoders",
    "SelectiveClassifier": "selection",
    "SentenceEncoder": "encoders",
    "StructuralCorrespondence": "adaptation",
    "SubspaceAlignment": "adaptation",
    "TfidfEncoder": "encoders",
    "TorchEncoder": "encoders",
    "TransferClassifier": "transfer",
    "TransferCurveDisplay": "inspection",
    "TransferRegressor": "transfer",
    "WordVectorEncoder": "encoders",
    "describe": "persistence",
    "domain_gap": "inspection",
    "explain": "inspection",
    "load": "persistence",
    "rank_encoders": "selection",
    "save": "persistence",
    "suggest_labels": "selection",
    "to_onnx": "export",
    "to_sklearn": "export",
    "top_terms": "inspection",
}
_PACKAGES = (
    "adaptation",
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
    "CORAL",
    "AutoencoderEncoder",
    "DomainGapDisplay",
    "DomainTransferClassifier",
    "DomainWeighting",
    "EmbeddingMapDisplay",
    "FeatureAugmentation",
    "FeatureBlocks",
    "ImportanceWeighting",
    "JointDistributionAdaptation",
    "KMeansEncoder",
    "LSAEncoder",
    "LabelShiftWeighting",
    "LinearTransport",
    "LogisticHead",
    "LogisticHeadCV",
    "MLPHeadClassifier",
    "MLPHeadRegressor",
    "MarginalizedDenoising",
    "MultiTaskTransfer",
    "PretrainedEncoder",
    "RidgeHead",
    "RiskCoverageDisplay",
    "SOMEncoder",
    "SelectiveClassifier",
    "SentenceEncoder",
    "StructuralCorrespondence",
    "SubspaceAlignment",
    "TfidfEncoder",
    "TorchEncoder",
    "TransferClassifier",
    "TransferCurveDisplay",
    "TransferRegressor",
    "WordVectorEncoder",
    "datasets",
    "describe",
    "domain_gap",
    "explain",
    "load",
    "rank_encoders",
    "save",
    "suggest_labels",
    "to_onnx",
    "to_sklearn",
    "top_terms",
]


def __getattr__(name: str) -> Any:
    if name in _PACKAGE_OF_NAME:
        value = getattr(importlib.import_module(f"transferkit.{_PACKAGE_OF_NAME[name]}"), name)
        globals()[name] = value  # the next look-up no longer comes here
        return value
    if name in _PACKAGES:
        return importlib.import_module(f"transferkit.{name}")
    raise AttributeError(f"module 'transferkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _use_one_thread() -> None:
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)


with suppress(AttributeError):  # on Windows, which does not fork
    # A forked child does not have the threads of its parent, for which torch would wait.
    os.register_at_fork(after_in_child=_use_one_thread)
