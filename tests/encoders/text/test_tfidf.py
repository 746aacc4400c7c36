# ruff: noqa: RUF001 (letters that look like others are the point)
"""TfidfEncoder: the results of scikit-learn's TfidfVectorizer, streams, merges, stems and pickles."""

import io
import pickle
import re
import warnings
from copy import copy

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import ComplementNB
from sklearn.pipeline import make_pipeline

import transferkit
from transferkit import LSAEncoder, TfidfEncoder, WordVectorEncoder
from transferkit._algorithms.text import tokens
from transferkit.datasets import load_docstrings
from transferkit.encoders.text import _analyzer, _fitted_terms

TRICKY = (
    "aAbBzZ09_-'. ,\n\t\r\x0b\x0c\x1c\x1f\x85\xa0\u1680\u2003\u2028\u3000\u200b\ufeff\x00\x01\x7f"  # blanks, controls
    "ßéÉàñçøÞŁŉǅΣσςΑΩοδſK\u0130\u0131\u0307\u0301\u0308\u0345ȺⱥẞﬁⅷⅣ²٣_"  # case folding of another length, marks
    "中文かなカナ한국ไทยसंस्कृत\u0640\u064b𝒳𝟙𐐀𐐨😀\ud800\udc00\U0010ffff"
)
CHARACTERS = st.one_of(st.sampled_from(TRICKY), st.sampled_from("ab "), st.characters(codec=None))
DOCUMENTS = st.lists(st.text(CHARACTERS, max_size=25), min_size=1, max_size=8)
PLAIN = settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])

ABOUT_WORDS = pytest.mark.filterwarnings(
    "ignore:(The words|Most words) of these texts:UserWarning", "ignore:No text of this batch:UserWarning"
)
NOTHING_LEARNED = r"empty vocabulary|no terms remain|fewer documents"
NGRAM_RANGES = st.sampled_from([(1, 1), (1, 2), (2, 2), (1, 3), (2, 4), (3, 3)])
OPTIONS = st.fixed_dictionaries(
    {
        "analyzer": st.sampled_from(["word", "char", "char_wb"]),
        "ngram_range": NGRAM_RANGES,
        "lowercase": st.booleans(),
        "strip_accents": st.sampled_from([None, "unicode", "ascii"]),
        "min_df": st.sampled_from([1, 2, 0.3]),
        "max_df": st.sampled_from([1.0, 0.7, 3]),
        "max_features": st.sampled_from([None, 1, 3, 10]),
        "binary": st.booleans(),
        "sublinear_tf": st.booleans(),
        "use_idf": st.booleans(),
        "smooth_idf": st.booleans(),
        "norm": st.sampled_from([None, "l1", "l2"]),
        "dtype": st.sampled_from([np.float32, np.float64]),
    }
)


def reference(documents, **parameters):
    """Return scikit-learn's terms, idf and rows, or None if it finds no term."""
    vectorizer = TfidfVectorizer(**{"dtype": np.float32} | parameters)
    try:
        rows = vectorizer.fit_transform(documents)
    except ValueError as error:
        if not re.search(f"{NOTHING_LEARNED}|< documents", str(error)):
            raise
        return None
    rows.sort_indices()
    return vectorizer, rows


def assert_same_rows(rows, expected):
    assert rows.shape == expected.shape
    assert rows.dtype == expected.dtype
    assert rows.indices.dtype == expected.indices.dtype
    np.testing.assert_array_equal(rows.indptr, expected.indptr)
    np.testing.assert_array_equal(rows.indices, expected.indices)
    np.testing.assert_allclose(rows.data, expected.data, rtol=1e-6)


def assert_equal_to_reference(documents, **parameters):
    expected = reference(documents, **parameters)
    encoder = TfidfEncoder(**parameters)
    if expected is None:
        with pytest.raises(ValueError, match=NOTHING_LEARNED):
            encoder.fit(documents)
        return
    vectorizer, expected_rows = expected
    rows = encoder.fit_transform(documents)
    assert encoder.get_feature_names_out().tolist() == vectorizer.get_feature_names_out().tolist()
    assert encoder.vocabulary_ == vectorizer.vocabulary_
    assert_same_rows(rows, expected_rows)
    if encoder.use_idf:
        np.testing.assert_allclose(encoder.idf_, vectorizer.idf_, rtol=1e-6)
        assert encoder.idf_.dtype == vectorizer.idf_.dtype
    assert_same_rows(encoder.transform(documents), expected_rows)  # as few texts
    many = encoder.transform(documents * 20)  # as blocks
    assert_same_rows(many[: len(documents)], expected_rows)
    fitted = TfidfEncoder(**parameters).fit(documents)
    assert_same_rows(fitted.transform(documents[:1]), expected_rows[:1])


