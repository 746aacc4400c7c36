"""Vocabularies, sorted, searched and merged, compared with plain Python."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transferkit._algorithms.text.tokens import hash_strings, pad
from transferkit._algorithms.text.vocabulary import (
    TermAccumulator,
    Vocabulary,
    decode_terms,
    find_terms,
    merge_parts,
    sort_terms,
    to_vocabulary,
)

TEXTS = st.lists(st.text(max_size=30), min_size=1, max_size=20)


def vocabulary_of(strings):
    """Return a vocabulary of strings in one document each, with the length of the string as its total."""
    hashes, checks = hash_strings(strings, by_word=False)
    encoded = [string.encode() for string in strings]
    lengths = np.array([len(string) for string in encoded], np.int64)
    text, starts = pad(np.frombuffer(b"".join(encoded), np.uint8)), np.cumsum(lengths) - lengths
    ones = np.ones(len(strings), np.int64)
    terms = Vocabulary(hashes, checks, ones, lengths, text, starts, lengths.astype(np.int32))
    return terms.select(np.lexsort((checks, hashes)))


@given(TEXTS)
def test_terms_are_sorted_as_python_sorts_strings(strings):
    strings = list({*strings, *(string + "\0" for string in strings), *("prefix of 8" + s for s in strings)})
    terms = vocabulary_of(strings)
    order = sort_terms(terms.text, terms.starts, terms.lengths)
    assert decode_terms(terms.text, terms.starts[order], terms.lengths[order]) == sorted(strings)


@given(TEXTS, TEXTS)
def test_known_terms_are_found_and_others_are_not(known, others):
    known = sorted(set(known))
    terms = vocabulary_of(known)
    names = decode_terms(terms.text, terms.starts, terms.lengths)
    places = find_terms(terms.hashes, terms.checks, *hash_strings(known + others, by_word=False))
    expected = [names.index(string) if string in names else -1 for string in known + others]
    assert places.tolist() == expected


@pytest.mark.parametrize("range_size", [3, 1 << 18])
@given(parts=st.lists(st.lists(st.text(max_size=12), max_size=12), min_size=1, max_size=6))
def test_merging_adds_up_and_streams_to_the_same(parts, range_size):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("transferkit._algorithms.text.vocabulary._RANGE_SIZE", range_size)
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
