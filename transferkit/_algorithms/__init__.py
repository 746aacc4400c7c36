"""Algorithms on NumPy and SciPy arrays: no estimators, no torch, no files.

Everything here takes and returns arrays and can be tested against a formula. One package per subject:

- `linalg`: decompositions, covariances, conjugate gradients, normalisation.
- `linear`: ridge regression, predictions of linear models, transferability scores.
- `text`: tokens, hashing, vocabularies, TF-IDF.
- `words`: co-occurrence counts, PMI, pooling of word vectors, subwords.
- `rows`: clusters, patches and self-organising maps for rows of numbers.
- `networks`: layers at prediction time, initial weights, compression.
- `domains`: domain adaptation.
- `proportions`: intervals of accuracies and of their differences, calibration of probabilities.

Training by gradients, which needs torch, lies in ``_training``.
"""