@ABOUT_WORDS
@PLAIN
@given(DOCUMENTS, OPTIONS)
@example(["ΟΔΟΣ", "Σ", "ΑΣ Σ. ΑΣ\u0301 a"], {"analyzer": "word", "ngram_range": (1, 2)})
@example(["İstanbul ȺȺ", "KK ǅǅ"], {"analyzer": "char_wb", "ngram_range": (2, 3)})
@example(["a\x00b", "\x00", "a\x00\x00b"], {"analyzer": "char", "ngram_range": (1, 3)})
@example(["a\u2003 \u3000b\n", " \u2003", "\u2003a", "x  y"], {"analyzer": "char", "ngram_range": (1, 3)})
@example(["𝒳𝒴 AB", "xy ab"], {"analyzer": "word", "strip_accents": "unicode"})
def test_equals_scikit_learn_on_any_text_and_setting(documents, options):
    assert_equal_to_reference(documents, **options)


@ABOUT_WORDS
@pytest.mark.filterwarnings("ignore:Some stop words stay:UserWarning", "ignore:Your stop_words:UserWarning")
@PLAIN
@given(DOCUMENTS, NGRAM_RANGES, st.lists(st.sampled_from(["ab", "a", "ba", "", "AB", "the"]), max_size=4))
def test_stop_words_go_before_ngrams_are_made(documents, ngram_range, stop_words):
    assert_equal_to_reference(documents, ngram_range=ngram_range, stop_words=stop_words)


@ABOUT_WORDS
@pytest.mark.parametrize(
    ("parameters", "step"),
    [({}, 1), ({"lowercase": False}, 11), ({"analyzer": "char_wb", "ngram_range": (2, 2)}, 37)],
)
def test_every_character_is_lowered_and_split_as_by_scikit_learn(parameters, step):
    characters = [chr(code_point) for code_point in range(0, 0x110000, step)]
    documents = ["".join(f"x{c}y {c}{c} {c} " for c in characters[k::997]) for k in range(997)]
    vectorizer, expected = reference(documents, **parameters)
    encoder = TfidfEncoder(**parameters)
    assert_same_rows(encoder.fit_transform(documents), expected)
    assert encoder.get_feature_names_out().tolist() == vectorizer.get_feature_names_out().tolist()


PLAIN_WAYS = [
    {"token_pattern": r"\S+"},
    {"token_pattern": r"(?u)\b(\w)\w+\b", "ngram_range": (1, 2)},
    {"tokenizer": str.split, "token_pattern": None, "ngram_range": (1, 2)},
    {"preprocessor": str.swapcase},
    {"strip_accents": str.title},
    {"analyzer": lambda text: text.split(",")},
]


@ABOUT_WORDS
@pytest.mark.parametrize("parameters", PLAIN_WAYS)
@settings(PLAIN, max_examples=30)
@given(documents=DOCUMENTS)
def test_own_functions_and_patterns_give_the_same(parameters, documents):
    assert_equal_to_reference(documents, **parameters)


@pytest.mark.parametrize("vocabulary", [["the cat", "cat", "no", "zz top"], {"cat": 1, "no": 0}, {"b", "a", "cat"}])
def test_given_vocabulary_decides_the_columns(vocabulary):
    documents = ["The cat said no", "cat cat a cat"]
    parameters = {"vocabulary": vocabulary, "ngram_range": (1, 2), "smooth_idf": True}
    vectorizer, expected = reference(documents, **parameters)
    encoder = TfidfEncoder(**parameters)
    assert_same_rows(encoder.fit_transform(documents), expected)
    assert encoder.vocabulary_ == vectorizer.vocabulary_
    halves = TfidfEncoder(**parameters).partial_fit(documents[:1]).partial_fit(documents[1:])
    assert_same_rows(halves.transform(documents), expected)


@pytest.mark.parametrize(
    ("vocabulary", "message"),
    [([], "empty vocabulary"), (["a", "a"], "Duplicate term"), ({"a": 1}, "must be 0 to 0"), ([1], "must be str")],
)
def test_bad_vocabulary_is_refused(vocabulary, message):
    with pytest.raises((ValueError, TypeError), match=message):
        TfidfEncoder(vocabulary=vocabulary).fit(["a b"])


