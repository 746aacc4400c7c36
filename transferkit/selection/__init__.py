"""Selection of a pretrained encoder for a task.

`rank_encoders` encodes a sample of the labelled rows by each candidate and scores the features: by LogME (the evidence
of a Bayesian linear model), H-score, LEEP or nearest neighbours, all without training a model, or by cross-validation
of a linear head. The scores are computed by ``_algorithms.linear.transferability``.
"""

from transferkit.selection._rank_encoders import rank_encoders

__all__ = ["rank_encoders"]
