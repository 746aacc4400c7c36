"""DomainTransferClassifier: labels of a source domain, used to classify samples of a target domain without labels.

A model is an encoder, an adaptation of its features (or none) and a head. By default, target samples are labelled by a
*consensus* of adaptations, and the head is trained on these labels beside those of the source.

- `_domain_classifier`: the estimator. It validates the samples and decides what is fitted.
- `_features`: samples of both domains (`Domains`), their features by the encoder and the adaptation (`DomainFeatures`),
  for all samples and for each fold.
- `_candidates`: fits one adaptation that was named. "term_vectors" is the strategy of that name of TransferClassifier;
  a *blend* averages the decisions of two models in one linear head.
- `_consensus`: class probabilities of target samples by several adaptations, the check on held-out source samples that
  they do no harm, and the head that is trained on their mean.

The adaptations are in ``transferkit.adaptation``.
"""