def test_unknown_text_and_empty_text_give_rows_of_zeros():
    encoder = TfidfEncoder().fit(["aa bb"])
    for n_copies in (1, 40):
        rows = encoder.transform(["", "zz", "aa"] * n_copies)
        assert rows.getnnz(axis=1)[:3].tolist() == [0, 0, 1]


@pytest.fixture(scope="module")
def corpus():
    return load_docstrings(["joblib"]).data


LEARNING = [
    {},
    {"ngram_range": (1, 2), "min_df": 2},
    {"max_features": 50},
    {"analyzer": "char_wb", "ngram_range": (2, 4), "max_df": 0.5},
    {"analyzer": str.split},
    {"vocabulary": ["parallel", "memory"]},
]


@pytest.mark.parametrize("parameters", LEARNING)
def test_streaming_equals_fitting_at_once(parameters, corpus):
    whole = TfidfEncoder(**parameters).fit(corpus)
    stream = TfidfEncoder(**parameters)
    for begin in range(0, len(corpus), 37):
        stream.partial_fit(corpus[begin : begin + 37])
    generated = TfidfEncoder(**parameters).fit(text for text in corpus)
    assert whole.n_documents_ == stream.n_documents_ == len(corpus)
    for encoder in (stream, generated):
        assert encoder.get_feature_names_out().tolist() == whole.get_feature_names_out().tolist()
        assert_same_rows(encoder.transform(corpus), whole.transform(corpus))


@pytest.mark.parametrize("parameters", LEARNING)
def test_merging_equals_fitting_at_once_in_any_order(parameters, corpus):
    expected = TfidfEncoder(**parameters).fit_transform(corpus)
    shards = [corpus[:30], corpus[30:200], corpus[200:]]
    for order in ((0, 1, 2), (2, 0, 1)):
        first, *others = (TfidfEncoder(**parameters).partial_fit(shards[k]) for k in order)
        for other in others:
            other = pickle.loads(pickle.dumps(other))  # as it comes from a worker
            assert first.merge(other) is first
        assert_same_rows(first.transform(corpus), expected)
    fitted = TfidfEncoder(**parameters).fit(corpus[:100]).merge(TfidfEncoder(**parameters).fit(corpus[100:]))
    assert_same_rows(fitted.transform(corpus), expected)


def test_batches_without_enough_documents_are_merged_and_pickled():
    first, second = (TfidfEncoder(min_df=2).partial_fit(texts) for texts in (["aa bb"], ["bb cc"]))
    with pytest.raises(ValueError, match="no term can be kept"):
        first.transform(["bb"])
    merged = pickle.loads(pickle.dumps(first)).merge(pickle.loads(pickle.dumps(second)))
    assert merged.vocabulary_ == {"bb": 0}
    assert merged.n_documents_ == 2
    assert copy(first).merge(second).vocabulary_ == {"bb": 0}


def test_counted_terms_make_the_encoder_that_fit_makes(corpus):
    expected = TfidfEncoder(min_df=3, max_features=200).fit(corpus)
    encoder = TfidfEncoder(min_df=3, max_features=200)
    halves = [encoder.count_terms(corpus[:100]), encoder.count_terms(corpus[100:])]
    assert not hasattr(encoder, "n_documents_")
    whole = halves[0].merge(halves[1], None)
    for keeps_excluded in (True, False):
        encoder = clone(expected).set_terms(whole, keeps_excluded=keeps_excluded)
        assert_same_rows(encoder.transform(corpus), expected.transform(corpus))
        assert encoder.terms_.is_complete == keeps_excluded
    names = expected.get_feature_names_out().tolist()
    assert expected.terms_.find_columns([*names, "zzz"]) == [*range(200), -1]


def test_merging_refuses_other_parameters_and_other_things(corpus):
    encoder = TfidfEncoder().fit(corpus)
    with pytest.raises(ValueError, match=r"These differ: \['min_df'\]"):
        encoder.merge(TfidfEncoder(min_df=2).fit(corpus))
    given_here, given_there = (TfidfEncoder(vocabulary=np.array(terms)).fit(corpus) for terms in (["a"], ["a", "b"]))
    with pytest.raises(ValueError, match=r"These differ: \['vocabulary'\]"):
        given_here.merge(given_there)
    with pytest.raises(TypeError, match="Only another TfidfEncoder"):
        encoder.merge(TfidfVectorizer().fit(corpus))


