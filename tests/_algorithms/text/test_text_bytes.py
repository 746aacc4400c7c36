"""Documents as bytes: normalised as Python's string methods and regular expressions do."""

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import strip_accents_ascii, strip_accents_unicode

from transferkit._algorithms.text.text_bytes import PADDING, encode_documents, strip_accents

# ASCII, letters whose lower case has another length or depends on its place, blanks and marks beyond ASCII
CHARACTERS = st.sampled_from("aB_1 \t\n.-éÉßİΣσςǅﬁ\u0301\u00a0\u2003\u3000我ЖK\U0001d400😀")
DOCUMENTS = st.lists(st.text(CHARACTERS, max_size=12), min_size=1, max_size=5)


def read(text):
    return [text.bytes[begin:end].tobytes().decode() for begin, end in zip(text.starts, text.ends, strict=True)]


@given(DOCUMENTS, st.booleans())
def test_words_are_those_of_a_regular_expression(documents, lowercase):
    for found, document in zip(read(encode_documents(documents, "word", lowercase)), documents, strict=True):
        prepared = document.lower() if lowercase else document
        assert found.split(" ") == re.sub(r"\W", lambda m: " " * len(m[0].encode()), prepared).split(" ")


@given(DOCUMENTS, st.booleans())
def test_white_space_is_pythons(documents, lowercase):
    for unit in ("char_wb", "char"):
        for found, document in zip(read(encode_documents(documents, unit, lowercase)), documents, strict=True):
            prepared = document.lower() if lowercase else document
            if unit == "char":
                assert found == re.sub(r"\s\s+", " ", prepared)
            else:
                assert found.split() == prepared.split()


@given(DOCUMENTS)
@example([" \xa0"])  # two blanks, which become one of ASCII
def test_bytes_can_be_read_beyond_the_documents(documents):
    text = encode_documents(documents, "char", lowercase=False)
    assert text.is_ascii == bool((text.bytes < 0x80).all())
    assert text.starts[0] >= 1
    assert len(text.bytes) >= text.ends[-1] + PADDING


@given(st.lists(st.text(max_size=8), max_size=5))
@pytest.mark.parametrize(("form", "trusted"), [("unicode", strip_accents_unicode), ("ascii", strip_accents_ascii)])
def test_accents_are_stripped_as_by_scikit_learn(form, trusted, documents):
    documents = [*documents, "Übergrößenträger", unicodedata.normalize("NFD", "fenêtre à côté")]
    assert strip_accents(documents, form, lowercase=False) == [trusted(document) for document in documents]
    assert strip_accents(documents, form, lowercase=True) == [trusted(document.lower()) for document in documents]


def test_lone_surrogates_are_no_error():
    assert len(encode_documents(["a\ud800b"], "word", lowercase=True).starts) == 1
