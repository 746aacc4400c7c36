"""Packed vocabularies: unpacked bit for bit, searched by string, and checked."""

from operator import add

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from transferkit._algorithms.text.tokens import copy_spans, hash_strings, pad
from transferkit._algorithms.text.vocabulary import Vocabulary
from transferkit.encoders.text._packed_terms import (
    AlphabeticalIndex,
    pack_integers,
    pack_terms,
    unpack_integers,
    unpack_terms,
)

LETTERS = st.text(st.sampled_from("abAß 中\ud800\0"), max_size=20)
BEGINNINGS = st.sampled_from(
    ["", "a" * 8, "a" * 16, "ab" * 4, "a" * 63, "a" * 64]
)  # words of eight bytes, and long ones
TERMS = st.lists(st.builds(add, BEGINNINGS, LETTERS), min_size=1, max_size=30, unique=True)


def vocabulary_of(strings, by_word):
    """Return a vocabulary with numbers below and above the largest byte, and columns, some of them -1."""
    hashes, checks = hash_strings(strings, by_word)
    encoded = [string.encode("utf-8", "surrogatepass") for string in strings]
    lengths = np.array([len(text) for text in encoded], np.int64)
    joined = pad(np.frombuffer(b"".join(encoded), np.uint8))
    text, starts = copy_spans(joined, np.cumsum(lengths) - lengths, lengths)
    frequency = np.arange(len(strings)) * 60 + 1
    total = frequency + (np.arange(len(strings)) * 97) % 700
    terms = Vocabulary(hashes, checks, frequency, total, pad(text), starts, lengths.astype(np.int32))
    columns = np.random.RandomState(0).permutation(len(strings)).astype(np.int32)
    return terms.select(np.lexsort((checks, hashes))), np.where(columns % 5 == 4, np.int32(-1), columns)


@given(TERMS, st.booleans())
def test_unpacked_terms_are_those_that_were_packed(strings, by_word):
    if by_word:  # words that one space joins: with others, "" and " " would be the same
        strings = sorted({" ".join(string.split()) for string in strings} - {""}) or ["a"]
    terms, columns = vocabulary_of(strings, by_word)
    packed = pack_terms(terms, columns)
    packed.check()
    again, columns_again = unpack_terms(packed, by_word)
    for array, expected in zip((*again, columns_again), (*terms, columns), strict=True):
        np.testing.assert_array_equal(array, expected)
        assert array.dtype == expected.dtype


@example(["A", "A\x00"], [])
@example(["word" * 4, "word" * 4 + "\0", "word" * 4 + "s"], ["word" * 4 + "\0" * 9, "word" * 3, "word" * 5])
@given(TERMS, TERMS)
def test_terms_are_found_by_their_spelling(strings, others):
    terms, _ = vocabulary_of(strings, by_word=False)
    alphabetical = {term: column for column, term in enumerate(sorted(strings, key=_as_bytes))}
    packed = pack_terms(terms, np.array([alphabetical[term] for term in _spelled(terms)], np.int32))
    assert packed.columns is None
    index = AlphabeticalIndex(packed)
    wanted, _ = vocabulary_of(list({*strings, *others}), by_word=False)
    expected = [alphabetical.get(term, -1) for term in _spelled(wanted)]
    assert index.find_strings(_spelled(wanted)) == expected
    np.testing.assert_array_equal(
        index.find(wanted.text, wanted.starts, wanted.lengths), np.array(expected, np.int32), strict=True
    )


def test_large_counts_are_kept():
    numbers = np.array([0, 254, 255, 256, 10**12])
    small, large = pack_integers(numbers)
    assert small.nbytes == 5
    np.testing.assert_array_equal(unpack_integers(small, large), numbers)


@pytest.mark.parametrize(
    "changes",
    [
        {"text": np.zeros(1, np.uint8)},
        {"lengths": np.zeros(3, np.uint8)},
        {"document_frequency": np.zeros(2, np.uint8)},
        {"repeats": np.full(3, 255, np.uint8)},
        {"large_repeats": np.array([300])},
        {"lengths": np.full(3, 255, np.uint8), "large_lengths": np.array([255, 255, 10**15])},
        {"columns": np.array([0, 1, 3], np.int32)},
        {"columns": np.array([0, 1, -2], np.int32)},
        {"columns": np.arange(3)},
    ],
)
def test_arrays_that_do_not_fit_are_refused(changes):
    packed = pack_terms(*vocabulary_of(["a", "bb", "ccc"], by_word=False))
    with pytest.raises(ValueError, match="do not fit each other"):
        packed._replace(**changes).check()


def _as_bytes(term):
    return term.encode("utf-8", "surrogatepass")


def _spelled(terms):
    spans = zip(terms.starts.tolist(), (terms.starts + terms.lengths).tolist(), strict=True)
    return [terms.text[a:b].tobytes().decode("utf-8", "surrogatepass") for a, b in spans]
