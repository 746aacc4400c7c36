"""Word vectors from files and other packages."""

import numpy as np

from transferkit.encoders._text_analysis import make_analysis, sort_given_vocabulary
from transferkit.encoders._text_blocks import check_documents
from transferkit.persistence import read_vectors


class WordSourcesMixin:
    """Makes fitted encoders of word vectors that others have trained."""

    @classmethod
    def from_file(cls, path, *, restrict_to=None, **parameters):
        """Return an encoder with the word vectors of a file.

        Parameters
        ----------
        path : str or path
            word2vec (text or binary), GloVe (text) or fastText (``.vec``), plain or gzip-compressed.
        restrict_to : iterable of str, default=None
            Words, or texts whose words are meant: only their vectors are read. The file is streamed, so
            memory is needed for these alone.
        **parameters : any
            Parameters of the encoder, such as `pooling` or ``lowercase=False`` for vectors of cased words.

        Returns
        -------
        encoder : WordVectorEncoder
            A fitted encoder.

        Raises
        ------
        ValueError
            If a line is malformed (its number is named), or no word of `restrict_to` is in the file.

        Notes
        -----
        Such files hold no counts, but list words from the most to the least frequent. Until :meth:`adapt_idf` is
        called, the share of the word in rank r is therefore taken to be in proportion to 1 / r
        (Zipf's law), and its `idf_` to be 1 + log(r).
        """
        encoder = cls(**parameters)
        encoder._validate_params()
        words, ranks, vectors = read_vectors(path, encoder._wanted_words(restrict_to))
        return encoder._take_vectors(words, vectors, 1.0 / ranks)

    @classmethod
    def from_gensim(cls, keyed_vectors, **parameters):
        """Return an encoder with the word vectors of gensim.

        Parameters
        ----------
        keyed_vectors : gensim.models.KeyedVectors
            Vectors, such as the `wv` of a Word2Vec model. They are copied.
        **parameters : any
            Parameters of the encoder.

        Returns
        -------
        encoder : WordVectorEncoder
            A fitted encoder. Shares of words come from gensim's counts where it has them, and are otherwise those of
            :meth:`from_file`: counts of n, n - 1, ..., 1, which gensim makes up for vectors from a file, are none.
        """
        encoder = cls(**parameters)
        encoder._validate_params()
        keyed_vectors = getattr(keyed_vectors, "wv", keyed_vectors)
        words = list(keyed_vectors.index_to_key)
        shares = _shares_of_counts(keyed_vectors.expandos.get("count"), len(words))
        return encoder._take_vectors(words, np.array(keyed_vectors.vectors, np.float32), shares)

    def _wanted_words(self, restrict_to):
        if restrict_to is None:
            return None
        given = list(restrict_to) if isinstance(restrict_to, (dict, set, frozenset)) else restrict_to
        texts = list(check_documents(given, (str,)))
        analyze = make_analysis(self._make_words()).analyze
        return {word for text in texts for word in [text, *analyze(text)]}

    def _take_vectors(self, words, vectors, shares):
        """Become an encoder with these vectors, and words of shares in proportion to those given."""
        terms, rows = sort_given_vocabulary(words, make_analysis(self._make_words()), self.lowercase)
        frequency = shares / shares.sum()
        idf = (1 + np.log(shares.max() / np.maximum(shares, np.finfo(np.float64).tiny))).astype(np.float32)
        encoder_of_words = self._make_words()._set_terms(terms, rows, 0)
        self.n_components = vectors.shape[1]
        described = self._describe(encoder_of_words, vectors, frequency, idf)
        vars(self).update(described, _losses=[], _counts=None, _keeps_counts=False)
        return self


def _shares_of_counts(counts, n_words):
    """Return what words' shares are in proportion to: gensim's counts if it has real ones, else Zipf's law."""
    counts = np.empty(0) if counts is None else np.asarray(counts, np.float64)
    ranks = np.arange(1, n_words + 1)
    if len(counts) != n_words or not (counts > 0).all() or np.array_equal(counts, ranks[::-1]):
        return 1.0 / ranks
    return counts
