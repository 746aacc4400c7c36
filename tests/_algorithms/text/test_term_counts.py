"""Terms are grouped as Python sorts them, and TF-IDF weights are those of scikit-learn, block by block."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer

from transferkit._algorithms.text.term_counts import (
    Rows,
    column_weights,
    count_terms,
    counts_by_row,
    group_equal,
    inverse_document_frequency,
    stack_rows,
    to_matrix,
    weight_counts,
    within_bounds,
)
from transferkit._algorithms.text.text_bytes import encode_documents
from transferkit._algorithms.text.tokens import find_words, word_ngrams
from transferkit._algorithms.text.vocabulary import decode_terms

COUNTS = arrays(np.int64, st.tuples(st.integers(1, 6), st.integers(1, 5)), elements=st.integers(0, 4))
SMALL_HASHES = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=60)


@given(SMALL_HASHES, st.sampled_from([0, 40, 58]))
def test_groups_are_in_order_even_where_upper_bits_agree(pairs, shift):
    hashes = np.array([pair[0] for pair in pairs], np.uint64) << np.uint64(shift)
    checks = np.array([pair[1] for pair in pairs], np.uint64)
    order, is_first = group_equal(hashes, checks)
    keys = list(zip(hashes.tolist(), checks.tolist(), range(len(pairs)), strict=True))
    assert [keys[place] for place in order] == sorted(keys)
    assert int(is_first.sum()) == len(set(pairs))


def to_rows(matrix):
    matrix = sparse.csr_matrix(matrix)
    matrix.sort_indices()
    return Rows(matrix.data.astype(np.float64), matrix.indices, matrix.indptr)


@given(COUNTS, st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.sampled_from(["l1", "l2", None]))
def test_weights_are_those_of_scikit_learn(counts, binary, sublinear, use_idf, smooth, norm):
    frequency = (counts > 0).sum(axis=0)
    counts = counts[:, (frequency > 0) | smooth]
    frequency = (counts > 0).sum(axis=0)
    trusted = TfidfTransformer(norm=norm, use_idf=use_idf, smooth_idf=smooth, sublinear_tf=sublinear)
    shown = np.minimum(counts, 1) if binary else counts
    if counts.shape[1] == 0:
        return
    expected = trusted.fit(counts).transform(shown)
    idf = inverse_document_frequency(frequency, len(counts), smooth, np.float64) if use_idf else None
    rows = to_rows(counts)
    weight_counts(rows, idf, binary=binary, sublinear_tf=sublinear, norm=norm)
    np.testing.assert_allclose(to_matrix(rows, counts.shape[1]).toarray(), expected.toarray(), rtol=1e-12)


@given(st.lists(COUNTS, min_size=1, max_size=4))
def test_stacked_blocks_are_the_rows_of_all(parts):
    width = max(part.shape[1] for part in parts)
    parts = [np.pad(part, ((0, 0), (0, width - part.shape[1]))) for part in parts]
    blocks = list(map(to_rows, parts))
    stacked = stack_rows(blocks, width)
    np.testing.assert_array_equal(stacked.toarray(), np.vstack(parts))
    assert stacked.has_canonical_format
    assert blocks == []  # so that memory is freed on the way


def test_a_single_row_shares_nothing_with_the_next():
    first, second = (to_matrix(to_rows([[0, count, 1]]), 3) for count in (2, 3))
    np.testing.assert_array_equal(first.toarray(), [[0, 2, 1]])
    np.testing.assert_array_equal(second.toarray(), [[0, 3, 1]])


@pytest.mark.parametrize("n_kept", [0, 3, 5])
def test_counts_by_row_are_those_of_a_count_vectorizer(n_kept):
    texts = ["b a b", "", "c d e a", "e e e"]
    vectorizer = CountVectorizer(token_pattern=r"\w")
    expected = vectorizer.fit_transform(texts).toarray()[:, :n_kept]
    counts = count_terms(word_ngrams(find_words(encode_documents(texts, "word", lowercase=True), 1), (1, 1)), 4)
    names = decode_terms(counts.text, counts.starts, counts.lengths)
    columns = np.array([vectorizer.vocabulary_[name] for name in names])
    rows = counts_by_row(counts, np.where(columns < n_kept, columns, -1), np.float32)
    assert rows.data.dtype == np.float32
    np.testing.assert_array_equal(to_matrix(rows, n_kept).toarray(), expected)
    for begin, end in zip(rows.indptr[:-1], rows.indptr[1:], strict=True):
        assert (np.diff(rows.indices[begin:end]) > 0).all()


def test_weights_of_columns_follow_their_terms():
    frequency, columns = np.array([1, 4, 2]), np.array([1, -1, 0])
    settings = {"smooth": True, "dtype": np.float64}
    found = column_weights(frequency, columns, 5, use_idf=True, **settings)
    np.testing.assert_allclose(found, np.log(6 / np.array([3, 2])) + 1)
    np.testing.assert_array_equal(column_weights(frequency, columns, 5, use_idf=False, **settings), [1, 1])
    in_order = column_weights(frequency, None, 5, use_idf=True, **settings)
    np.testing.assert_allclose(in_order, np.log(6 / (frequency + 1)) + 1)


@pytest.mark.parametrize(("min_df", "max_df"), [(1, 1.0), (2, 3), (0.5, 0.75), (1, 0.5)])
def test_bounds_are_those_of_scikit_learn(min_df, max_df):
    texts = ["a b c", "a b", "a", "a d c"]
    kept = set(CountVectorizer(token_pattern=r"\w", min_df=min_df, max_df=max_df).fit(texts).vocabulary_)
    found = within_bounds(np.array([4, 2, 2, 1]), 4, min_df, max_df)
    assert {name for name, is_kept in zip("abcd", found, strict=True) if is_kept} == kept


def test_bounds_that_exclude_each_other_are_an_error():
    with pytest.raises(ValueError, match="corresponds to fewer documents than min_df=3"):
        within_bounds(np.ones(3), 4, 3, 0.5)
