"""Mathematics of word vectors.

Words that occur in similar contexts get similar vectors. The context of a word is a window of tokens around it.

- `cooccurrence` counts pairs of words within the window, as sparse upper triangular matrices of integers, and adds,
  relabels and prunes such matrices. It turns the counts into positive pointwise mutual information (PPMI): how much
  more often two words co-occur than expected by chance. Its leading eigenvectors
  (`transferkit._algorithms.linalg.decompositions`), scaled by powers of the eigenvalues, are the word vectors of
  PPMI-SVD. GloVe and skip-gram start from them (`transferkit._training.words`).
- `vectors` computes what word vectors give. Pooling makes one vector per text from the vectors of its words: a mean
  weighted by inverse document frequency (TF-IDF) or smooth inverse frequency (SIF), or a maximum. Vectors of character
  n-grams, fitted to those of words, give unseen words a vector from their spelling. Neighbours are the words with the
  most similar vectors.
"""
