"""LSAEncoder: the SVD of TF-IDF rows, streamed and merged."""

import pickle

import numpy as np
import pytest
from scipy.sparse.linalg import svds
from sklearn.base import clone

import transferkit
from transferkit import LSAEncoder, TfidfEncoder

TEXTS = ["the cat sat", "the cat ran", "a stock rose", "a stock fell"]


@pytest.fixture(scope="module")
def corpus(load_docstrings_once):
    return load_docstrings_once(["joblib", "scipy"]).data[:1500]


def test_finds_the_leading_singular_vectors(corpus):
    encoder = LSAEncoder(n_components=20, n_iter=16).fit(corpus)
    rows = encoder.tfidf_.transform(corpus)
    _, values, vectors = svds(rows.astype(np.float64), k=20, random_state=0)
    np.testing.assert_allclose(encoder.singular_values_, values[::-1], rtol=5e-3)
    np.testing.assert_allclose(encoder.singular_values_[:10], values[:-11:-1], rtol=5e-5)
    assert encoder.components_.shape == (20, rows.shape[1])
    np.testing.assert_allclose(encoder.components_ @ encoder.components_.T, np.eye(20), atol=1e-4)
    overlap = np.abs(np.sum(encoder.components_ * vectors[::-1], axis=1))
    assert overlap[:10].min() > 0.999


def test_rows_are_the_projection_with_unit_length(corpus):
    encoder = LSAEncoder(n_components=16)
    rows = encoder.fit_transform(corpus)
    assert rows.dtype == np.float32
    assert rows.shape == (len(corpus), 16)
    expected = TfidfEncoder(min_df=2, sublinear_tf=True).fit_transform(corpus) @ encoder.components_.T
    lengths = np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(rows, expected / np.where(lengths == 0, 1, lengths), atol=1e-5)
    np.testing.assert_allclose(encoder.transform(corpus), rows, atol=1e-6)
    assert not encoder.transform(["zzzz", ""]).any()


def test_components_are_clipped_to_what_the_corpus_allows():
    encoder = LSAEncoder(n_components=256).fit(TEXTS)
    assert encoder.transform(TEXTS).shape == (4, 3)  # three terms are in two texts
    assert encoder.get_feature_names_out().tolist() == [f"lsaencoder{k}" for k in range(3)]
    repeated = LSAEncoder(n_components=3).fit(["cat stock"] * 5)  # rank 1
    np.testing.assert_allclose(np.abs(repeated.transform(["cat stock"])), [[1, 0]], atol=1e-6)


def test_texts_beyond_the_leading_vectors_have_rows_of_zeros():
    texts = ["cat dog cow"] * 9 + ["cat dog"] * 9 + ["stock bond"] * 3 + ["bond fund stock"] * 3
    encoder = LSAEncoder(n_components=2)
    rows = encoder.fit_transform(texts)
    assert rows[:18].any(axis=1).all()
    encoder = LSAEncoder(n_components=1)
    rows = encoder.fit_transform(texts)
    np.testing.assert_allclose(np.abs(rows[:18]), 1, atol=1e-6)
    assert not rows[18:].any()
    assert not encoder.transform(texts[18:]).any()
    assert not encoder.components_[:, encoder.vocabulary_["bond"]].any()


def test_random_state_makes_it_repeatable(corpus):
    first = LSAEncoder(n_components=8).fit(corpus).transform(corpus)
    np.testing.assert_array_equal(LSAEncoder(n_components=8).fit(corpus).transform(corpus), first)


def subspace_quality(encoder, corpus):
    """Return the squared norm of the projected rows as a share of the largest possible one."""
    rows = encoder.tfidf_.transform(corpus)
    best = svds(rows, k=encoder.n_components, return_singular_vectors=False, random_state=0)
    basis = np.linalg.qr(encoder.components_.T)[0]
    return np.square(rows @ basis).sum() / np.square(best).sum()


def test_streaming_comes_near_fitting_at_once(corpus):
    stream = LSAEncoder(n_components=32)
    for begin in range(0, len(corpus), 300):
        stream.partial_fit(corpus[begin : begin + 300])
    whole = LSAEncoder(n_components=32).fit(corpus)
    assert stream.vocabulary_ == whole.vocabulary_
    np.testing.assert_allclose(stream.tfidf_.idf_, whole.tfidf_.idf_)
    assert subspace_quality(whole, corpus) > 0.99
    assert subspace_quality(stream, corpus) > 0.93


def test_encoder_fitted_at_once_learns_on_and_merges(corpus):
    encoder = LSAEncoder(n_components=8).fit(corpus[:1000])
    before = encoder.tfidf_
    encoder.partial_fit(corpus[1000:1200]).merge(LSAEncoder(n_components=8).fit(corpus[1200:]))
    assert encoder.vocabulary_ == LSAEncoder().fit(corpus).vocabulary_
    assert before.n_documents_ == 1000


def test_merging_comes_near_fitting_at_once_in_any_order(corpus):
    def shards():
        return (LSAEncoder(n_components=32).partial_fit(corpus[k::2]) for k in (0, 1))

    first, second = shards()
    forward = first.merge(pickle.loads(pickle.dumps(second)))
    first, second = shards()
    backward = second.merge(first)
    assert forward.vocabulary_ == backward.vocabulary_ == LSAEncoder().fit(corpus).vocabulary_
    for merged in (forward, backward):
        assert subspace_quality(merged, corpus) > 0.93
    with pytest.raises(ValueError, match="n_components"):
        forward.merge(LSAEncoder(n_components=3).fit(corpus))
    with pytest.raises(TypeError, match="Only another LSAEncoder"):
        forward.merge(TfidfEncoder().fit(corpus))


