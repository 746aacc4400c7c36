"""Transfer: an encoder and a head as one estimator on raw input."""

from transferkit.transfer._classifier import TransferClassifier

__all__ = ["TransferClassifier"]
