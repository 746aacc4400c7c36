"""Transfer learning: an encoder and a head as one estimator on raw input.

An *encoder* is a transformer, usually pretrained on unlabelled data; a *head* is a classifier or regressor on its
features. A *strategy* determines how both are combined and how much of the pretraining is used:

- scratch: no transfer, the baseline;
- term_vectors: pretrained term vectors as a Gaussian prior over the weights of a linear model of texts;
- frozen: feature extraction, the encoder is not trained on the labels;
- finetune: the encoder's arrays are trained together with the head;
- a source model: the weights of a linear model of another task are the mean of the prior (L2-SP).

A strategy compares *candidates*: values of C, the inverse regularisation strength, and shares of pretraining. They are
trained on the training part of each *fold*, evaluated on the rows that it holds out, and averaged. The *outcome* of a
strategy is a fitted encoder and head with its scores; the outcome with the best scores becomes the model.

Modules: `_classifier`, `_regressor` and `_multitask` are the estimators, `_estimator` their common part;
`pretrained` handles the `encoder` parameter; `_evaluation` makes folds, compares outcomes and tabulates candidates;
`_summary` says from held-out labels whether transfer helped;
`strategies` has one module per strategy; `domains` transfers from a labelled domain to an unlabelled one.
"""

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
