"""Word vectors, trained on unlabelled texts or loaded from files.

`WordVectorEncoder` (`_word_vectors`) is the estimator. A fit takes these steps:

1. The text analyzer of `transferkit.encoders.text` splits texts into words.
2. `_counts` counts words and their co-occurrences within a context window. Counts of batches, of shards (for
   `transferkit.distributed`) and of other encoders are added, so `partial_fit` and `merge` are exact.
3. `_training` turns the counts of the chosen words into vectors: by factorising their PPMI matrix ('ppmi-svd'), from
   which GloVe ('glove') and skip-gram with negative sampling ('sgns') start.
4. With `subword`, `_training` also fits vectors to character n-grams, from which unseen words get vectors.

After `partial_fit` and `merge`, steps 3 and 4 run when a result is first needed. `transform` counts the known words of
each text and pools their vectors (`transferkit._algorithms.words.vectors`).

`read_vectors` (`_vector_files`) reads files of word vectors that others have trained: it opens a file, plain or
gzip-compressed, recognises its form by its first bytes, and has `_vector_formats` read the text or binary format into a
table of words, their ranks, and one array of vectors. The table decides what happens to entries that cannot be read.
`_vector_files` also compares the words of a file with how texts are split.
"""

from typing import TYPE_CHECKING

from transferkit._lazy import import_when_asked

if TYPE_CHECKING:  # editors and type checkers do not follow __getattr__
    from transferkit.encoders.words._vector_files import read_vectors
    from transferkit.encoders.words._word_vectors import WordVectorEncoder

__getattr__, __dir__ = import_when_asked(
    __name__, {"WordVectorEncoder": "._word_vectors", "read_vectors": "._vector_files"}
)

__all__ = ["WordVectorEncoder", "read_vectors"]