def test_pickle_after_fit_leaves_out_what_was_pruned_and_then_cannot_learn(corpus):
    encoder = TfidfEncoder(ngram_range=(1, 2), min_df=5).fit(corpus)
    blob = pickle.dumps(encoder)
    assert len(blob) < 0.3 * len(pickle.dumps(TfidfEncoder(ngram_range=(1, 2), min_df=5).partial_fit(corpus)))
    loaded = pickle.loads(blob)
    assert_same_rows(loaded.transform(corpus), encoder.transform(corpus))
    for learn in (lambda: loaded.partial_fit(corpus), lambda: loaded.merge(encoder)):
        with pytest.raises(ValueError, match="cannot be fitted further"):
            learn()


@pytest.mark.parametrize("parameters", LEARNING)
def test_threads_change_nothing(parameters, corpus, monkeypatch):
    expected = TfidfEncoder(**parameters).fit_transform(corpus)
    monkeypatch.setattr(_analyzer, "_BLOCK_SIZE", dict.fromkeys(_analyzer._BLOCK_SIZE, 2000))
    for n_jobs in (None, 2, 5):
        encoder = TfidfEncoder(n_jobs=n_jobs, **parameters)
        assert_same_rows(encoder.fit_transform(corpus), expected)
        assert_same_rows(encoder.transform(corpus), expected)
        assert_same_rows(TfidfEncoder(n_jobs=n_jobs, **parameters).fit(corpus).transform(corpus), expected)


@pytest.mark.parametrize("n_bits", [1, 9])
@pytest.mark.parametrize("parameters", [{}, {"ngram_range": (1, 2)}, {"analyzer": "char_wb", "ngram_range": (3, 4)}])
def test_terms_that_share_a_hash_stay_apart(parameters, n_bits, corpus, monkeypatch):
    expected = TfidfEncoder(**parameters).fit(corpus)
    expected_rows = expected.transform(corpus)
    strong = tokens.mix

    def mix(hashes):
        hashes = strong(hashes)
        hashes >>= np.uint64(32)  # a few middle bits only, so that terms share hashes
        hashes &= np.uint64((1 << n_bits) - 1)
        return hashes

    monkeypatch.setattr(tokens, "mix", mix)
    encoder = TfidfEncoder(**parameters)
    rows = encoder.fit_transform(corpus)
    hashes = encoder.terms_.vocabulary.hashes
    assert len(np.unique(hashes)) < len(hashes)  # else the test would test nothing
    assert encoder.get_feature_names_out().tolist() == expected.get_feature_names_out().tolist()
    assert_same_rows(rows, expected_rows)
    assert_same_rows(encoder.transform(corpus), expected_rows)
    assert_same_rows(encoder.transform(corpus[:1]), expected_rows[:1])
    halves = TfidfEncoder(**parameters).partial_fit(corpus[:50]).partial_fit(corpus[50:])
    assert_same_rows(halves.transform(corpus), expected_rows)


def test_stems_of_a_language_and_of_a_function_join_words():
    pytest.importorskip("Stemmer", exc_type=ImportError)
    texts = ["running runs the runner", "he runs, and they were running"]
    encoder = TfidfEncoder(stemmer="english", stop_words="english").fit(texts)
    assert encoder.get_feature_names_out().tolist() == ["run", "runner"]
    with pytest.raises(ValueError, match="must be a callable or one of"):
        TfidfEncoder(stemmer="klingon").fit(texts)


@ABOUT_WORDS
@settings(PLAIN, max_examples=40)
@given(DOCUMENTS, NGRAM_RANGES)
def test_stemmer_equals_a_stemming_tokenizer(documents, ngram_range):
    words = re.compile(r"(?u)\b\w\w+\b")
    expected = reference(
        documents,
        tokenizer=lambda text: [_shorten(word) for word in words.findall(text)],
        token_pattern=None,
        ngram_range=ngram_range,
    )
    assume(expected is not None)
    encoder = TfidfEncoder(stemmer=_shorten, ngram_range=ngram_range)
    assert_same_rows(encoder.fit_transform(documents), expected[1])
    assert encoder.get_feature_names_out().tolist() == expected[0].get_feature_names_out().tolist()
    assert_same_rows(encoder.transform(documents), expected[1])
    assert_same_rows(encoder.transform(documents * 20)[: len(documents)], expected[1])


def _shorten(word):
    return word[:2]


def test_stemmer_is_called_once_a_distinct_word_and_must_give_one_word():
    calls = []
    TfidfEncoder(stemmer=lambda word: calls.append(word) or word).fit(["aa bb aa", "bb aa"] * 50)
    assert sorted(calls) == ["aa", "bb"]
    with pytest.raises(ValueError, match="must turn a word into one word"):
        TfidfEncoder(stemmer=lambda word: word + " x").fit(["aa bb"])
    with pytest.raises(ValueError, match="needs analyzer='word'"):
        TfidfEncoder(stemmer=str.upper, analyzer="char").fit(["aa bb"])


