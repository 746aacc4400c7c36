"""Word vectors, trained on unlabelled texts or loaded from files.

`WordVectorEncoder` (`_word_vectors`) is the estimator. A fit takes these steps:

1. The text analyzer of `transferkit.encoders.text` splits texts into words.
2. `_counts` counts words and their co-occurrences within a context window. Counts of batches, shards and other
   encoders are added, so `partial_fit` and `merge` are exact.
3. `_training` turns the counts of the chosen words into vectors: by factorising their PPMI matrix ('ppmi-svd'), from
   which GloVe ('glove') and skip-gram with negative sampling ('sgns') start.
4. With `subword`, `_subwords` fits vectors to character n-grams, from which unseen words get vectors.

After `partial_fit` and `merge`, steps 3 and 4 run when a result is first needed. `transform` counts the known words of
each text and pools their vectors (`transferkit._algorithms.words.pooling`).

`_loading` takes vectors that others have trained, from files or gensim, and checks that texts are split into such
words.
"""
