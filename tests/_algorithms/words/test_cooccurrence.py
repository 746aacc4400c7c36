"""Co-occurrences are counted as loops count them, and mutual information is its formula."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from transferkit._algorithms.words.cooccurrence import (
    add_pairs,
    both_directions,
    count_pairs,
    drop_rare_pairs,
    positive_pmi,
    relabel_pairs,
)

DOCUMENTS = st.lists(st.lists(st.integers(0, 6), max_size=12), max_size=6)


def to_tokens(documents):
    words = np.array([word for document in documents for word in document], np.int32)
    return words, np.repeat(np.arange(len(documents)), [len(document) for document in documents])


@given(documents=DOCUMENTS, window=st.integers(1, 9))
def test_pairs_are_counted_within_documents_by_distance(documents, window):
    expected = np.zeros((7, 7), np.int64)
    for document in documents:
        for i in range(len(document)):
            for j in range(i + 1, min(len(document), i + window + 1)):
                low, high = sorted((document[i], document[j]))
                expected[low, high] += window + 1 - (j - i)
    pairs = count_pairs(*to_tokens(documents), window, 7)
    np.testing.assert_array_equal(pairs.toarray(), expected)
    assert pairs.nnz == np.count_nonzero(expected)


@given(first=DOCUMENTS, second=DOCUMENTS)
def test_counts_add_up_though_one_knows_fewer_words(first, second):
    both = count_pairs(*to_tokens(first + second), 3, 9)
    total = add_pairs(count_pairs(*to_tokens(first), 3, 7), count_pairs(*to_tokens(second), 3, 9))
    np.testing.assert_array_equal(total.toarray(), both.toarray())


@given(documents=DOCUMENTS, order=st.permutations(range(7)), dropped=st.sets(st.integers(0, 6)))
def test_new_numbers_keep_the_counts(documents, order, dropped):
    symmetric = both_directions(count_pairs(*to_tokens(documents), 3, 7)).toarray()
    kept = [word for word in order if word not in dropped]
    new = np.full(7, -1, np.int32)
    new[kept] = np.arange(len(kept))
    renamed = both_directions(relabel_pairs(count_pairs(*to_tokens(documents), 3, 7), new, len(kept)))
    np.testing.assert_array_equal(renamed.toarray(), symmetric[np.ix_(kept, kept)])


@given(documents=DOCUMENTS, new=st.sets(st.integers(0, 11), min_size=7, max_size=7).map(sorted))
def test_new_words_move_the_others_up(documents, new):
    pairs, expected = count_pairs(*to_tokens(documents), 3, 7), np.zeros((12, 12), np.int64)
    expected[np.ix_(new, new)] = pairs.toarray()
    moved = relabel_pairs(pairs, np.array(new, np.int32), 12)
    np.testing.assert_array_equal(moved.toarray(), expected)
    assert moved.has_canonical_format


@pytest.mark.parametrize("n_most", [0, 1, 60, 100, 399])
@pytest.mark.parametrize("n_counts", [1, 8])  # with one count, all pairs are tied
def test_rarest_pairs_are_dropped_first(n_most, n_counts):
    rng = np.random.RandomState(0)
    pairs = sparse.csr_array(np.triu(rng.randint(0, n_counts + 1, (30, 30))))
    n_most = min(n_most, pairs.nnz - 1)
    kept, error = drop_rare_pairs(pairs, n_most, rng.randint(0, 2**62, 30).astype(np.uint64))
    dropped = (pairs - kept).toarray()
    assert kept.nnz == n_most
    assert error == dropped.max()
    assert kept.data.min(initial=99) >= error
    assert not dropped[kept.toarray() > 0].any()


def test_no_pair_is_dropped_below_the_bound():
    pairs = sparse.csr_array(np.triu(np.ones((3, 3), np.int64)))
    kept, error = drop_rare_pairs(pairs, 6, np.arange(3, dtype=np.uint64))
    np.testing.assert_array_equal(kept.toarray(), pairs.toarray())
    assert error == 0


@given(order=st.permutations(range(9)))
def test_dropped_pairs_depend_on_the_words_and_not_on_their_numbers(order):
    pairs = sparse.csr_array(np.triu(np.ones((9, 9), np.int64)))
    hashes = np.arange(9, dtype=np.uint64)
    kept = both_directions(drop_rare_pairs(pairs, 20, hashes)[0]).toarray()
    renamed = drop_rare_pairs(pairs, 20, hashes[order])[0]
    np.testing.assert_array_equal(both_directions(renamed).toarray(), kept[np.ix_(order, order)])


def test_information_is_measured_against_smoothed_chance():
    counts = np.array([[0, 4, 1], [4, 2, 0], [1, 0, 0]], float)
    shares = counts.sum(axis=1) ** 0.5 / (counts.sum(axis=1) ** 0.5).sum()
    with np.errstate(divide="ignore"):
        expected = np.maximum(np.log(counts / counts.sum() / np.outer(shares, shares)), 0)
    np.testing.assert_allclose(positive_pmi(sparse.csr_array(counts), 0.5).toarray(), expected, rtol=1e-6)


@pytest.mark.parametrize("smoothing", [0.75, 1.0])
def test_information_is_symmetric_and_zero_for_words_without_context(smoothing):
    rng = np.random.default_rng(0)
    half = rng.integers(0, 3, (40, 40))
    counts = half + half.T
    counts[7] = counts[:, 7] = 0
    found = positive_pmi(sparse.csr_array(counts.astype(float)), smoothing)
    assert found.dtype == np.float32
    assert found.data.min() > 0
    dense = found.toarray()
    np.testing.assert_allclose(dense, dense.T, rtol=1e-6)
    assert not dense[7].any()
    np.testing.assert_array_equal(positive_pmi(sparse.csr_array(counts.astype(float)), smoothing).toarray(), dense)


def test_no_counts_give_no_information():
    assert positive_pmi(sparse.csr_array((3, 3)), 0.75).nnz == 0