def test_copy_learns_on_without_the_original(corpus):
    encoder = TfidfEncoder(min_df=2).fit(corpus[:100]).partial_fit(corpus[100:150])
    other = copy(encoder).partial_fit(corpus[150:])
    assert encoder.n_documents_ == 150
    assert_same_rows(other.transform(corpus), TfidfEncoder(min_df=2).fit_transform(corpus))
    assert copy(TfidfEncoder(min_df=2)).min_df == 2


def test_second_fit_forgets_the_first(corpus):
    encoder = TfidfEncoder().fit(["other words"])
    encoder.transform(["other words"])
    assert_same_rows(encoder.fit(corpus).transform(corpus), TfidfEncoder().fit_transform(corpus))
    assert encoder.transform(["other"]).shape == (1, len(encoder.vocabulary_))


def test_failed_fit_leaves_the_encoder_as_it_was(corpus):
    encoder = TfidfEncoder().fit(corpus)
    before = encoder.transform(corpus)
    with pytest.raises(ValueError, match="position 1 is missing"):
        encoder.partial_fit(["a", None])
    with pytest.raises(ValueError, match="empty vocabulary"):
        encoder.fit(["."])
    assert_same_rows(encoder.transform(corpus), before)
    assert encoder.n_documents_ == len(corpus)


def test_saved_and_loaded_gives_the_same(corpus, tmp_path):
    encoder = TfidfEncoder(ngram_range=(1, 2), max_features=500).fit(corpus)
    expected = encoder.transform(corpus)
    transferkit.save(encoder, tmp_path / "encoder.tk")
    for loaded in (pickle.loads(pickle.dumps(encoder)), transferkit.load(tmp_path / "encoder.tk")):
        assert_same_rows(loaded.transform(corpus), expected)
        assert_same_rows(loaded.transform(corpus[:1]), expected[:1])
        assert loaded.vocabulary_ == encoder.vocabulary_
        with pytest.raises(ValueError, match="cannot be fitted further exactly"):
            loaded.partial_fit(corpus[:1])


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("parameters", [*LEARNING[:4], LEARNING[5], {"use_idf": False, "dtype": np.float64}])
def test_model_file_holds_all_that_was_learned(parameters, compress, corpus, tmp_path):
    path = tmp_path / "encoder.tk"
    encoder = TfidfEncoder(**parameters).partial_fit(corpus[:100])
    transferkit.save(encoder, path, compress=compress)
    whole = copy(encoder).partial_fit(corpus[100:])
    assert_same_rows(transferkit.load(path).partial_fit(corpus[100:]).transform(corpus), whole.transform(corpus))
    other = TfidfEncoder(**parameters).partial_fit(corpus[100:])
    assert_same_rows(other.merge(transferkit.load(path)).transform(corpus), whole.transform(corpus))
    loaded = transferkit.load(path)
    for texts in (corpus[:1], ["zzz", "memory of parallel\ud800"], corpus):  # found by string, and by hash
        assert_same_rows(loaded.transform(texts), encoder.transform(texts))
    for again in (pickle.loads(pickle.dumps(loaded)), copy(loaded)):
        assert_same_rows(again.transform(corpus), encoder.transform(corpus))
        assert again.get_feature_names_out().tolist() == encoder.get_feature_names_out().tolist()
    before = path.read_bytes()
    transferkit.save(loaded, path, compress=compress)
    assert len(path.read_bytes()) == len(before)
    with pytest.raises(AttributeError, match="no attribute 'coef_'"):
        loaded.coef_  # noqa: B018


def test_terms_of_a_model_file_are_hashed_when_as_many_have_been_looked_up(corpus, tmp_path):
    encoder = TfidfEncoder().fit(corpus)
    transferkit.save(encoder, tmp_path / "encoder.tk")
    loaded, batch = transferkit.load(tmp_path / "encoder.tk"), corpus[:20]
    n_per_batch = len(encoder.count_terms(batch).terms.hashes)
    n_batches = len(encoder.vocabulary_) // n_per_batch
    assert n_batches > 1
    for number in range(n_batches + 2):
        assert ("vocabulary" in vars(loaded.terms_)) == (number > n_batches)
        assert_same_rows(loaded.transform(batch), encoder.transform(batch))


