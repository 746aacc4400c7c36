"""Training with torch; the only package that imports it.

Arguments and results are NumPy arrays and SciPy matrices, so that fitted estimators need no torch.

- `linear`: logistic regression by L-BFGS, one problem or a search over many values of C.
- `network`: feed-forward networks by gradient descent, for network heads, autoencoders and fine-tuning.
- `modules`: torch modules of users: their features, and how they are stored.
- `clustering`: k-means.
- `words`: word vectors (skip-gram, GloVe) and eigenvectors of large sparse matrices.
- `device`: choice of the device, transfer of arrays, number of threads, and protection from modes of torch that the
  caller has enabled (inference mode, autocast, default device).
"""
