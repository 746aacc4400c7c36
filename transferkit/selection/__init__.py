"""Selection of a pretrained encoder for a task, and of the samples to label.

`rank_encoders` encodes a sample of the labelled rows by each candidate and scores the features: by LogME (the evidence
of a Bayesian linear model), H-score, LEEP or nearest neighbours, all without training a model, or by cross-validation
of a linear head. The scores are computed by ``_algorithms.linear.transferability``.

`suggest_labels` is one step of *active learning* with a pool of unlabelled samples: it chooses a batch to label next. A
batch *covers* the pool if every sample is similar to one that is labelled or in the batch. *Facility location* is the
sum of these similarities, which ``_algorithms.rows.coverage`` maximises greedily. A model multiplies what a sample adds
by its uncertainty: one less the *margin*, the difference between the probabilities of its two most probable classes.
"""

from typing import TYPE_CHECKING

from transferkit._lazy import import_when_asked

if TYPE_CHECKING:  # editors and type checkers do not follow __getattr__
    from transferkit.selection._rank_encoders import rank_encoders
    from transferkit.selection._suggest_labels import suggest_labels

__getattr__, __dir__ = import_when_asked(
    __name__, {"rank_encoders": "._rank_encoders", "suggest_labels": "._suggest_labels"}
)

__all__ = ["rank_encoders", "suggest_labels"]