def test_many_terms_are_mapped_from_a_model_file_and_not_made_by_each_process(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(_fitted_terms, "_MOST_PACKED", 10)
    encoder = TfidfEncoder().partial_fit(corpus)
    transferkit.save(encoder, tmp_path / "encoder.tk")
    loaded = transferkit.load(tmp_path / "encoder.tk")
    terms = loaded.terms_.vocabulary
    for base in (terms.hashes, terms.checks, terms.text, loaded.terms_.columns):
        while not isinstance(base, np.memmap):
            base = base.base
        assert base.size > 0
    for texts in (corpus[:1], corpus):
        assert_same_rows(loaded.transform(texts), encoder.transform(texts))


def test_model_file_is_small(corpus, tmp_path):
    encoder = TfidfEncoder().fit(corpus)
    sizes = []
    for compress in (False, True):
        transferkit.save(encoder, tmp_path / "encoder.tk", compress=compress)
        sizes.append((tmp_path / "encoder.tk").stat().st_size)
    n_letters = sum(map(len, encoder.vocabulary_))
    assert sizes[1] < sizes[0] < n_letters + 3 * len(encoder.vocabulary_) + 5000


def test_pickle_holds_no_caches(corpus):
    encoder = TfidfEncoder().fit(corpus)
    before = pickle.dumps(encoder)
    encoder.transform(["a text about parallel memory"])
    encoder.vocabulary_  # noqa: B018 (computed on demand, and not kept)
    assert pickle.dumps(encoder) == before


def test_changed_parameter_counts_in_the_next_transform():
    encoder = TfidfEncoder().fit(["aa bb", "bb cc"])
    encoder.transform(["AA"])
    assert encoder.set_params(lowercase=False).transform(["AA"]).nnz == 0


def test_kinds_of_collections_give_the_same(corpus):
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    expected = TfidfEncoder().fit_transform(corpus)
    for texts in (np.array(corpus), np.array(corpus, object), pandas.Series(corpus), polars.Series(corpus)):
        assert_same_rows(TfidfEncoder().fit_transform(texts), expected)
    assert_same_rows(TfidfEncoder().fit_transform([text.encode() for text in corpus]), expected)


def test_files_are_read(tmp_path):
    paths = []
    for name, text in (("a", "naïve cat"), ("b", "cat")):
        paths.append(tmp_path / name)
        paths[-1].write_bytes(text.encode("latin-1"))
    expected = TfidfEncoder().fit_transform(["naïve cat", "cat"])
    parameters = {"encoding": "latin-1", "decode_error": "replace"}
    assert_same_rows(TfidfEncoder(input="filename", **parameters).fit_transform(map(str, paths)), expected)
    files = [io.BytesIO(path.read_bytes()) for path in paths]
    assert_same_rows(TfidfEncoder(input="file", **parameters).fit_transform(files), expected)


def test_works_in_pipeline_search_and_clone(corpus):
    labels = np.arange(len(corpus)) % 2
    search = GridSearchCV(make_pipeline(TfidfEncoder(), ComplementNB()), {"tfidfencoder__binary": [True, False]}, cv=2)
    assert search.fit(corpus, labels).predict(corpus[:3]).shape == (3,)
    assert clone(TfidfEncoder(min_df=2)).min_df == 2


def test_inverse_transform_names_the_terms():
    encoder = TfidfEncoder()
    rows = encoder.fit_transform(["bb aa", "", "cc"])
    assert [terms.tolist() for terms in encoder.inverse_transform(rows)] == [["aa", "bb"], [], ["cc"]]
    assert [terms.tolist() for terms in encoder.inverse_transform(rows.toarray())] == [["aa", "bb"], [], ["cc"]]


def test_inverse_transform_leaves_its_argument_as_it_is():
    encoder = TfidfEncoder(norm=None, use_idf=False).fit(["ab cd", "cd ef"])
    rows = sparse.csr_matrix((np.array([0.0, 1, 1]), np.array([0, 2, 1]), np.array([0, 1, 3])), shape=(2, 3))
    arrays = [array.copy() for array in (rows.data, rows.indices, rows.indptr)]
    for writeable in (True, False):
        for array in (rows.data, rows.indices, rows.indptr):
            array.setflags(write=writeable)
        assert [terms.tolist() for terms in encoder.inverse_transform(rows)] == [[], ["cd", "ef"]]
        for array, before in zip((rows.data, rows.indices, rows.indptr), arrays, strict=True):
            np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize("given", [{"vocabulary": ["dog", "cat"]}, {"max_vocabulary": 100}, {}])
@pytest.mark.parametrize("make", [list, iter])
def test_open_files_and_streams_are_read_once(given, make):
    texts = ["cat dog", "dog dog bird"]
    _, expected = reference(texts, vocabulary=given.get("vocabulary"))
    files = [io.BytesIO(text.encode()) for text in texts]
    assert_same_rows(TfidfEncoder(input="file", **given).fit_transform(make(files)), expected)
    assert_same_rows(TfidfEncoder(**given).fit_transform(make(texts)), expected)


def test_functions_are_those_of_scikit_learn():
    parameters = {"stop_words": ["the", "and"], "strip_accents": "unicode"}
    encoder, vectorizer = TfidfEncoder(**parameters), TfidfVectorizer(**parameters)
    text = "The Café and THE cats"
    assert encoder.get_stop_words() == vectorizer.get_stop_words()
    assert TfidfEncoder(stop_words="english").get_stop_words() == TfidfVectorizer(stop_words="english").get_stop_words()
    assert TfidfEncoder().get_stop_words() is None
    assert encoder.build_preprocessor()(text) == vectorizer.build_preprocessor()(text) == "the cafe and the cats"
    assert encoder.build_tokenizer()(text) == vectorizer.build_tokenizer()(text)
    assert encoder.build_analyzer()(text) == vectorizer.build_analyzer()(text) == ["cafe", "cats"]
    assert TfidfEncoder(encoding="latin-1").decode("né".encode("latin-1")) == "né"
    assert TfidfEncoder().fit([text]).fixed_vocabulary_ is False
    assert TfidfEncoder(vocabulary=["cats"]).fit([text]).fixed_vocabulary_ is True
    missing = {name for name in set(dir(TfidfVectorizer())) - set(dir(TfidfEncoder())) if not name.startswith("_")}
    assert not missing


def test_stop_words_that_the_tokenizer_changes_are_warned_of_once():
    texts = ["we don't know", "they don't care"]
    with pytest.warns(UserWarning, match=r"words that are not in 'stop_words', such as \['don'\]") as seen:
        encoder = TfidfEncoder(stop_words=["don't", "we"]).fit(texts)
    assert len(seen) == 1
    with warnings.catch_warnings(action="always", record=True) as seen:
        encoder.transform(texts)
        encoder.transform(texts * 20)
        encoder.build_analyzer()
    assert not seen
    assert "don" in encoder.vocabulary_
    with pytest.warns(UserWarning, match=r"such as \['don'\]"):
        WordVectorEncoder(2, min_count=1, stop_words=["don't"]).fit(texts)


@pytest.mark.parametrize("dtype", [np.int64, np.uint8])
def test_types_of_whole_numbers_give_float64_with_a_warning(dtype, tmp_path):
    texts = ["aa bb", "bb cc"]
    expected = TfidfEncoder(dtype=np.float64).fit_transform(texts)
    with pytest.warns(UserWarning, match=r"should be np\.float32 or np\.float64.*: rows will be float64"):
        encoder = TfidfEncoder(dtype=dtype).fit(texts)
    transferkit.save(encoder, tmp_path / "encoder.tk")
    for fitted in (encoder, transferkit.load(tmp_path / "encoder.tk")):
        assert_same_rows(fitted.transform(texts), expected)
        assert_same_rows(fitted.transform(texts * 20)[:2], expected)


@pytest.mark.parametrize(
    ("parameters", "length"),
    [({}, 300), ({"analyzer": "char", "ngram_range": (1, 9)}, 150), ({"token_pattern": r"\S+"}, 300)],
)
def test_texts_too_long_for_the_offsets_are_refused(parameters, length, monkeypatch):
    monkeypatch.setattr(_analyzer, "_MOST_POSITIONS", 1000)
    texts = ["aa bb", "cc " * (length // 3)]
    encoder = TfidfEncoder(**parameters).fit(texts[:1])
    for use in (encoder.fit, encoder.fit_transform, encoder.partial_fit):
        with pytest.raises(ValueError, match=rf"position 1 is too long to be counted at once: it has {length} char"):
            use(texts)
    with pytest.raises(ValueError, match="position 20 is too long"):
        encoder.transform(texts[:1] * 20 + texts[1:])
    assert encoder.transform(["aa " * 30] * 20).nnz


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"ngram_range": (2, 1)}, "must be .min_n, max_n. with min_n <= max_n"),
        ({"dtype": "U4"}, "must be np.float32 or np.float64"),
        ({"norm": "l3"}, "'norm' parameter of TfidfEncoder"),
        ({"min_df": 3, "max_df": 1}, "fewer documents than min_df"),
    ],
)
def test_bad_parameters_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        TfidfEncoder(**parameters).fit(["aa bb", "bb", "cc"])


