"""Vectors for words outside the vocabulary, from their character n-grams."""

import numpy as np
from scipy import sparse

from transferkit._algorithms.text.vocabulary import decode_terms
from transferkit._algorithms.words.subwords import fit_ngram_vectors, ngram_shares
from transferkit.encoders.text._analyzer import make_analyzer
from transferkit.encoders.text._counting import map_blocks, threaded_map
from transferkit.encoders.text._tfidf import TfidfEncoder

__all__ = ["count_unseen_words", "learn_subwords", "spell_vectors"]

_ALPHA, _N_STEPS = 0.05, 10


def learn_subwords(names, vectors, ngram_range, n_buckets, n_jobs):
    """Return the hash buckets of the n-grams that occur in the words, ascending, and a vector for each bucket."""
    shares = _share_buckets(names, ngram_range, n_buckets)
    buckets = np.unique(shares.indices)
    known = sparse.csr_array(shares[:, buckets])
    return buckets, fit_ngram_vectors(known, vectors, _ALPHA, _N_STEPS, threaded_map(n_jobs))


def spell_vectors(names, buckets, ngram_vectors, ngram_range, n_buckets):
    """Return vectors of words from their n-grams, shape (n_names, n_components); zeros where no n-gram is known."""
    if not names:
        return np.zeros((0, ngram_vectors.shape[1]), np.float32)
    return _share_buckets(names, ngram_range, n_buckets)[:, buckets] @ ngram_vectors


def count_unseen_words(analyzer, known, documents, n_jobs):
    """Return the words of the documents that are not among the fitted terms `known`, and their counts per document.

    Returns
    -------
    names : list of str
        Distinct unseen words.
    counts : CSR array of float32 of shape (n_documents, n_names)
        Number of occurrences.
    """

    def find(block):
        terms = analyzer.count(block)
        new = np.flatnonzero(known.columns_of(terms.hashes, terms.checks) < 0)
        names = decode_terms(terms.text, terms.starts[new], terms.lengths[new])
        return names, terms.to_matrix(np.float32)[new].T

    columns: dict[str, int] = {}
    blocks = []
    for names, counts in map_blocks(find, analyzer.split(documents), n_jobs):
        places = np.array([columns.setdefault(name, len(columns)) for name in names], np.int32)
        blocks.append((places, sparse.coo_array(counts)))
    n_rows = np.cumsum([0, *(counts.shape[0] for _, counts in blocks)])
    entries = np.concatenate([counts.data for _, counts in blocks])
    rows = np.concatenate([counts.row + first for first, (_, counts) in zip(n_rows, blocks, strict=False)])
    where = np.concatenate([places[counts.col] for places, counts in blocks])
    return list(columns), sparse.csr_array((entries, (rows, where)), shape=(n_rows[-1], len(columns)))


def _share_buckets(names, ngram_range, n_buckets):
    spelling = TfidfEncoder(analyzer="char_wb", ngram_range=ngram_range, lowercase=False)
    return ngram_shares(make_analyzer(spelling).count(names), n_buckets)
