"""DomainTransferClassifier: labels of a source domain, used to classify samples of a target domain without labels.

A *candidate* is an encoder, an adaptation of its features (or none) and a head, fitted to all samples. Its error rate
in the target is estimated by several *criteria* that need no target labels; the median of these selects the candidate.

- `_domain_classifier`: the estimator. It validates the samples, lists the candidates, and keeps the selected one.
- `_features`: samples of both domains (`Domains`), their features by the encoder and the adaptation (`DomainFeatures`),
  for all samples and for each fold.
- `_candidates`: fits one candidate and computes the predictions for its evaluation: held-out probabilities of the
  labelled samples, probabilities of the unlabelled ones, and those of a reverse model, which is trained on predicted
  target labels and applied to the source. The candidate "term_vectors" is the strategy of that name of
  TransferClassifier; a *blend* averages the decisions of two candidates in one linear head.
- `_selection`: the criteria (importance-weighted validation, deep embedded validation, circular validation, average
  thresholded confidence) and the rule of selection.

The adaptations are in ``transferkit.adaptation``, the formulas of the criteria in ``_algorithms.domains.diagnostics``.
"""
