"""Unsupervised domain adaptation, on arrays.

There are rows of a source domain, with labels, and rows of a target domain, without.

- `alignment`: linear maps of source rows that match covariances (CORAL, Monge map) or principal axes.
- `joint_distributions`: projections in which the classes of both domains have close means.
- `importance_weights`: density ratios p_target / p_source (logistic odds, KLIEP, kernel mean matching).
- `feature_prediction`: features predicted from the others, by structural correspondence learning and by layers of
  marginalized stacked denoising autoencoders.
- `discriminant`: Gaussian classes fitted to the target, from given class probabilities.
- `diagnostics`: the AUC of a domain classifier, and the drift of each feature (Cohen's d).
"""
