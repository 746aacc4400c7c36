"""Word vectors: co-occurrence counts, PPMI, pooling, character n-grams."""
