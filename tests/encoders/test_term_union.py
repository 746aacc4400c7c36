"""Words and characters side by side: what is counted, how rows are computed, and which texts are too long."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import FeatureUnion

from transferkit import LSAEncoder, TfidfEncoder
from transferkit.encoders import term_union
from transferkit.encoders.term_union import (
    describe_terms,
    encode_terms,
    fit_characters,
    join_characters,
    name_terms,
    split_terms,
)

TEXTS = ["Stop my card", "my card stopped working", "a transfer is pending", "pending transfers, Café"]


@pytest.fixture
def words():
    return TfidfEncoder(sublinear_tf=True).fit(TEXTS)


def test_characters_are_those_of_scikit_learn(words):
    characters = fit_characters(words, TEXTS)
    reference = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True).fit(TEXTS)
    np.testing.assert_array_equal(characters.get_feature_names_out(), reference.get_feature_names_out())
    np.testing.assert_allclose(characters.transform(TEXTS).toarray(), reference.transform(TEXTS).toarray(), rtol=1e-6)


def test_characters_are_those_of_texts_as_the_words_are_normalised():
    words = TfidfEncoder(lowercase=False, strip_accents="unicode", stop_words=["my"]).fit(TEXTS)
    names = set(fit_characters(words, TEXTS).get_feature_names_out())
    assert {"St", "Ca", "fe", "my"} <= names
    assert "fé" not in names


def test_each_kind_of_terms_has_rows_of_unit_length(words):
    union = join_characters(words, fit_characters(words, TEXTS))
    rows, n_words = encode_terms(union, TEXTS).toarray(), len(words.idf_)
    np.testing.assert_allclose(np.linalg.norm(rows[:, :n_words], axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(rows[:, n_words:], axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("texts", [TEXTS, np.array(TEXTS, object), TEXTS * 20, iter(TEXTS), ["", "unseen"]])
def test_rows_are_those_of_feature_union(words, texts):
    union = join_characters(words, fit_characters(words, TEXTS))
    expected = union.transform(texts if not hasattr(texts, "__next__") else TEXTS)
    rows = encode_terms(union, texts)
    assert (rows != expected).nnz == 0
    assert rows.dtype == expected.dtype
    assert rows.shape[1] == len(union.get_feature_names_out()) == len(name_terms(union))


def test_other_encoders_are_used_as_they_are(words):
    both = FeatureUnion([("words", TfidfEncoder()), ("characters", LSAEncoder(2))])
    for encoder in (words, LSAEncoder(2).fit(TEXTS), both.fit(TEXTS)):
        assert split_terms(encoder) is None
        np.testing.assert_array_equal(name_terms(encoder), encoder.get_feature_names_out())
        left, right = encode_terms(encoder, TEXTS), encoder.transform(TEXTS)
        np.testing.assert_array_equal(*(rows.toarray() if hasattr(rows, "toarray") else rows for rows in (left, right)))
    weighted = join_characters(words, words).set_params(transformer_weights={"words": 2.0})
    assert split_terms(weighted) is None


def test_a_warning_is_given_only_if_both_kinds_of_terms_are_unknown(words):
    union = join_characters(words, fit_characters(words, TEXTS))
    encode_terms(union, ["stopping", "cardinal", "pend"])  # of which there are n-grams
    with pytest.warns(UserWarning, match="No text of this batch holds a term"):
        encode_terms(union, ["öß", "üß", "ðß"])


def test_bad_texts_are_named(words):
    union = join_characters(words, fit_characters(words, TEXTS))
    with pytest.raises(ValueError, match="one bare str"):
        encode_terms(union, "stop my card")
    with pytest.raises(ValueError, match="position 1 is missing"):
        encode_terms(union, ["stop", None])


def test_characters_are_tried_beside_words_in_short_texts_only(words, monkeypatch):
    assert fit_characters(clone(words).set_params(analyzer="char").fit(TEXTS), TEXTS) is None
    assert fit_characters(words, ["", " "]) is None
    monkeypatch.setattr(term_union, "MOST_CHARACTERS", sum(map(len, TEXTS)))
    assert fit_characters(words, TEXTS) is not None
    assert fit_characters(words, [*TEXTS, "a"]) is None


def test_kinds_of_terms_have_names(words):
    characters = fit_characters(words, TEXTS)
    assert describe_terms(words) == "words"
    assert describe_terms(TfidfEncoder(ngram_range=(1, 2))) == "n-grams"
    assert describe_terms(characters) == "characters"
    assert describe_terms(join_characters(words, characters)) == "words + characters"
    assert describe_terms(LSAEncoder()) == ""
