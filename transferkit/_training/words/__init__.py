"""Word vectors trained on a device: skip-gram, GloVe, eigenvectors of sparse matrices."""
