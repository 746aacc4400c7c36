"""The array operations from texts to terms, each compared with plain Python."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transferkit._algorithms.text.hashing import hash_spans, hash_strings
from transferkit._algorithms.text.term_counts import count_terms, group_equal
from transferkit._algorithms.text.term_statistics import TermAccumulator, merge_parts, to_vocabulary
from transferkit._algorithms.text.text_bytes import encode_documents
from transferkit._algorithms.text.tokens import expand_ranges, find_words, pad, word_ngrams
from transferkit._algorithms.text.vocabulary import (
    Vocabulary,
    decode_terms,
    find_terms,
    sort_terms,
)

TEXTS = st.lists(st.text(max_size=30), min_size=1, max_size=20)
SMALL_HASHES = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=60)


def spans_of(strings):
    encoded = [string.encode() for string in strings]
    lengths = np.array([len(string) for string in encoded], np.int64)
    return pad(np.frombuffer(b"".join(encoded), np.uint8)), np.cumsum(lengths) - lengths, lengths


def vocabulary_of(strings):
    """Return a vocabulary of strings in one document each, with the length of the string as its total."""
    hashes, checks = hash_strings(strings, by_word=False)
    text, starts, lengths = spans_of(strings)
    ones = np.ones(len(strings), np.int64)
    terms = Vocabulary(hashes, checks, ones, lengths, text, starts, lengths.astype(np.int32))
    return terms.select(np.lexsort((checks, hashes)))


@settings(deadline=None)  # machines that run tests may be busy
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


def test_hash_of_a_word_ngram_is_found_from_its_words():
    text = encode_documents(["new york  city", "york"], "word", lowercase=True)
    counts = count_terms(word_ngrams(find_words(text, 2), (1, 3)), 2)
    terms = decode_terms(counts.text, counts.starts, counts.lengths)
    assert sorted(terms) == ["city", "new", "new york", "new york city", "york", "york city"]
    hashes, checks = hash_strings(terms, by_word=True)
    np.testing.assert_array_equal(hashes, counts.hashes)
    np.testing.assert_array_equal(checks, counts.checks)


@settings(deadline=None)
@given(SMALL_HASHES, st.sampled_from([0, 40, 58]))
def test_groups_are_in_order_even_where_upper_bits_agree(pairs, shift):
    hashes = np.array([pair[0] for pair in pairs], np.uint64) << np.uint64(shift)
    checks = np.array([pair[1] for pair in pairs], np.uint64)
    order, is_first = group_equal(hashes, checks)
    keys = list(zip(hashes.tolist(), checks.tolist(), range(len(pairs)), strict=True))
    assert [keys[place] for place in order] == sorted(keys)
    assert int(is_first.sum()) == len(set(pairs))


@settings(deadline=None)
@given(TEXTS)
def test_terms_are_sorted_as_python_sorts_strings(strings):
    strings = list({*strings, *(string + "\0" for string in strings), *("prefix of 8" + s for s in strings)})
    terms = vocabulary_of(strings)
    order = sort_terms(terms.text, terms.starts, terms.lengths)
    assert decode_terms(terms.text, terms.starts[order], terms.lengths[order]) == sorted(strings)


@settings(deadline=None)
@given(TEXTS, TEXTS)
def test_known_terms_are_found_and_others_are_not(known, others):
    known = sorted(set(known))
    terms = vocabulary_of(known)
    names = decode_terms(terms.text, terms.starts, terms.lengths)
    places = find_terms(terms.hashes, terms.checks, *hash_strings(known + others, by_word=False))
    expected = [names.index(string) if string in names else -1 for string in known + others]
    assert places.tolist() == expected


@pytest.mark.parametrize("range_size", [3, 1 << 18])
@settings(deadline=None)
@given(parts=st.lists(st.lists(st.text(max_size=12), max_size=12), min_size=1, max_size=6))
def test_merging_adds_up_and_streams_to_the_same(parts, range_size):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("transferkit._algorithms.text.term_statistics._RANGE_SIZE", range_size)
        parts = [vocabulary_of(sorted(set(part))) for part in parts]
        merged = merge_parts(parts)
        whole = to_vocabulary(parts, merged)
        accumulator = TermAccumulator()
        for part in parts:
            accumulator.add_parts([part], 1)
        streamed = accumulator.statistics().terms
    strings = [decode_terms(part.text, part.starts, part.lengths) for part in parts]
    names = decode_terms(whole.text, whole.starts, whole.lengths)
    assert set(names) == set().union(*strings)
    assert [names[term] for terms in merged.terms_of for term in terms] == [s for part in strings for s in part]
    for name, frequency, total in zip(names, whole.document_frequency, whole.total, strict=True):
        assert frequency == sum(part.count(name) for part in strings)
        assert total == frequency * len(name.encode())
    assert decode_terms(streamed.text, streamed.starts, streamed.lengths) == names
    for field in ("hashes", "checks", "document_frequency", "total"):
        np.testing.assert_array_equal(getattr(streamed, field), getattr(whole, field))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5)), max_size=20))
def test_ranges_are_expanded(ranges):
    starts, counts = (np.array([pair[k] for pair in ranges], np.int64) for k in (0, 1))
    expected = [start + k for start, count in ranges for k in range(count)]
    assert expand_ranges(starts, counts).tolist() == expected
