"""Selection of a pretrained encoder for a task.

`rank_encoders` encodes a sample of the labelled rows by each candidate and scores the features: by LogME (the evidence
of a Bayesian linear model), H-score, LEEP or nearest neighbours, all without training a model, or by cross-validation
of a linear head. The scores are computed by ``_algorithms.linear.transferability``.
"""

from typing import TYPE_CHECKING

from transferkit._lazy import import_when_asked

if TYPE_CHECKING:  # editors and type checkers do not follow __getattr__
    from transferkit.selection._rank_encoders import rank_encoders

__getattr__, __dir__ = import_when_asked(__name__, {"rank_encoders": "._rank_encoders"})

__all__ = ["rank_encoders"]
