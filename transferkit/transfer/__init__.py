"""Transfer: an encoder and a head as one estimator on raw input."""

from transferkit.transfer._classifier import TransferClassifier
from transferkit.transfer._domain_classifier import DomainTransferClassifier
from transferkit.transfer._multitask import EncoderReference, MultiTaskTransfer
from transferkit.transfer._regressor import TransferRegressor

__all__ = [
    "DomainTransferClassifier",
    "EncoderReference",
    "MultiTaskTransfer",
    "TransferClassifier",
    "TransferRegressor",
]
