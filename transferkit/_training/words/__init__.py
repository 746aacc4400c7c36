"""Word vectors trained with torch on co-occurrence counts.

- `vectors` trains the vectors of words and of their contexts by AdaGrad on one of two objectives: GloVe (weighted
  least squares on the logarithms of counts) or the expected loss of skip-gram with negative sampling (SGNS). An epoch
  updates all words with the contexts fixed, and then all contexts with the words fixed, each by its full gradient.
- `pairs` holds the counts on a device as slices of CSR rows, with the two products that gradients consist of: inner
  products of the vectors of each counted pair, and sums of vectors over the pairs of each row. With these it also finds
  the leading eigenvectors of the PPMI matrix on a GPU; on the CPU `transferkit._algorithms.linalg.decompositions` does,
  without torch.

The counts come from `transferkit._algorithms.words`; results are NumPy arrays.
"""
