"""Selection: of an encoder for a task, of the samples to label, and of the predictions to accept.

`rank_encoders` encodes a sample of the labelled rows by each candidate and scores the features: by LogME (the evidence
of a Bayesian linear model), H-score, LEEP or nearest neighbours, all without training a model, or by cross-validation
of a linear head. The scores are computed by ``_algorithms.linear.transferability``.

`suggest_labels` is one step of *active learning* with a pool of unlabelled samples: it chooses a batch to label next. A
batch *covers* the pool if every sample is similar to one that is labelled or in the batch. *Facility location* is the
sum of these similarities, which ``_algorithms.rows.coverage`` maximises greedily. A model multiplies what a sample adds
by its uncertainty: one less the *margin*, the difference between the probabilities of its two most probable classes.

`SelectiveClassifier` rejects samples that a classifier is likely to get wrong, or that are unlike those of training. A
sample is *accepted* if its acceptance *score* is at least the *threshold* of the class that is predicted for it;
*coverage* is the share of samples that is accepted. `_acceptance` computes scores, from probabilities and from
distances to the samples of training; `_held_out` predicts labelled samples by classifiers that were fitted without
them; the thresholds come from ``_algorithms.rows.rejection``.
"""

from typing import TYPE_CHECKING

from transferkit._lazy import import_when_asked

if TYPE_CHECKING:  # editors and type checkers do not follow __getattr__
    from transferkit.selection._rank_encoders import rank_encoders
    from transferkit.selection._selective_classifier import SelectiveClassifier
    from transferkit.selection._suggest_labels import suggest_labels

__getattr__, __dir__ = import_when_asked(
    __name__,
    {
        "SelectiveClassifier": "._selective_classifier",
        "rank_encoders": "._rank_encoders",
        "suggest_labels": "._suggest_labels",
    },
)

__all__ = ["SelectiveClassifier", "rank_encoders", "suggest_labels"]
