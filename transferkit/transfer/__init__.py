"""Transfer: an encoder and a head as one estimator on raw input."""

from transferkit._lazy import import_when_asked

__getattr__, __dir__ = import_when_asked(
    __name__,
    {
        "DomainTransferClassifier": "._domain_classifier",
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