@pytest.mark.parametrize("parameters", [{}, {"ngram_range": (1, 2)}, {"analyzer": "char_wb", "ngram_range": (3, 5)}])
@pytest.mark.parametrize("name", ["20newsgroups", "wikipedia"])
def test_equals_scikit_learn_on_real_text(name, parameters, shared_data):
    if name == "20newsgroups":
        from sklearn.datasets import fetch_20newsgroups

        folder = shared_data / "20newsgroups"
        texts = fetch_20newsgroups(data_home=folder, subset="test", download_if_missing=False).data[::48]
    else:
        texts = transferkit.datasets.load_corpus(shared_data / "wiki_en_sample" / "wiki_en_sample.txt.gz")[::180]
    assert_equal_to_reference(list(texts), **parameters)


@pytest.mark.parametrize("make", [TfidfEncoder, LSAEncoder])
@pytest.mark.parametrize("learn", ["fit", "fit_transform", "partial_fit"])
def test_device_is_deprecated_and_changes_nothing(make, learn, corpus, tmp_path):
    expected, encoder = make().fit(corpus), make(device="cuda:1")
    with pytest.warns(FutureWarning, match=f"'device' parameter of {make.__name__} has no effect.*'cuda:1'") as seen:
        getattr(encoder, learn)(corpus)
    assert len(seen) == 1
    assert seen[0].filename == __file__
    transferkit.save(encoder, tmp_path / "encoder.tk")
    with warnings.catch_warnings(action="error"):
        for fitted in (encoder, pickle.loads(pickle.dumps(encoder)), transferkit.load(tmp_path / "encoder.tk")):
            assert abs(fitted.transform(corpus) - expected.transform(corpus)).max() < 1e-6
        make(device=None).fit(corpus)  # the former default, which is in models saved before


