"""Vectors for words that are not in the vocabulary, from their character n-grams."""

import numpy as np
from scipy import sparse

from transferkit._algorithms.text.vocabulary import decode_terms
from transferkit._algorithms.words.subwords import fit_ngram_vectors, mark_buckets
from transferkit.encoders.text._analyzer import make_analyzer
from transferkit.encoders.text._counting import map_blocks, threaded_map
from transferkit.encoders.text._tfidf import TfidfEncoder
from transferkit.encoders.words._pooling import BagOfVectors

_ALPHA, _N_STEPS = 0.05, 10


def learn_subwords(encoder, words, vectors):
    """Return the buckets of n-grams that occur, ascending, and their vectors; None without `subword`."""
    if not encoder.subword:
        return None, None
    shares = _share_buckets(encoder, words.get_feature_names_out().tolist())
    buckets = np.unique(shares.indices)
    fitted = fit_ngram_vectors(
        sparse.csr_array(shares[:, buckets]), vectors, _ALPHA, _N_STEPS, threaded_map(encoder.n_jobs)
    )
    return buckets, fitted


def spell_vectors(encoder, names):
    """Return the vectors of words from their spelling, shape (n_names, n_components); zeros where nothing is known."""
    if not names:
        return np.zeros((0, encoder._ngram_vectors.shape[1]), np.float32)
    return _share_buckets(encoder, names)[:, encoder._ngram_buckets] @ encoder._ngram_vectors


def add_unseen_words(encoder, documents, bag):
    """Return the bag of vectors with the words that are not in the vocabulary added, as rare as the rarest known."""
    names, counts = _count_unseen(encoder, documents)
    used = np.unique(bag.counts.indices)
    unseen = spell_vectors(encoder, names)
    return BagOfVectors(
        sparse.csr_matrix(sparse.hstack([bag.counts[:, used], counts], format="csr", dtype=np.float32)),
        np.concatenate([bag.vectors[used], unseen]),
        np.concatenate([bag.idf[used], np.full(len(names), bag.idf.max(), np.float32)]),
        np.concatenate([bag.frequency[used], np.zeros(len(names))]),
    )


def _count_unseen(encoder, documents):
    """Return the words of the documents that are not in the vocabulary, and their counts by document."""
    analyzer, known = make_analyzer(encoder._words), encoder._words.terms_

    def find(block):
        terms = analyzer.count(block)
        new = np.flatnonzero(known.columns_of(terms.hashes, terms.checks) < 0)
        by_term = sparse.csr_array((terms.counts, terms.rows, terms.indptr), shape=(len(terms.hashes), terms.n_rows))
        return decode_terms(terms.text, terms.starts[new], terms.lengths[new]), by_term[new].T

    columns: dict[str, int] = {}
    blocks = []
    for names, counts in map_blocks(find, analyzer.split(documents), encoder.n_jobs):
        places = np.array([columns.setdefault(name, len(columns)) for name in names], np.int32)
        blocks.append((places, sparse.coo_array(counts)))
    n_rows = np.cumsum([0, *(counts.shape[0] for _, counts in blocks)])
    entries = np.concatenate([counts.data for _, counts in blocks]).astype(np.float32)
    rows = np.concatenate([counts.row + first for first, (_, counts) in zip(n_rows, blocks, strict=False)])
    where = np.concatenate([places[counts.col] for places, counts in blocks])
    return list(columns), sparse.csr_array((entries, (rows, where)), shape=(n_rows[-1], len(columns)))


def _share_buckets(encoder, names):
    spelling = TfidfEncoder(analyzer="char_wb", ngram_range=encoder.ngram_range, lowercase=False)
    return mark_buckets(make_analyzer(spelling).count(names), encoder.n_buckets)
