"""Strategies of transfer, one module each.

- `_scratch`: the head alone, on TF-IDF of the labelled texts or on rows of numbers as they are.
- `_frozen`: feature extraction. The head is trained on the features of the encoder as it is.
- `_term_vectors`: pretrained term vectors as a Gaussian prior over the weights of terms (Raina, Ng and Koller, 2006):
  logistic regression on TF-IDF rows joined with their projections on the vectors, merged into one weight per term.
- `_fine_tuning`: the encoder's arrays are trained together with the head, by gradient descent with a smaller learning
  rate, gradual unfreezing (Howard and Ruder, 2018) and regularisation towards the pretrained arrays (L2-SP).
- `_source`: the weights of a linear model of another task are the mean of the prior over the new ones (L2-SP; Li,
  Grandvalet and Davoine, 2018).

`_evidence` makes linear models of the encoder's features from descriptions of the classes, unlabelled rows and a
teacher. Their scores are the offset of candidates of `_term_vectors` and `_frozen`.

`_candidates` is shared by all: it trains logistic regressions for several values of C on all folds, and averages them
by the likelihood of held-out labels. `_auto` lists the strategies that apply, fits each, and selects one.

Each `fit_*` function takes an encoder, raw input and a `ClassificationTask` (labels, folds, weights) and returns an
`Outcome`; each `check_*` function raises an error if a strategy does not apply.
"""

from typing import TYPE_CHECKING

from transferkit._lazy import import_when_asked

if TYPE_CHECKING:  # editors and type checkers do not follow __getattr__
    from transferkit.transfer.strategies._scratch import takes_raw_input

__getattr__, __dir__ = import_when_asked(__name__, {"takes_raw_input": "._scratch"})

__all__ = ["takes_raw_input"]
