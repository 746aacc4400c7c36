"""Explanations of predictions, gaps between domains, and plots of encoders and of transfer.

- `explain` and `top_terms` decompose the decision value of a model that is linear in the terms of a text, exactly. The
  result is an `Explanation`, shown in notebooks as coloured text. `_term_parts` writes the features of a
  text as a sum over its terms, and locates the terms in the text.
- `domain_gap` is a classifier two-sample test for a shift between two domains, with the drift of each feature;
  `DomainGap` is its result, `DomainGapDisplay` its plot.
- `TransferCurveDisplay` plots scores over the number of labels per class, with and without transfer.
- `RiskCoverageDisplay` plots the error of the predictions that are accepted over the share of these.
- `EmbeddingMapDisplay` plots encoded rows in two dimensions.

The displays follow scikit-learn's: a class method ``from_...`` computes and plots, `plot` plots again, and matplotlib
is imported when it is needed.
"""

from transferkit.inspection._displays import EmbeddingMapDisplay, TransferCurveDisplay
from transferkit.inspection._domain_gap import DomainGap, DomainGapDisplay, domain_gap
from transferkit.inspection._explain import Explanation, explain, top_terms
from transferkit.inspection._risk_coverage import RiskCoverageDisplay

__all__ = [
    "DomainGap",
    "DomainGapDisplay",
    "EmbeddingMapDisplay",
    "Explanation",
    "RiskCoverageDisplay",
    "TransferCurveDisplay",
    "domain_gap",
    "explain",
    "top_terms",
]
