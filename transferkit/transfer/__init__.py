"""Transfer: an encoder and a head as one estimator on raw input."""

from typing import TYPE_CHECKING

from transferkit._lazy import import_when_asked

if TYPE_CHECKING:  # editors and type checkers do not follow __getattr__
    from transferkit.transfer._classifier import TransferClassifier
    from transferkit.transfer._multitask import EncoderReference, MultiTaskTransfer
    from transferkit.transfer._regressor import TransferRegressor
    from transferkit.transfer.domains._domain_classifier import DomainTransferClassifier

__getattr__, __dir__ = import_when_asked(
    __name__,
    {
        "DomainTransferClassifier": ".domains._domain_classifier",
        "EncoderReference": "._multitask",
        "MultiTaskTransfer": "._multitask",
        "TransferClassifier": "._classifier",
        "TransferRegressor": "._regressor",
    },
)

__all__ = [
    "DomainTransferClassifier",
    "EncoderReference",
    "MultiTaskTransfer",
    "TransferClassifier",
    "TransferRegressor",
]