def test_short_texts_remember_a_bounded_number_of_terms(monkeypatch):
    encoder = TfidfEncoder().fit(["aa bb cc"])
    monkeypatch.setattr(_fitted_terms, "_MEMO_SIZE", 5)
    for k in range(30):
        assert encoder.transform([f"aa word{k} other{k}"]).nnz == 1
    assert len(encoder.terms_._column_of) <= 5


def test_bound_on_the_vocabulary_changes_nothing_until_it_is_reached(load_docstrings_once):
    texts = load_docstrings_once(["joblib"]).data
    exact = TfidfEncoder().fit(texts)
    bounded = TfidfEncoder(max_vocabulary=len(exact.vocabulary_)).fit(texts)
    assert bounded.vocabulary_ == exact.vocabulary_
    assert bounded.vocabulary_error_ == 0
    np.testing.assert_array_equal(bounded.idf_, exact.idf_)


@pytest.mark.parametrize("learn", ["fit", "fit_transform", "partial_fit", "merge"])
def test_bound_on_the_vocabulary_keeps_its_promise(learn, load_docstrings_once):
    texts, limit = load_docstrings_once(["joblib", "scipy"]).data[:3000], 4000
    exact = TfidfEncoder(use_idf=False).fit(texts)
    true = document_frequencies(exact)
    encoder = TfidfEncoder(max_vocabulary=limit)
    if learn in ("fit", "fit_transform"):
        getattr(encoder, learn)(texts)
    else:
        for begin in range(0, len(texts), 250):
            shard = texts[begin : begin + 250]
            if learn == "merge" and begin:
                encoder.merge(pickle.loads(pickle.dumps(TfidfEncoder(max_vocabulary=limit).partial_fit(shard))))
            else:
                encoder.partial_fit(shard)
    error = encoder.vocabulary_error_
    found = document_frequencies(encoder)
    assert 0 < error < 100
    assert len(found) <= limit < len(true)
    assert all(true[term] - error <= frequency <= true[term] for term, frequency in found.items())
    assert max(frequency for term, frequency in true.items() if term not in found) <= error
    assert pickle.loads(pickle.dumps(encoder)).vocabulary_error_ == error


def document_frequencies(encoder):
    names, frequency = encoder.get_feature_names_out(), encoder.terms_.vocabulary.document_frequency
    return dict(zip(names, frequency[np.argsort(encoder.terms_.columns)].tolist(), strict=True))


def test_share_of_known_terms_counts_every_occurrence():
    encoder = TfidfEncoder(max_features=2).fit(["the cat and the dog", "the cat sat"])
    assert encoder.known_share(["the cat saw the bird", "The end", ""]) == 4 / 7
    assert encoder.known_share(["unheard"]) == 0
    assert np.isnan(encoder.known_share(["", "-"]))
