"""Hashes and n-grams of spans of bytes, compared with plain Python."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from transferkit._algorithms.text.term_counts import count_terms
from transferkit._algorithms.text.text_bytes import encode_documents
from transferkit._algorithms.text.tokens import (
    expand_ranges,
    find_words,
    hash_spans,
    hash_strings,
    hash_terms,
    pad,
    word_ngrams,
)
from transferkit._algorithms.text.vocabulary import decode_terms

TEXTS = st.lists(st.text(max_size=30), min_size=1, max_size=20)
UNUSUAL_TEXTS = st.lists(st.text(st.sampled_from("abAß 中\ud800\0"), max_size=20), min_size=1, max_size=30)


def spans_of(strings):
    encoded = [string.encode() for string in strings]
    lengths = np.array([len(string) for string in encoded], np.int64)
    return pad(np.frombuffer(b"".join(encoded), np.uint8)), np.cumsum(lengths) - lengths, lengths


@given(TEXTS)
def test_equal_spans_and_only_they_share_hashes(strings):
    strings += [string + "\0" for string in strings] + [string * 9 for string in strings]
    hashes, checks = hash_spans(*spans_of(strings))
    pairs = list(zip(hashes.tolist(), checks.tolist(), strict=True))
    assert len(set(pairs)) == len(set(strings))
    assert dict(zip(strings, pairs, strict=True)) == dict(zip(reversed(strings), reversed(pairs), strict=True))


def test_hashes_of_long_spans_depend_on_every_byte():
    base = "0123456789abcdef" * 8
    changed = [base[:k] + "?" + base[k + 1 :] for k in range(len(base))] + [base[:k] for k in range(len(base))]
    hashes, checks = hash_spans(*spans_of([base, *changed]))
    assert len(set(hashes.tolist())) == len(set(checks.tolist())) == 1 + len(changed)


@given(UNUSUAL_TEXTS)
def test_hashes_of_spans_are_those_of_strings(strings):
    encoded = [string.encode("utf-8", "surrogatepass") for string in strings]
    lengths = np.array([len(text) for text in encoded], np.int64)
    text, starts = pad(np.frombuffer(b"".join(encoded), np.uint8)), np.cumsum(lengths) - lengths
    for term, hashes in zip(strings, np.transpose(hash_terms(text, starts, lengths, by_word=True)), strict=True):
        np.testing.assert_array_equal(np.ravel(hash_strings([term], by_word=True)), hashes)


def test_hash_of_a_word_ngram_is_found_from_its_words():
    text = encode_documents(["new york  city", "york"], "word", lowercase=True)
    counts = count_terms(word_ngrams(find_words(text, 2), (1, 3)), 2)
    terms = decode_terms(counts.text, counts.starts, counts.lengths)
    assert sorted(terms) == ["city", "new", "new york", "new york city", "york", "york city"]
    hashes, checks = hash_strings(terms, by_word=True)
    np.testing.assert_array_equal(hashes, counts.hashes)
    np.testing.assert_array_equal(checks, counts.checks)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5)), max_size=20))
def test_ranges_are_expanded(ranges):
    starts, counts = (np.array([pair[k] for pair in ranges], np.int64) for k in (0, 1))
    expected = [start + k for start, count in ranges for k in range(count)]
    assert expand_ranges(starts, counts).tolist() == expected
