"""Rows of texts from bags of word vectors."""

from typing import NamedTuple

import numpy as np

from transferkit._algorithms.words.pooling import drop_rounding, max_rows, mean_rows, smooth_inverse_frequency


class BagOfVectors(NamedTuple):
    """How often each word occurs in each text, and what is known about the words."""

    counts: object  # CSR matrix (n_texts, n_words)
    vectors: np.ndarray  # (n_words, n_components)
    idf: np.ndarray  # (n_words,)
    frequency: np.ndarray  # (n_words,)

    def pool(self, pooling, sif_weight, common):
        """Return one row a text; `common` is the direction that 'sif' takes away."""
        if pooling == "max":
            return max_rows(self.counts, self.vectors)
        if pooling == "sif":
            rows = mean_rows(self.counts, smooth_inverse_frequency(self.frequency, sif_weight), self.vectors)
            return drop_rounding(rows - np.outer(rows @ common, common), np.linalg.norm(rows, axis=1))
        return mean_rows(self.counts, self.idf if pooling == "tfidf" else None, self.vectors)