def test_failed_batch_changes_nothing(corpus):
    encoder = LSAEncoder(n_components=8).partial_fit(corpus)
    before = encoder.transform(corpus)
    with pytest.raises(ValueError, match="position 0 is missing"):
        encoder.partial_fit([None])
    np.testing.assert_array_equal(encoder.transform(corpus), before)


def test_second_fit_forgets_the_first(corpus):
    encoder = LSAEncoder(n_components=8).fit(TEXTS * 3)
    np.testing.assert_array_equal(
        encoder.fit(corpus).transform(corpus), LSAEncoder(n_components=8).fit(corpus).transform(corpus)
    )


def test_saved_and_loaded_gives_the_same(corpus, tmp_path):
    encoder = LSAEncoder(n_components=8).fit(corpus)
    expected = encoder.transform(corpus)
    transferkit.save(encoder, tmp_path / "encoder.tk")
    for loaded in (pickle.loads(pickle.dumps(encoder)), transferkit.load(tmp_path / "encoder.tk")):
        np.testing.assert_array_equal(loaded.transform(corpus), expected)


@pytest.mark.parametrize("method", ["partial_fit", "merge", "be merged"])
def test_encoder_without_its_rare_terms_says_so_in_its_own_name(corpus, method):
    whole = LSAEncoder(n_components=4).partial_fit(corpus[:50])
    loaded = pickle.loads(pickle.dumps(LSAEncoder(n_components=4).fit(corpus[:50])))
    call = {
        "partial_fit": lambda: loaded.partial_fit(corpus[50:60]),
        "merge": lambda: loaded.merge(whole),
        "be merged": lambda: whole.merge(loaded),
    }[method]
    with pytest.raises(ValueError, match=r"This LSAEncoder was fitted with fit .* Fit it with partial_fit"):
        call()


def stream(encoder, texts, size=100):
    for begin in range(0, len(texts), size):
        encoder.partial_fit(texts[begin : begin + size])
    return encoder


def test_batches_that_nobody_asks_about_equal_fitting_at_once(corpus):
    texts, encoder = corpus[:1000], LSAEncoder(n_components=8)
    expected = clone(encoder).fit(texts)
    for found in (stream(clone(encoder), texts), pickle.loads(pickle.dumps(stream(clone(encoder), texts)))):
        assert found.vocabulary_ == expected.vocabulary_
        assert found.n_documents_ == 1000
        np.testing.assert_allclose(found.singular_values_, expected.singular_values_, rtol=1e-5)
        np.testing.assert_allclose(found.components_, expected.components_, atol=1e-5)
        np.testing.assert_allclose(found.transform(texts), expected.transform(texts), atol=1e-4)


@pytest.mark.parametrize(
    "attribute", ["components_", "singular_values_", "vocabulary_", "n_documents_", "tfidf_", "get_feature_names_out"]
)
def test_fitted_attributes_are_there_after_a_batch(corpus, attribute):
    encoder = LSAEncoder(n_components=4)
    assert not hasattr(encoder, "singular_values_")
    encoder.partial_fit(corpus[:50])
    assert hasattr(encoder, attribute)
    assert len(encoder.get_feature_names_out()) == 4


def test_many_batches_take_one_decomposition_and_one_analysis_of_each_text(corpus, monkeypatch):
    seen, decompositions, original = [], [], LSAEncoder._decompose
    monkeypatch.setattr(LSAEncoder, "_decompose", lambda *given: decompositions.append(1) or original(*given))
    encoder = LSAEncoder(
        4, tokenizer=lambda text: seen.append(text) or text.split(), token_pattern=None, lowercase=False
    )
    stream(encoder, corpus[:300], 20)
    assert decompositions == []
    assert encoder.components_.shape[0] == 4
    assert decompositions == [1]
    assert sorted(seen) == sorted(corpus[:300])


def test_encoder_saved_between_batches_learns_as_the_one_that_was_not_saved(corpus, tmp_path):
    encoder = LSAEncoder(n_components=8).partial_fit(corpus[:300])
    transferkit.save(encoder, tmp_path / "encoder.tk")
    others = [transferkit.load(tmp_path / "encoder.tk"), pickle.loads(pickle.dumps(encoder))]
    rows = encoder.partial_fit(corpus[300:600]).transform(corpus[:50])
    for other in others:
        np.testing.assert_array_equal(other.partial_fit(corpus[300:600]).transform(corpus[:50]), rows)


def test_rows_that_wait_are_bounded(corpus, monkeypatch):
    monkeypatch.setattr("transferkit.encoders.text._lsa._MOST_PENDING", 5000)
    encoder, waiting = LSAEncoder(n_components=8), []
    for begin in range(0, 1000, 100):
        encoder.partial_fit(corpus[begin : begin + 100])
        waiting.append(vars(encoder)["_pending"].n_entries if "_pending" in vars(encoder) else 0)
    assert max(waiting) <= 5000
    assert 0 in waiting
    assert encoder.n_documents_ == 1000


@pytest.mark.parametrize("parameters", [{"max_vocabulary": 5000}, {"vocabulary": ["array", "value", "returns"]}])
def test_batches_with_bounded_or_given_terms_are_learned(corpus, parameters):
    encoder = stream(LSAEncoder(n_components=2, **parameters), corpus[:300])
    assert encoder.n_documents_ == 300
    assert encoder.transform(corpus[:5]).shape == (5, 2)


def test_batch_without_enough_terms_can_be_followed_by_others():
    encoder = LSAEncoder(n_components=1).partial_fit(["a single text"])
    with pytest.raises(ValueError, match="no term can be kept"):
        encoder.transform(["a single text"])
    assert encoder.partial_fit(["a single text"]).transform(["a single text"]).any()
